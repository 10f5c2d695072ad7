"""What a run with cells refuses before anything is measured: the installation, devices, images."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import pytest

from archbench.core.errors import AbsentError
from archbench.devices.nvml import Nvml
from archbench.models.requiring import require_torch
from archbench.pytest_plugin.options import is_child, refusing
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.targets import targets_of

if TYPE_CHECKING:
    from archbench.measure.hardware import Sharing

DISTRIBUTIONS = ("pytest-archbench", "pytest-archbench-core")
"""Both hold the same files."""


def refuse_mixed_files() -> None:
    """See that the files of archbench are of one version.

    Raises:
        pytest.UsageError: two distributions of other versions lie over one another.
    """
    found = {}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    if len(set(found.values())) > 1:
        raise pytest.UsageError(
            f"{' and '.join(f'{name} {one}' for name, one in found.items())} are both installed, "
            "and the files of one lie over those of the other. Keep one: "
            f"python -m pip uninstall {' '.join(found)}, then install it"
        )


def refuse_absent_devices(config: pytest.Config) -> None:
    """Check what was asked for by name: one thread of ``auto`` in fp32 exists everywhere, and
    finding out would import torch into runs that measure nothing.

    Raises:
        pytest.UsageError: there is no such device, or it cannot run the precision; or there are no
            images where they were said to be.
    """
    settings = settings_of(config)
    if settings.imagenet is not None:
        from archbench.pytest_plugin.accuracy import images_of

        with refusing(config):
            images_of(config)
    run_in = {(one.dtype, one.threads, one.runtime) for one in settings.configs}
    if settings.gpu in ("auto", "cpu") and run_in == {("fp32", 1, "eager")}:
        return

    with refusing(config):
        require_torch()
        sharing_of(config)
        targets_of(config)


_SHARING: pytest.StashKey[Sharing | None] = pytest.StashKey()


def sharing_of(config: pytest.Config) -> Sharing | None:
    """Who else uses the devices of this run, found out once, before it puts anything on them.

    Returns:
        None where no device is one that others could use.

    Raises:
        pytest.UsageError: others use one of them, and ``--shared-ok`` is not given.
    """
    if _SHARING not in config.stash:
        config.stash[_SHARING] = _look_for_others(config)
    return config.stash[_SHARING]


def _look_for_others(config: pytest.Config) -> Sharing | None:
    settings = settings_of(config)
    if settings.gpu == "cpu" or is_child(config):
        return None
    if settings.gpu == "auto":
        try:
            # Importing torch for a machine without a device of this kind takes too long.
            Nvml.open()
        except AbsentError:
            return None
    from archbench.measure.hardware import refuse_shared

    with refusing(config):
        workers = getattr(config.option, "numprocesses", None) or 1
        return refuse_shared(settings.gpu, shared_ok=settings.shared_ok, workers=workers)
