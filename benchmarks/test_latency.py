"""Latency of each architecture on the target, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench.pytest_plugin.recording import Bench

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel


def test_latency(bench: Bench, loaded_model: LoadedModel) -> None:
    bench.latency(loaded_model)
