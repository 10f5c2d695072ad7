"""A project with stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archbench.core.entries import MetricEntry
from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.store.journal import Journal


class StoredRuns:
    """Writes runs into the project that a test stands in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, run: str, *records: Record, **settings: Any) -> Path:
        """Store a run that was asked for by some settings; returns its journal."""
        header: RunHeader = {
            "environment": {"time": "2026-11-20T13:45:01+00:00", "git": {"commit": "abc"}},
            "settings": settings,
        }
        journal = Journal(self.root / ".archbench" / "runs", header, run)
        for record in records:
            journal.append(record)
        journal.close(0, 1.0)
        return journal.path

    def record(
        self,
        id: str,
        samples: list[float] | None = None,
        *,
        slug: str = "cpu-x",
        dtype: str = "fp32",
        batch_size: int = 1,
        config: dict[str, Any] | None = None,
        **metrics: Any,
    ) -> Record:
        """A cell with 1,000 params, 2,000,000 MACs and the samples as its latency.

        ``config`` changes fields of its target: ``{"runtime": "compiled"}``.
        """
        target = Target("cpu", "X", slug, dtype=dtype, batch_size=batch_size, **(config or {}))
        figures: dict[str, MetricEntry] = {
            "params": {"value": 1000, "unit": "1", "source": "counted"},
            "macs": {"value": 2_000_000, "unit": "1", "source": "counted"},
        }
        if samples:
            figures["latency"] = {"samples": samples, "unit": "s", "source": "measured"}
        return Record(id, target if samples else None, {**figures, **metrics})


@pytest.fixture
def store_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredRuns:
    """The test stands in an empty project."""
    monkeypatch.chdir(tmp_path)
    return StoredRuns(tmp_path)
