"""Parameters and multiply-adds of each architecture, counted."""

from archbench import ModelSpec
from archbench.pytest_plugin.recording import Bench


def test_complexity(bench: Bench, model_spec: ModelSpec) -> None:
    bench.complexity(model_spec)
