"""The one model of a process that is loaded. Needs torch."""

from __future__ import annotations

import pytest

from archbench.core.spec import Target
from archbench.devices.kinds import backend_of
from archbench.measure.hardware import list_devices
from archbench.models.loading import ModelHolder, free_cached
from archbench.pytest_plugin.options import worker_count
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import HOLDER, free_holder
from archbench.pytest_plugin.starting import artefacts_of


def holder_of(config: pytest.Config) -> ModelHolder:
    """What keeps the model of this process that is loaded."""
    if HOLDER not in config.stash:
        # A comparison's passes run in processes of its own, and what fails there is said there.
        config.stash[HOLDER] = ModelHolder(
            tried=settings_of(config).against is None, artefacts=artefacts_of(config)
        )
    return config.stash[HOLDER]


def make_room(config: pytest.Config, target: Target) -> None:
    """Give the memory of a device back where workers share it: the next is to have all of it."""
    shared = sum(device.vendor_name == target.device_name for device in list_devices())
    if worker_count(config) > shared:
        free_holder(config)
        free_cached(backend_of(target.device, target.uuid))
