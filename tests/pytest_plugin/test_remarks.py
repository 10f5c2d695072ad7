"""What is said below the table about the signs in it."""

from __future__ import annotations

import pytest

from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.pytest_plugin.summary import remarks

FEW = "p95 needs 130 samples, so it is absent (-) where the time budget allowed fewer."


@pytest.mark.parametrize(("samples", "said"), [(129, FEW), (130, "")])
def test_what_is_not_in_the_table_is_not_explained(samples: int, said: str) -> None:
    target = Target("cpu", "CPU", "cpu-x")
    latency: MetricEntry = {"unit": "s", "source": "measured", "samples": [0.001] * samples}
    cells = [Record("timm/a", target, {"latency": latency})]
    assert remarks(cells, has_published=False, counts={}) == said
