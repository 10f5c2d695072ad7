"""What a run with cells refuses before anything is measured: the installation, devices, images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import pytest

from archbench.core.errors import AbsentError
from archbench.core.headers import Sharing
from archbench.devices.amd_smi import AmdSmi
from archbench.devices.nvml import Nvml
from archbench.models.requiring import require_torch
from archbench.pytest_plugin.options import is_child, refusing, spelled
from archbench.pytest_plugin.selection import selected_models
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.targets import targets_of

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


def refuse_broken_libraries(config: pytest.Config) -> None:
    """Import torch, and for the networks of libraries torchvision.

    Raises:
        UsageError: one cannot be imported; has the reason.
    """
    require_torch()
    if not all(model.is_own for model in selected_models(config)):
        from archbench.measure.hardware import check_torchvision

        check_torchvision()


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
    if is_simple(config):
        return

    with refusing(config):
        require_torch()
        sharing_of(config)
        targets_of(config)


def is_simple(config: pytest.Config) -> bool:
    """Whether what is asked for exists everywhere."""
    settings = settings_of(config)
    run_in = {(one.dtype, one.threads, one.runtime) for one in settings.configs}
    return settings.gpu in ("auto", "cpu") and run_in == {("fp32", 1, "eager")}


_SHARING: pytest.StashKey[Sharing | None] = pytest.StashKey()


def sharing_of(config: pytest.Config) -> Sharing | None:
    """Who else uses the devices of this run, found out once, before it puts anything on them.

    Returns:
        None where no device is one that others could use.

    Raises:
        pytest.UsageError: others use one of them, and ``--shared-ok`` is not given.
    """
    if _SHARING not in config.stash:
        workers = getattr(config.option, "numprocesses", None) or 1
        gpu = settings_of(config).gpu
        found = None if is_child(config) else look_for_others(config, gpu, workers)
        terminal = config.pluginmanager.get_plugin("terminalreporter")
        if found is not None and found.turns and terminal is not None:
            terminal.write_line(spelled(config, found.turns), yellow=True)
        config.stash[_SHARING] = found
    return config.stash[_SHARING]


def _has_driver(open_: Callable[[], object]) -> bool:
    try:
        open_()
    except AbsentError:
        return False
    return True


def look_for_others(config: pytest.Config, gpu: str, workers: int) -> Sharing | None:
    """Who else uses the devices of a request on this machine, as :func:`sharing_of`."""
    if gpu == "cpu":
        return None
    # Importing torch for a machine without a device of these makers takes too long.
    if gpu == "auto" and not any(map(_has_driver, (Nvml.open, AmdSmi.open))):
        return None
    from archbench.measure.hardware import refuse_shared

    with refusing(config):
        return refuse_shared(gpu, shared_ok=settings_of(config).shared_ok, workers=workers)
