"""The gates' own trial: what is injected, what is stored, and what the rule makes of it again."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench import ModelSpec, cli, selftest
from archbench.core.entries import MetricEntry
from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.paired import PairedRule
from archbench.core.records import Record
from archbench.core.rounds import Burst, ClockRule, PairedRun, Round, default_rules
from archbench.core.verdicts import Verdict
from archbench.measure.complexity import count
from archbench.replay import rejudged, replay
from archbench.selftest import PAIRED, STORED, Outcome, Trial, Tried

pytestmark = pytest.mark.usefixtures("preloaded_python")

ROUNDS = Path(__file__).parent / "rounds" / "duet-schema-1.jsonl"
RULES = default_rules("cpu", 1)


def process_runs(ratio: float, rounds: Sequence[int]) -> list[PairedRun]:
    def burst(seconds: float) -> Burst:
        return Burst((seconds,), (seconds,), (), 0.0)

    one = Round(burst(0.01), burst(0.01 * ratio), False)
    return [PairedRun([one] * number) for number in rounds]


def line(ratio: float, rounds: Sequence[int], extra: float, status: str) -> dict[str, Any]:
    series = process_runs(ratio, rounds)
    return {
        "schema": 2,
        "extra": extra,
        "cell": "local/stack0",
        "status": status,
        "seconds": sum(one.seconds for one in series),
        "start_seconds": [2.0] * len(series),
        "process_runs": [one.as_dict() for one in series],
    }


@pytest.mark.parametrize(
    ("trial", "extra", "layers"),
    [
        (PAIRED, 0.0, 100), (PAIRED, 0.02, 102), (PAIRED, 0.05, 105), (PAIRED, 0.1, 110),
        (STORED, 0.0, 20), (STORED, 0.2, 24), (STORED, 0.5, 30),
    ],
)  # fmt: skip
def test_the_cost_that_is_injected(
    trial: Trial, extra: float, layers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        selftest._run(tmp_path, trial, extra)
    names: dict[str, Any] = {}
    exec((tmp_path / "nets.py").read_text(encoding="utf-8"), names)
    stack = ModelSpec.of(lambda: names["stack"](16), name="stack", input_size=32)
    equal = 32 * 32 * 16 * 16 * 9
    assert count(stack).macs == 32 * 32 * 16 * 27 + layers * equal + 16 * 10


def test_rounds_lead_to_the_same_status_again() -> None:
    status, used = rejudged(process_runs(1.0, [30]), RULES)
    # The 13th round makes the e-value large enough, see tests/workers/test_schedule.py.
    assert (status, [len(one.rounds) for one in used]) == ("unchanged", [13])
    status, used = rejudged(process_runs(1.1, [30, 30, 30, 30]), RULES)
    assert (status, [len(one.rounds) for one in used]) == ("regressed", [13, 7, 6, 1])
    assert rejudged(process_runs(0.9, [30] * 4), RULES)[0] == "improved"


def test_a_rule_that_asks_for_more_runs_out_of_rounds() -> None:
    strict = (ClockRule("cpu", PairedRule(beta=1e-12)),)
    assert rejudged(process_runs(1.0, [13]), strict)[0] == "inconclusive"
    assert rejudged(process_runs(1.1, [20, 6, 6]), RULES)[0] == "inconclusive"


def test_a_replay_counts_alarms_and_what_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rounds.jsonl"
    stored = [line(1.0, [13], 0.0, "unchanged")] * 299
    stored += [line(0.9, [13, 7, 6, 1], 0.0, "improved")]
    stored += [line(1.05, [13, 7, 6, 1], 0.05, "regressed")] * 3
    stored += [line(1.0, [13], 0.05, "unchanged")]
    path.write_text("".join(json.dumps(one) + "\n" for one in stored), encoding="utf-8")
    assert cli.main(["selftest", "--paired", f"--replay={path}"]) == 0
    printed = capsys.readouterr().out
    # Clopper and Pearson for 1 of 300: 0.01 % to 1.84 %; for 3 of 4: 19.4 % to 99.4 %.
    assert "unchanged, false alarms: 1 of 300 (0.01% to 1.84% at 95 %)   1 improved, 299" in printed
    assert "+5% layers, found: 3 of 4 (19.41% to 99.37% at 95 %)   3 regressed, 1 unc" in printed
    # 13 rounds of twice 10 ms.
    assert (
        "bursts for a verdict: 0.3 s, at most 0.3 s for 9 of 10; process runs: 1.0; start"
        in printed
    )


def test_stored_rounds_of_this_machine_are_judged_as_they_were() -> None:
    """A stored example of schema 1: real rounds, unchanged and with 4.5 % more layers."""
    lines = [json.loads(text) for text in ROUNDS.read_text(encoding="utf-8").splitlines()]
    assert {one["extra"] for one in lines} == {0.0, 0.045}
    for one in lines:
        series = [PairedRun.from_dict(run) for run in one["launches"]]
        assert rejudged(series, RULES)[0] == one["status"]
    unchanged, slower = replay(ROUNDS)
    assert unchanged.statuses == Counter(unchanged=unchanged.statuses.total())
    assert slower.statuses == Counter(regressed=slower.statuses.total())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "it cannot be read (No such file or directory). Make it with --store=FILE"),
        ("", "it holds no rounds. Make it with --store=FILE"),
        ("{}\n", "line 1 is damaged ('schema'). Delete it"),
        ('{"schema": 1', "line 1 is damaged (Expecting"),
        ('{"schema": 2, "process_runs": [{"rounds": 3}]}', "line 1 is damaged ("),
        (
            '{"schema": 2, "process_runs": []}',
            "line 1 is damaged (Object missing required field `extra`)",
        ),
        ('{"schema": 3}', "line 1 is of schema 3, this archbench reads 2. Use the archbench that"),
    ],
)
def test_files_that_cannot_be_replayed(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        replay(path)
    assert str(refused.value).startswith(f"--replay={path}: {message}")


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(UsageError, match=r"line 1 is damaged \("):
        replay(path)


def test_a_file_that_cannot_be_written_is_refused_before_measuring(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--store=.*: it cannot be written \(No such file"):
        selftest.selftest(PAIRED, say=print, store=tmp_path / "no" / "x")


def test_a_replay_is_of_paired_comparisons(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--stored", "--replay=rounds.jsonl"]) == 2
    assert "its runs have no rounds. Add --paired instead" in capsys.readouterr().err


def test_runs_are_counted_and_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def run(root: Path, trial: Trial, extra: float, *arguments: str) -> list[Record]:
        asked.append(extra)
        assert trial is PAIRED
        assert arguments == ("--archbench-gpu=cuda:1", "--archbench-runtime=tensorrt")
        assert (root / ".git").is_dir()
        one = Tried.from_dict(line(1.0, [13], extra, "unchanged"))
        entry: MetricEntry = {
            "series": [*one.process_runs],
            "seconds": one.seconds,
            "start_seconds": [*one.start_seconds],
        }
        verdicts = [
            Verdict("params", "changed", "differs", ""),
            Verdict("latency", "unchanged", "equal", ""),
        ]
        return [Record("local/stack0", None, {"paired_ratio": entry}, verdicts)] * 2

    monkeypatch.setattr(selftest, "_run", run)
    store = tmp_path / "rounds.jsonl"
    outcomes = selftest.selftest(
        PAIRED, cells=2, rounds=2, injected_rounds=1, say=lambda _: None, store=store,
        directory=tmp_path / "project", gpu="cuda:1", runtime="tensorrt",
    )  # fmt: skip
    assert asked == [0.0, 0.0, 0.02, 0.05, 0.1]
    assert [(one.extra, one.statuses.total(), one.alarms) for one in outcomes] == [
        (0.0, 4, 0),
        (0.02, 2, 0),
        (0.05, 2, 0),
        (0.1, 2, 0),
    ]
    assert len(store.read_text(encoding="utf-8").splitlines()) == 10
    assert [one.statuses.total() for one in replay(store)] == [4, 2, 2, 2]


@pytest.mark.parametrize("trial", [PAIRED, STORED])
def test_a_run_that_fails_says_what_it_printed(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "_TEST", "def test_latency(: pass")
    with pytest.raises(ArchbenchError, match=r"ended with status 2; it printed:\n[\s\S]*SyntaxErr"):
        selftest.selftest(trial, cells=1, say=print, directory=tmp_path / "p")


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchbenchError, match=r"--archbench-gpu=cuda:9: no such device"):
        selftest.selftest(PAIRED, cells=1, say=print, directory=tmp_path / "p", gpu="cuda:9")


def test_an_improvement_is_a_false_alarm_and_finds_nothing() -> None:
    statuses = Counter(improved=1, regressed=1, unchanged=8)
    assert Outcome(0.0, statuses).alarms == 2
    assert Outcome(0.05, statuses).alarms == 1


def test_unchanged_networks_that_change_either_way_are_false_alarms() -> None:
    statuses = Counter(unchanged=296, regressed=1, improved=1, inconclusive=2)
    outcome = Outcome(0.0, statuses)
    assert (outcome.statuses.total(), outcome.alarms) == (300, 2)
    # Clopper and Pearson for 2 of 300: 0.08 % to 2.39 %.
    assert outcome.text().startswith("unchanged, false alarms: 2 of 300 (0.08% to 2.39% at 95 %)")


def test_slower_networks_are_found_by_a_regression_only() -> None:
    outcome = Outcome(0.2, Counter(regressed=57, inconclusive=2, improved=1))
    assert (outcome.statuses.total(), outcome.alarms) == (60, 57)
    assert "+20% layers, found: 57 of 60" in outcome.text()
    assert "1 improved, 2 inconclusive, 57 regressed" in outcome.text()
