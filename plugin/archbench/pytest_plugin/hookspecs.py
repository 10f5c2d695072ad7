"""Hooks that a project can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from archbench.core.spec import ModelSpec


def pytest_archbench_models(config: pytest.Config) -> Iterable[ModelSpec]:
    """Architectures of one's own: what a run is about that names none, and part of every suite.

    Called once, when tests are collected, in each worker as well. ``--models`` selects among them
    by id, ``local/NAME``. Two networks of one name are refused with pytest's usage error.

    Returns:
        ``[ModelSpec.of(constructor)]``; the constructor is called when its test runs.
    """
    raise NotImplementedError
