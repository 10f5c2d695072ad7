"""Top-1 and top-5 of each architecture with its weights, and the fingerprint of its scores."""

from archbench import ModelSpec, Target
from archbench.pytest_plugin.recording import Bench


def test_accuracy(bench: Bench, model_spec: ModelSpec, accuracy_target: Target) -> None:
    bench.accuracy(model_spec, accuracy_target)


def test_fingerprint(bench: Bench, model_spec: ModelSpec, accuracy_target: Target) -> None:
    bench.fingerprint(model_spec, accuracy_target)
