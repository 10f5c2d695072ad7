"""Latency of each architecture on the target, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel
    from archbench.pytest_plugin.measuring import Bench


def test_latency(bench: Bench, loaded_model: LoadedModel) -> None:
    bench.latency(loaded_model)
