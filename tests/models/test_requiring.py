"""Importing something large, and the collector of garbage."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from archbench.models.requiring import importing


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    is_on = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if is_on else gc.disable)()


@pytest.mark.parametrize("is_on", [True, False])
def test_what_is_imported_is_left_alone_by_the_collector(
    monkeypatch: pytest.MonkeyPatch, is_on: bool
) -> None:
    gc.unfreeze()
    (gc.enable if is_on else gc.disable)()
    with importing():
        assert not gc.isenabled()
        monkeypatch.setitem(sys.modules, "something_large", ModuleType("something_large"))
    assert gc.isenabled() == is_on
    assert not any(one is sys.modules["something_large"] for one in gc.get_objects())


def test_where_nothing_is_imported_garbage_is_collected_as_ever() -> None:
    """A test that ran in between may have left cycles, as a model that was let go."""
    gc.unfreeze()
    with importing():
        cycle: list[object] = []
        cycle.append(cycle)
    assert any(one is cycle for one in gc.get_objects())


def test_an_import_that_fails_leaves_the_collector_on() -> None:
    gc.enable()
    with pytest.raises(ImportError), importing():
        raise ImportError("broken")
    assert gc.isenabled()
