"""Top-1 and top-5 of each architecture with its weights, and the fingerprint of its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archbench import ModelSpec, Target

if TYPE_CHECKING:
    from archbench.pytest_plugin.measuring import Bench


def test_accuracy(bench: Bench, model_spec: ModelSpec, accuracy_target: Target) -> None:
    bench.accuracy(model_spec, accuracy_target)


def test_fingerprint(bench: Bench, model_spec: ModelSpec, accuracy_target: Target) -> None:
    bench.fingerprint(model_spec, accuracy_target)
