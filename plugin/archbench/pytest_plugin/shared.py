"""What several modules of the plugin ask of a test or a run. Loaded in every pytest run: light."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from archbench.pytest_plugin.options import worker_count

if TYPE_CHECKING:
    from archbench.core.spec import Target
    from archbench.models.loading import ModelHolder

__all__ = [
    "MODEL_ARGUMENT",
    "PRECISION_ARGUMENT",
    "TARGET_ARGUMENT",
    "device_lease",
    "free_holder",
    "holder_of",
    "runs_again",
    "uses_archbench",
]

MODEL_ARGUMENT = "_archbench_model"
TARGET_ARGUMENT = "_archbench_target"
PRECISION_ARGUMENT = "_archbench_precision"

_HOLDER: pytest.StashKey[ModelHolder] = pytest.StashKey()


def uses_archbench(item: pytest.Item) -> bool:
    """Whether a test measures through archbench."""
    names = getattr(item, "fixturenames", ())
    return "bench" in names and any(name.startswith("_archbench") for name in names)


def runs_again(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Whether a report is of an attempt after which a plugin runs the test again, as
    pytest-rerunfailures does: pytest itself has three outcomes."""
    return str(report.outcome) not in ("passed", "failed", "skipped")


def holder_of(config: pytest.Config) -> ModelHolder:
    """What keeps the model of this process that is loaded."""
    if _HOLDER not in config.stash:
        from archbench.models.loading import ModelHolder
        from archbench.pytest_plugin.settings import settings_of

        # A comparison's passes run in processes of its own, and what fails there is said there.
        config.stash[_HOLDER] = ModelHolder(tried=settings_of(config).against is None)
    return config.stash[_HOLDER]


def free_holder(config: pytest.Config) -> None:
    """Let go of the model that is loaded, if any is."""
    if _HOLDER in config.stash:
        config.stash[_HOLDER].free()


@contextmanager
def device_lease(node: pytest.Item, target: Target) -> Iterator[None]:
    """The device of a test for this process alone, where others could measure on it too."""
    from archbench.workers.inside import inside_of

    inside = inside_of(node.config)
    # Both sides of a comparison are on the device at once: who conducts them holds it for them.
    if target.is_host or (inside is not None and inside.order.sides):
        yield
        return
    from archbench.devices.lease import lease

    def say(text: str) -> None:
        node.add_report_section("setup", "archbench", text)

    with lease(target.identity, say):
        yield
        _make_room(node.config, target)


def _make_room(config: pytest.Config, target: Target) -> None:
    """Give the memory of a device back where workers share it: the next is to have all of it."""
    workers = worker_count(config)
    if workers == 1:
        return
    from archbench.devices.kinds import backend_of
    from archbench.measure.hardware import list_devices
    from archbench.models.loading import free_cached

    if workers > sum(device.vendor_name == target.device_name for device in list_devices()):
        free_holder(config)
        free_cached(backend_of(target.device, target.uuid))
