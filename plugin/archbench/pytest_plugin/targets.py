"""The targets of a run's cells, and who may use their devices meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import pytest

from archbench.core.run_config import RunConfig
from archbench.core.spec import Target
from archbench.devices.cores import Cores
from archbench.pytest_plugin.options import is_elsewhere, worker_count
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.starting import make_files
from archbench.workers.inside import inside_of


def target_for(
    config: pytest.Config, run_config: RunConfig, *, worker: int = 0, measures: bool = False
) -> Target:
    """What a run configuration comes to on this machine. It imports torch.

    Args:
        run_config: what is asked for.
        worker: number of the worker of pytest-xdist that asks.
        measures: whether this process is to measure on it.

    Raises:
        UsageError: there is no such device, or it cannot run that.
    """
    from archbench.measure.hardware import make_target

    gpu = settings_of(config).gpu
    if measures or is_elsewhere(config):
        # A host need not have the other devices of a run.
        gpu = run_config.asked or gpu
    return make_target(gpu, config=run_config, worker=worker, measures=measures)


def targets_of(config: pytest.Config) -> list[Target]:
    """All that a run asks for, see :func:`target_for`."""
    return [target_for(config, one) for one in settings_of(config).configs]


@contextmanager
def leased(targets: Iterable[Target], say: Callable[[str], None]) -> Iterator[None]:
    """Hold the accelerators among some targets, so that no other run measures on them meanwhile.

    Args:
        targets: those of them that are no accelerators are nobody's alone.
        say: prints for whom this process waits.
    """
    held = {one.identity for one in targets if not one.is_host}
    with ExitStack() as stack:
        if held:
            from archbench.devices.lease import lease

            for identity in sorted(held):
                stack.enter_context(lease(identity, say))
        yield


_CORES: pytest.StashKey[Cores | None] = pytest.StashKey()


def _cores_of(config: pytest.Config) -> Cores | None:
    """What the workers of a run share the cores by; None where this one is alone."""
    if _CORES not in config.stash:
        has_others = worker_count(config) > 1 and os.name == "posix"
        config.stash[_CORES] = Cores(make_files(config) / "cores.lock") if has_others else None
    return config.stash[_CORES]


@contextmanager
def beside_others(config: pytest.Config) -> Iterator[None]:
    """Load, count or evaluate while other workers do, and not while one of them times."""
    cores = _cores_of(config)
    with cores.shared() if cores is not None else nullcontext():
        yield


@contextmanager
def timing_alone(config: pytest.Config, target: Target) -> Iterator[None]:
    """Time on cores on which no other worker of this run works."""
    cores = _cores_of(config) if target.is_host else None
    with cores.alone() if cores is not None else nullcontext():
        yield


@contextmanager
def device_lease(node: pytest.Item, target: Target) -> Iterator[None]:
    """The device of a test for this process alone, where others could measure on it too."""

    def say(text: str) -> None:
        node.add_report_section("setup", "archbench", text)

    inside = inside_of(node.config)
    # Both sides of a comparison are on the device at once: the process that schedules them holds
    # it.
    if inside is not None and inside.order.sides:
        yield
        return
    if target.is_host:
        with beside_others(node.config):
            yield
        return
    with leased([target], say):
        yield
        if worker_count(node.config) > 1:
            from archbench.pytest_plugin.holding import make_room

            make_room(node.config, target)
