"""What the plugin does in a run that has cells: loaded with the first of them, without torch."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from archbench.core.errors import UsageError, orders_to_end
from archbench.core.run_config import RunConfig
from archbench.core.spec import ModelSpec, Target
from archbench.models.requiring import require_torch
from archbench.pytest_plugin.benchmark_bridge import counted_as_benchmarks
from archbench.pytest_plugin.handover import HandOver
from archbench.pytest_plugin.options import (
    has_workers,
    is_child,
    is_worker,
    spelled,
    worker_number,
)
from archbench.pytest_plugin.recording import attach_record, forget_record, known_of, metric_of
from archbench.pytest_plugin.refusing import refuse_absent_devices, refuse_mixed_files
from archbench.pytest_plugin.selection import (
    group_by_model,
    refuse_two_of_one_name,
    selected_models,
)
from archbench.pytest_plugin.session import ArchbenchSession
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, TARGET_ARGUMENT
from archbench.pytest_plugin.starting import read_collected, write_collected
from archbench.pytest_plugin.targets import device_lease, target_for
from archbench.pytest_plugin.terminal import captured, guard_terminal
from archbench.workers.inside import doing, inside_of, order_of

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel, ModelHolder
    from archbench.pytest_plugin.measuring import Bench


class Cells:
    """The part of a run that is about cells, in whichever of its processes.

    Raises:
        pytest.UsageError: an option has a value that makes no sense.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.settings = settings_of(config)
        self._refused: pytest.UsageError | None = None
        self._handover: HandOver | None = None
        self._session: ArchbenchSession | None = None

    # What makes no sense is refused.

    def refuse_absent(self) -> None:
        """Refuse a device or precision that is not to be had."""
        order = order_of(self._config)
        # A worker's process has looked for devices itself.
        if is_worker(self._config) or (order is not None and not order.sides):
            return
        refuse_mixed_files()
        if not self._config.option.collectonly:
            refuse_absent_devices(self._config)

    def refuse_unknown(self) -> None:
        """Refuse an unknown suite or architecture."""
        guard_terminal(self._config)
        with captured(self._config):
            selected_models(self._config)

    def refuse_unselectable(self) -> None:
        """Refuse what tests could not be parametrized by, as an error of the run and of no file."""
        if self._refused is not None:
            raise self._refused

    # Collection.

    def values_of(self, argument: str) -> tuple[Sequence[Any], list[str]]:
        """What tests are parametrized by, and the ids of that."""
        if argument == MODEL_ARGUMENT:
            models: tuple[ModelSpec, ...] = ()
            try:
                models = selected_models(self._config)
            except pytest.UsageError as error:
                # Raised here it would be an error of the test's file, with a traceback of ours.
                self._refused = error
            return models, [model.id for model in models]
        if argument == TARGET_ARGUMENT:
            return self.settings.configs, [one.id for one in self.settings.configs]
        dtypes = self.settings.values("dtype")
        return dtypes, [RunConfig(dtype=dtype, batch_size=None).suffix for dtype in dtypes]

    def selecting(
        self, items: list[pytest.Item], ours: Sequence[pytest.Item]
    ) -> Generator[None, None, None]:
        """While plugins choose among the tests: ours are benchmarks to them, and one architecture's
        are together in the end."""
        config = self._config
        refuse_two_of_one_name(ours)
        if ours and not (is_child(config) or has_workers(config)):
            self._handover = HandOver(config)
            config.pluginmanager.register(self._handover, "archbench-handover")
        with counted_as_benchmarks(config, items, ours):
            result = yield
        group_by_model(items)
        return result

    def collected(self, ours: Sequence[str]) -> None:
        """Note the tests of this process, by their ids.

        A worker of pytest-xdist tells the ids of its tests and no more, so ours go to a file.
        """
        if is_worker(self._config):
            write_collected(self._config, ours)
        elif not (has_workers(self._config) or is_child(self._config)):
            self.recorder().expect(ours)

    def collected_elsewhere(self, named: Sequence[str], *, is_here: bool) -> None:
        """Note the tests of a worker of pytest-xdist.

        Args:
            named: ids that name an architecture.
            is_here: whether the worker is on this machine.
        """
        if is_here:
            # A project's own tests may have an architecture's name and measure nothing.
            ours = read_collected(self._config)
            named = [nodeid for nodeid in named if nodeid in ours]
        if named:
            self.recorder().expect(named)

    def recorder(self) -> ArchbenchSession:
        """What keeps this run's records, from the first sign that something is measured."""
        if self._session is None:
            guard_terminal(self._config)
            self._session = ArchbenchSession(self._config)
            self._config.pluginmanager.register(self._session, "archbench-session")
        return self._session

    # Running.

    def prepare(self, item: pytest.Item) -> None:
        """Import what a test needs, if it runs in this process."""
        if self._handover is not None and self._handover.runs_elsewhere(item):
            return
        spec = known_of(item)[0]
        library = spec.library if spec is not None and not spec.is_own else ""
        if not {"torch", library or "torch"} <= set(sys.modules):
            doing(self._config, f"importing torch {library}".strip())
        try:
            with _uncollected():
                require_torch()
                from archbench.pytest_plugin.measuring import import_for

                import_for(metric_of(item), spec)
        except orders_to_end():
            raise
        except Exception:
            return  # the test tells what cannot be imported

    def forget(self, item: pytest.Item) -> None:
        """Forget what an earlier run of the same test has measured."""
        forget_record(item)

    def attach(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Attach what a test measured, or why it could not, to its report."""
        attach_record(item, call, report)
        if hasattr(report, "archbench") and not (is_worker(item.config) or is_child(item.config)):
            self.recorder()

    def target(self, run_config: RunConfig) -> Target:
        """The target of a test; one that is not to be had ends the run."""
        try:
            require_torch()
            from archbench.measure.hardware import check_torchvision

            check_torchvision()
            return target_for(
                self._config, run_config, worker=worker_number(self._config), measures=True
            )
        except UsageError as error:
            self._end(error)

    def holder(self) -> ModelHolder:
        """What keeps the model of this process that is loaded."""
        from archbench.pytest_plugin.measuring import holder_of

        return holder_of(self._config)

    def load(self, spec: ModelSpec, target: Target) -> LoadedModel:
        """The model of a test."""
        from archbench.pytest_plugin.measuring import load_guarded

        doing(self._config, "loading")
        return load_guarded(self.holder(), spec, target)

    @contextmanager
    def lease(self, node: pytest.Item, target: Target) -> Iterator[None]:
        """The device for one test alone, where others could measure on it too."""
        inside = inside_of(self._config)
        if inside is not None:
            inside.about(asdict(target))
        with device_lease(node, target):
            yield
            # pytest keeps what a fixture gave until the test is over.
            node.funcargs.pop("loaded_model", None)  # type: ignore[attr-defined]

    def bench(self, node: pytest.Item) -> Bench:
        """What measures for a test."""
        try:
            require_torch()
        except UsageError as error:
            self._end(error)
        from archbench.pytest_plugin.measuring import Bench

        return Bench(node, self.settings)

    def _end(self, error: UsageError) -> NoReturn:
        """Nothing can be measured: one message instead of one for each architecture."""
        message = spelled(self._config, f"archbench: {error}")
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for garbage meanwhile: importing torch and timm makes a million objects that stay,
    and looking at them again and again took a quarter of the time."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()
