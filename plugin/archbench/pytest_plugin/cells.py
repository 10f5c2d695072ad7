"""What the plugin does in a run that has cells: loaded with the first of them, without torch."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from archbench.core.errors import ArchitectureError, UsageError, first_line, orders_to_end
from archbench.core.run_config import RunConfig
from archbench.core.spec import ModelSpec, Target
from archbench.models.requiring import importing, require_torch
from archbench.pytest_plugin.benchmark_bridge import counted_as_benchmarks
from archbench.pytest_plugin.ending import end_run
from archbench.pytest_plugin.hosts import hosts_of
from archbench.pytest_plugin.options import (
    has_workers,
    is_child,
    is_elsewhere,
    is_worker,
    refusing,
    shows_only,
    spelled,
    worker_number,
)
from archbench.pytest_plugin.recording import attach_record, forget_record, known_of, metric_of
from archbench.pytest_plugin.refusing import (
    refuse_absent_devices,
    refuse_broken_libraries,
    refuse_mixed_files,
)
from archbench.pytest_plugin.repeated import prepare_on_host
from archbench.pytest_plugin.resuming import Done, done_tests
from archbench.pytest_plugin.selection import (
    group_by_model,
    refuse_two_of_one_name,
    selected_models,
)
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.sharding import WHOLE, keep_shard, units_of, whole_of
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, TARGET_ARGUMENT
from archbench.pytest_plugin.starting import hand_on, read_collected, write_collected
from archbench.pytest_plugin.targets import device_lease, target_for
from archbench.pytest_plugin.terminal import captured, guard_terminal
from archbench.workers.inside import doing, inside_of, order_of

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel, ModelHolder
    from archbench.pytest_plugin.handover import HandOver
    from archbench.pytest_plugin.measuring import Bench
    from archbench.pytest_plugin.session import ArchbenchSession


_FOR_PYTEST = (Exception, KeyboardInterrupt, pytest.fail.Exception, pytest.skip.Exception)
"""What may come out of a fixture."""


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
        self._elsewhere: frozenset[str] = frozenset()

    # What makes no sense is refused.

    def refuse_absent(self) -> None:
        """Refuse a device or precision that is not to be had."""
        order = order_of(self._config)
        # A worker's process has looked for devices itself.
        if is_worker(self._config) or (order is not None and not order.sides):
            return
        refuse_mixed_files()
        if hosts_of(self._config) is not None:
            return  # each of them looks for itself
        if not shows_only(self._config):
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
        asked = (RunConfig(dtype=one.dtype, runtime=one.runtime) for one in self.settings.configs)
        each = list(dict.fromkeys(asked))
        return each, [one.batchless.suffix for one in each]

    def selecting(
        self, items: list[pytest.Item], ours: Sequence[pytest.Item]
    ) -> Generator[None, None, None]:
        """While plugins choose among the tests: ours are benchmarks to them, and one architecture's
        are together in the end."""
        config = self._config
        refuse_two_of_one_name(ours)
        if ours and not (is_child(config) or has_workers(config)):
            from archbench.pytest_plugin.handover import HandOver

            self._handover = HandOver(config)
            config.pluginmanager.register(self._handover, "archbench-handover")
        if ours and done_tests(config):
            # Asked before the one above, since it comes later.
            config.pluginmanager.register(Done(config), "archbench-done")
        with counted_as_benchmarks(config, items, ours):
            result = yield
        with refusing(config):
            keep_shard(config, items)
        group_by_model(items)
        return result

    def collected(self, ours: Sequence[str]) -> None:
        """Note the tests of this process, by their ids.

        A worker of pytest-xdist reports the ids of its tests and no more, so ours go to a file.
        """
        if is_worker(self._config):
            write_collected(self._config, ours)
            if (whole := whole_of(self._config)) is not None:
                hand_on(self._config, WHOLE, whole)
        elif not (has_workers(self._config) or is_child(self._config)):
            self.recorder().expect(ours)

    def collected_elsewhere(self, named: Sequence[str], *, is_here: bool) -> None:
        """Note the tests of a worker of pytest-xdist.

        Args:
            named: ids that name an architecture.
            is_here: whether the worker is on this machine.

        Raises:
            pytest.UsageError: it is on a host that nobody has looked at.
        """
        if not is_here and hosts_of(self._config) is None:
            text = (
                "--tx: tests that measure run on other hosts, and archbench did not look at them. "
                "Give an option of it, as --gpu=auto, and no --px"
            )
            raise pytest.UsageError(spelled(self._config, text))
        if is_here:
            # A project's own tests may have an architecture's name and measure nothing.
            ours = read_collected(self._config)
            named = [nodeid for nodeid in named if nodeid in ours]
        if named:
            self._elsewhere = frozenset(named)
            self.recorder().expect(named)

    def units(self, nodeids: Sequence[str], workers: int) -> list[list[int]]:
        """What workers of pytest-xdist get at once, of which each architecture is together: indices
        of tests, those first that take longest."""
        done = done_tests(self._config)
        ours = {nodeid: nodeid not in done for nodeid in self._elsewhere}
        return units_of(self._config, nodeids, ours, workers)

    def recorder(self) -> ArchbenchSession:
        """What keeps this run's records, from the first sign that something is measured."""
        if self._session is None:
            from archbench.pytest_plugin.session import ArchbenchSession

            guard_terminal(self._config)
            self._session = ArchbenchSession(self._config)
            self._config.pluginmanager.register(self._session, "archbench-session")
        return self._session

    # Running.

    def prepare(self, item: pytest.Item) -> None:
        """Import what a test needs, if it runs in this process."""
        if item.nodeid in done_tests(self._config):
            return
        if is_elsewhere(self._config):
            let_go = self._handover.let_go if self._handover is not None else lambda: None
            prepare_on_host(self._config, item.nodeid, let_go)
        if self._handover is not None and self._handover.runs_elsewhere(item):
            return
        spec = known_of(item)[0]
        library = spec.library if spec is not None and not spec.is_own else ""
        if not {"torch", library or "torch"} <= set(sys.modules):
            doing(self._config, f"importing torch {library}".strip())
        try:
            with importing():
                require_torch()
                self._measuring.import_for(metric_of(item), spec)
        except orders_to_end():
            raise
        except Exception:
            return  # the test reports what cannot be imported

    def forget(self, item: pytest.Item) -> None:
        """Forget what an earlier run of the same test has measured."""
        forget_record(item)

    def attach(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Attach what a test measured, or why it could not, to its report."""
        attach_record(item, call, report)
        if "benchmark" in getattr(item, "fixturenames", ()):
            report.archbench_once = True  # type: ignore[attr-defined]
        if hasattr(report, "archbench") and not (is_worker(item.config) or is_child(item.config)):
            self.recorder()

    def target(self, run_config: RunConfig) -> Target:
        """The target of a test; one that is not to be had ends the run."""
        try:
            refuse_broken_libraries(self._config)
            return target_for(
                self._config, run_config, worker=worker_number(self._config), measures=True
            )
        except UsageError as error:
            self._end(error)

    @property
    def _measuring(self) -> ModuleType:
        """The door to all that needs torch."""
        from archbench.pytest_plugin import measuring

        return measuring

    def holder(self) -> ModelHolder:
        """What keeps the model of this process that is loaded."""
        holder: ModelHolder = self._measuring.holder_of(self._config)
        return holder

    def load(self, spec: ModelSpec, target: Target) -> LoadedModel:
        """The model of a test."""
        doing(self._config, "loading")
        try:
            loaded: LoadedModel = self._measuring.load_guarded(self.holder(), spec, target)
            return loaded
        except BaseException as error:
            if isinstance(error, _FOR_PYTEST):
                raise
            # pytest takes no other one out of a fixture: it would fail all tests after this one.
            text = first_line(error)
            raise ArchitectureError(f"{spec.id} failed: {text}") from error

    @contextmanager
    def lease(self, node: pytest.Item, target: Target) -> Iterator[None]:
        """The device for one test alone, where others could measure on it too."""
        inside = inside_of(self._config)
        if inside is not None:
            inside.about(target)
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
        bench: Bench = self._measuring.Bench(node, self.settings)
        return bench

    def _end(self, error: UsageError) -> NoReturn:
        """Nothing can be measured: one message instead of one for each architecture."""
        end_run(self._config, str(error), pytest.ExitCode.USAGE_ERROR)
