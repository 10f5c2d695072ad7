"""What makes a process of no use for the tests that are left, so that a fresh one has to run them.

Some errors of an accelerator stay: whatever the process asks of the device from then on fails with
the same error. And some of what a network changes in its process cannot be put back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pytest

from archbench.core.errors import first_line
from archbench.devices.registry import is_fatal
from archbench.pytest_plugin.shared import (
    MODEL_ARGUMENT,
    PRECISION_ARGUMENT,
    TARGET_ARGUMENT,
    uses_archbench,
)

_FATAL: pytest.StashKey[str] = pytest.StashKey()


def note_fatal_error(config: pytest.Config, error: BaseException) -> None:
    """Remember that this process can use its device no more, if that is what an error says."""
    if is_fatal(error):
        config.stash[_FATAL] = first_line(error)


def why_leave(item: pytest.Item) -> str | None:
    """Why a test cannot run in this process; None where it can.

    Its device can be used no more, or another network has left something that cannot be put back.
    """
    if _FATAL in item.config.stash and _needs_device(item):
        return f"this one can use its device no more ({item.config.stash[_FATAL]})"
    others = {name: what for name, what in left_behind().items() if name != _network_of(item)}
    if not others or not uses_archbench(item):
        return None
    name, what = next(iter(others.items()))
    return f"{name} has changed this one for good ({', '.join(what)})"


def left_behind() -> Mapping[str, Sequence[str]]:
    """What each network has changed in this process for good; empty as long as none was run."""
    state = sys.modules.get("archbench.models.process_state")
    return state.left_behind() if state is not None else {}


def _network_of(item: pytest.Item) -> str | None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    model = params.get(MODEL_ARGUMENT) or params.get("model_spec")
    return getattr(model, "id", None)


def _needs_device(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return TARGET_ARGUMENT in names or PRECISION_ARGUMENT in names
