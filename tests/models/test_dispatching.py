"""Modes that watch operators, and torch's compiler, which nobody has asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.models.dispatching import spared_compiler

TIMED = """
import sys
from torch import nn
from archbench.core.spec import ModelSpec, Target
from archbench.measure.cells import latency_record, load_guarded
from archbench.measure.latency import SamplingPlan
from archbench.models.loading import ModelHolder

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

spec = ModelSpec.of(small, input_size=16)
loaded = load_guarded(ModelHolder(), spec, Target("cpu", "any", "cpu"))
latency_record(loaded, SamplingPlan(time_budget=0.01))
print(*({"torch._dynamo", "torchvision", "timm"} & set(sys.modules)))
"""


def test_timing_a_network_of_ones_own_imports_no_compiler_and_no_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TIMED], capture_output=True, text=True, timeout=900, check=False
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def seen(monkeypatch: pytest.MonkeyPatch, *, is_compiler_there: bool) -> list[str]:
    """Which way an operator took, and that it was seen."""
    if not is_compiler_there:
        monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    taken: list[str] = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            taken.append(str(func))
            return func(*args, **(kwargs or {}))

    guarded = Watching.__torch_dispatch__

    def noted(*given: Any) -> Any:
        taken.append("guarded")
        return guarded(*given)

    noted.__wrapped__ = guarded.__wrapped__  # type: ignore[attr-defined]
    Watching.__torch_dispatch__ = noted  # type: ignore[method-assign,assignment]
    with spared_compiler(Watching)():
        assert torch.ones(2).add(1).tolist() == [2, 2]
    return taken


def test_where_the_compiler_is_there_torch_keeps_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch._dynamo")
    there = seen(monkeypatch, is_compiler_there=True)
    assert there[0] == "guarded"
    assert [one for one in there if one != "guarded"] == seen(monkeypatch, is_compiler_there=False)
