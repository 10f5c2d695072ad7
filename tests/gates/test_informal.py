"""The last run of the same environment is an informal reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Note, Verdict
from archbench.gates.informal import last_rate, since_last_run
from archbench.store.journal import Journal

TARGET = Target("cpu", "X", "cpu-x", batch_size=1)
NEW = Verdict("latency", "no-baseline", "not-in-file", "s")


def timed(seconds: float, verdict: Verdict = NEW, **environment: str) -> Record:
    latency: MetricEntry = {"samples": [seconds] * 20, "unit": "s", "source": "measured"}
    latency["environment"] = {"torch": "2.14.1", **environment}
    return Record("timm/a", TARGET, {"latency": latency}, [verdict])


def stored(root: Path, day: int, cell: Record, **settings: Any) -> Path:
    journal = Journal(root, {"settings": settings}, f"202611{day:02d}T000000Z-1")
    journal.append(cell)
    return journal.path


def test_the_newest_run_that_measured_the_cell(tmp_path: Path) -> None:
    stored(tmp_path, 1, timed(0.020))
    stored(tmp_path, 2, timed(0.010))
    now = timed(0.011)
    current = stored(tmp_path, 3, now)
    (found,) = since_last_run([now], current).values()
    assert found.run == "20261102T000000Z-1"
    assert found.change == pytest.approx(0.1)  # 11 ms after 10 ms


@pytest.mark.parametrize(
    ("cell", "settings"),
    [
        (timed(0.010, torch="2.15.0"), {}),
        (timed(0.010), {"quick": True}),
        (timed(0.010), {"against": "HEAD"}),
        (replace(timed(0.010), notes=[Note("noisy", "x")]), {}),
    ],
    ids=["other torch", "a glance", "paired", "too noisy"],
)
def test_runs_that_are_no_reference_are_passed_over(
    tmp_path: Path, cell: Record, settings: dict[str, Any]
) -> None:
    stored(tmp_path, 1, timed(0.020))
    stored(tmp_path, 2, cell, **settings)
    now = timed(0.022)
    (found,) = since_last_run([now], stored(tmp_path, 3, now)).values()
    assert found.run == "20261101T000000Z-1"
    assert found.change == pytest.approx(0.1)  # 22 ms after 20 ms


def test_what_has_a_baseline_needs_no_other_reference(tmp_path: Path) -> None:
    stored(tmp_path, 1, timed(0.020))
    now = timed(0.022, Verdict("latency", "unchanged", "within-bounds", "s"))
    assert since_last_run([now], stored(tmp_path, 2, now)) == {}


def test_a_damaged_journal_is_passed_over(tmp_path: Path) -> None:
    stored(tmp_path, 1, timed(0.020))
    path = stored(tmp_path, 2, timed(0.010))
    path.write_text("{", encoding="utf-8")
    now = timed(0.022)
    (found,) = since_last_run([now], stored(tmp_path, 3, now)).values()
    assert found.run == "20261101T000000Z-1"


def test_the_rate_is_of_the_last_run_that_timed_anything(tmp_path: Path) -> None:
    assert last_rate(tmp_path, is_cpu=False) is None
    cells = [timed(seconds) for seconds in (0.01, 0.02, 0.03)]
    for cell, name in zip(cells, "abc", strict=True):
        cell.id = f"timm/{name}"
        cell.metrics["macs"] = {"value": 6_000_000, "unit": "1", "source": "counted"}
    stored(tmp_path, 1, timed(0.5))
    journal = Journal(tmp_path, {}, "20261102T000000Z-1")
    for cell in cells:
        journal.append(cell)
    stored(tmp_path, 3, Record("timm/a", None, {"macs": cells[0].metrics["macs"]}))
    # 6 M in 10, 20 and 30 ms.
    assert last_rate(tmp_path, is_cpu=True) == pytest.approx(300e6)
    elsewhere = timed(0.001)
    elsewhere.target = Target("cuda", "V100", "v100", batch_size=8)
    elsewhere.metrics["macs"] = cells[0].metrics["macs"]
    stored(tmp_path, 4, elsewhere)
    assert last_rate(tmp_path, is_cpu=False) == pytest.approx(48e9)
    assert last_rate(tmp_path, is_cpu=True) == pytest.approx(300e6)
