"""The one gate, without a run: which verdicts fail, what is said of them, what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.lines import AccuracyLine, CountLine, FingerprintLine, TimeLine
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.gates.gate import Accepted, Gate, changes, verdict_lines
from tests.core.lines import count_line

SLOWER = Verdict("latency", "regressed", "slower", "1 ms -> 2 ms")
UNCLEAR = Verdict("latency", "inconclusive", "disturbed", "cannot tell")
NEW = Verdict("latency", "no-baseline", "not-in-file", "nothing accepted")


def gate(root: Path, **how: Any) -> Gate:
    return Gate(root, root / "lock", **how)


@pytest.mark.parametrize(
    ("how", "failing"),
    [
        ({}, [SLOWER]),
        ({"is_strict": True}, [SLOWER, UNCLEAR]),
        ({"is_required": True}, [SLOWER, NEW]),
        # What is missing is being added, and what has changed is not.
        ({"is_required": True, "accepting": "new"}, [SLOWER]),
        ({"is_strict": True, "is_required": True, "accepting": "all"}, []),
    ],
)
def test_which_verdicts_fail(how: dict[str, Any], failing: list[Verdict], tmp_path: Path) -> None:
    record = Record("timm/a")
    text = gate(tmp_path, **how).judge(
        record, [SLOWER, UNCLEAR, NEW], lambda bad: verdict_lines("timm/a", bad)
    )
    assert text == ("\n".join(verdict_lines("timm/a", failing)) or None)
    assert record.verdicts == [SLOWER, UNCLEAR, NEW]


def test_what_is_informational_fails_nothing(tmp_path: Path) -> None:
    one = gate(tmp_path, is_strict=True, is_required=True)
    for reason in ("accepted", "reported", "new"):
        assert not one.fails(replace(SLOWER, reason=reason))
    assert one.fails(SLOWER)


def test_a_budget_holds_whatever_is_accepted(tmp_path: Path) -> None:
    over = Verdict("latency_p50", "regressed", "over-budget", "too slow", budget="p50 <= 1 ms")
    assert gate(tmp_path, accepting="all").fails(over)
    # A budget knows no missing baseline and no leniency.
    assert not gate(tmp_path, is_required=True).fails(replace(over, status="no-baseline"))


def test_what_is_said_of_a_failure(tmp_path: Path) -> None:
    line = FingerprintLine(
        "timm/a", "fp32", (), (), (), "none", {}, "none", {},
        "2026-01-02", "0123456789abcdef-dirty", "new kernels",
    )  # fmt: skip
    accepted = Accepted(line, "baselines/v100/fp16.jsonl:3")
    assert verdict_lines("timm/a fp32-b1", [SLOWER]) == ["regressed: timm/a fp32-b1: 1 ms -> 2 ms"]
    assert verdict_lines("timm/a", [SLOWER], lambda one: one.metric) == [
        "regressed: timm/a: latency"
    ]
    assert accepted.lines(["torch 1 -> 2", "CPU a -> b"]) == [
        "Baseline: baselines/v100/fp16.jsonl:3, accepted 2026-01-02 on commit 012345678: "
        "new kernels.",
        "Since then: torch 1 -> 2; CPU a -> b.",
    ]
    assert len(accepted.lines()) == 1
    # Where nothing was accepted nothing can have changed since.
    assert replace(accepted, line=None).lines(["torch 1 -> 2"]) == []


def test_what_was_accepted_is_found_with_its_place(tmp_path: Path) -> None:
    path = gate(tmp_path).path(CountLine)
    assert path == tmp_path / "baselines" / "complexity.jsonl"
    writing = gate(tmp_path, accepting="all")
    lines = [(path, count_line("timm/b")), (path, count_line())]
    ((written, updated),) = writing.accept(CountLine, lines)
    assert (written, updated.added) == (path, ("timm/a", "timm/b"))
    reading = gate(tmp_path)
    found = reading.accepted(CountLine, "timm/b")
    assert found.line == count_line("timm/b")
    assert found.text == found.where == "baselines/complexity.jsonl:3"
    assert reading.accepted(CountLine, "timm/c").line is None
    # A file is read once: what is written meanwhile is the next run's affair.
    path.unlink()
    assert reading.accepted(CountLine, "timm/a").line == count_line()


def test_accepting_what_is_new_changes_nothing_else(tmp_path: Path) -> None:
    path = gate(tmp_path).path(CountLine)
    gate(tmp_path, accepting="all").accept(CountLine, [(path, count_line())])
    more = [(path, count_line(params=5)), (path, count_line("timm/b"))]
    ((_, updated),) = gate(tmp_path, accepting="new").accept(CountLine, more)
    assert (updated.added, updated.changed, updated.unchanged) == (("timm/b",), (), 1)
    assert gate(tmp_path).accepted(CountLine, "timm/a").line == count_line()


def test_each_kind_has_its_file(tmp_path: Path) -> None:
    one = gate(tmp_path)
    names = [one.path(kind).name for kind in (CountLine, AccuracyLine, FingerprintLine)]
    assert names == ["complexity.jsonl", "accuracy.jsonl", "fingerprints.jsonl"]
    assert one.path(TimeLine, "v100", "fp16") == tmp_path / "baselines" / "v100" / "fp16.jsonl"


def test_changes() -> None:
    then, now = {"torch": "1", "cpu_count": 2, "gone": 1}, {"torch": "1", "cpu_count": 4, "new": 5}
    assert changes(then, now) == ["cpu count 2 -> 4", "new None -> 5"]
    assert changes(then, now, without=["new"]) == ["cpu count 2 -> 4"]
