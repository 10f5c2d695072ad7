"""Parameters and multiply-adds of each architecture, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench import ModelSpec

if TYPE_CHECKING:
    from archbench.pytest_plugin.measuring import Bench


def test_complexity(bench: Bench, model_spec: ModelSpec) -> None:
    bench.complexity(model_spec)
