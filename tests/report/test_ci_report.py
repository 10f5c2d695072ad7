"""What CI systems receive: escaped, within their limits, worst first."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

import pytest

from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import FAILING, Verdict
from archbench.report.ci import (
    Diagnostic,
    annotation_lines,
    code_quality,
    diagnostics,
    junit_properties,
    metrics_text,
    step_summary,
)


def target(batch_size: int = 1, slug: str = "v100") -> Target:
    return Target("cuda:0", "Tesla V100", slug, dtype="fp16", batch_size=batch_size)


def verdict(
    metric: str, status: str, reason: str = "r", sentence: str = "so it is", **values: Any
) -> Verdict:
    return Verdict(metric, status, reason, sentence, **values)


def cell(id: str, *verdicts: Verdict, batch_size: int = 1, **metrics: Any) -> Record:
    return Record(id, target(batch_size), metrics=metrics, verdicts=list(verdicts))


SLOWER = verdict("latency", "regressed", "slower", "26 ms -> 29 ms", baseline=0.026, value=0.0286)
BIGGER = verdict("params", "changed", "differs", "params 200 -> 204", baseline=200, value=204)
EQUAL = verdict("complexity", "unchanged")
TIMED: MetricEntry = {"unit": "s", "source": "measured", "samples": [0.02, 0.021, 0.022]}
COUNTED: MetricEntry = {"unit": "1", "source": "counted", "value": 11_689_512}


def at(diagnostic: Diagnostic) -> tuple[str, int]:
    return "baselines/complexity.jsonl", 7


# Diagnostics.


def test_what_fails_comes_first_then_what_cannot_be_decided() -> None:
    cells = [
        cell("a/1", verdict("latency", "improved")),
        cell("a/2", verdict("latency", "unchanged")),
        cell("a/3", verdict("latency", "inconclusive")),
        cell("a/4", verdict("latency", "crashed")),
        cell("a/5", verdict("latency", "regressed")),
        cell("a/6", verdict("latency", "regressed", "accepted")),
    ]
    assert [(f.id, f.level) for f in diagnostics(cells)] == [
        ("a/5", "error"), ("a/4", "error"), ("a/3", "warning"),
        ("a/6", "notice"), ("a/1", "notice"), ("a/2", None),
    ]  # fmt: skip


def test_counts_are_said_once_for_all_cells_and_times_for_each() -> None:
    cells = [cell("a/1", BIGGER, SLOWER, batch_size=size) for size in (1, 8)]
    assert [(f.metric, f.target) for f in diagnostics(cells)] == [
        ("latency", "v100/fp16-b1"),
        ("latency", "v100/fp16-b8"),
        ("params", ""),
    ]


def test_what_fails_is_the_runs_own_choice() -> None:
    cells = [cell("a/1", verdict("latency", "no-baseline"))]
    assert diagnostics(cells)[0].level is None
    assert diagnostics(cells, failing=(*FAILING, "no-baseline"))[0].level == "error"


# Step summary.


def table_rows(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_summary() -> None:
    cells = [
        cell("a/same", EQUAL, latency=TIMED, params=COUNTED),
        cell("a/slow", SLOWER),
        cell("a/big", BIGGER),
    ]
    text = step_summary(cells, "v100", problems=["a worker died"])
    assert text.startswith(
        "## archbench: v100\n\n"
        "**2 of 3 cells fail**: 1 regressed, 1 changed. 1 unchanged.\n\n"
        "- a worker died\n"
    )
    head, folded = text.split("<details>")
    assert table_rows(head)[2:] == [
        [
            "**regressed**", "a/slow", "v100/fp16-b1", "latency", "26 ms", "28.6 ms", "+10 %",
            "26 ms -&gt; 29 ms",
        ],
        ["**changed**", "a/big", "-", "params", "200", "204", "+2 %", ""],
    ]  # fmt: skip
    assert folded.startswith("<summary>1 cell needs no attention</summary>\n\n|")
    assert table_rows(folded)[2:] == [
        ["a/same", "v100/fp16-b1", "11.69", "-", "21", "-", "47.62", "unchanged"]
    ]
    assert folded.rstrip().endswith("\n</details>")


def test_an_accepted_change_fails_nothing() -> None:
    text = step_summary([cell("a/1", replace(BIGGER, reason="accepted"))], "v100")
    assert "**None of 1 cell fails**: 1 changed, accepted." in text
    assert "| changed, accepted | a/1 |" in text


@pytest.mark.parametrize(
    ("status", "reason"),
    [("changed", "reported"), ("not-measured", "new"), ("changed", "accepted")],
)
def test_what_is_only_reported_fails_nothing(status: str, reason: str) -> None:
    said = cell("a/1", verdict("latency", status, reason))
    assert f"**None of 1 cell fails**: 1 {status}, {reason}." in step_summary([said], "v100")
    assert [line.partition(" ")[0] for line in annotation_lines([said])] == ["::notice"]
    assert code_quality([said], at) == []


def test_markdown_is_shown_and_not_obeyed() -> None:
    hostile = "a|b <img src=x> *c* `d` [e](f)\n| g | \udc80 \x1b[31m & _h_"
    text = step_summary([cell("a/1", verdict("latency", "crashed", sentence=hostile))], hostile)
    text.encode()
    assert table_rows(text)[2][-1] == (
        r"a\|b &lt;img src=x&gt; \*c\* \`d\` [e\](f) \| g \| \\udc80 &amp; \_h\_"
    )
    assert text.splitlines()[0].startswith(r"## archbench: a\|b &lt;img")


def test_summary_stays_below_the_limit_and_says_what_is_missing() -> None:
    cells = [cell(f"a/é{n}", SLOWER) for n in range(60)]
    cells += [cell(f"b/{n}", EQUAL) for n in range(60)]
    limit = 6000
    text = step_summary(cells, "v100", limit=limit)
    assert limit - 300 < len(text.encode()) <= limit
    shown = sum(row[0] == "**regressed**" for row in table_rows(text))
    assert 30 < shown < 60
    assert f"\n{120 - shown} more rows are left out: GitHub shows 1 MiB." in text
    assert "<details>" not in text
    with pytest.raises(ValueError, match="no room"):
        step_summary(cells, "v100", limit=300)


def test_the_fold_is_closed_where_its_rows_are_cut() -> None:
    text = step_summary([cell(f"b/{n}", EQUAL) for n in range(500)], "v100", limit=5000)
    assert text.count("<details>") == text.count("</details>") == 1
    assert len(text.encode()) <= 5000


# Annotations.


def test_annotations_are_escaped() -> None:
    sentence = "100 % of a,b: gone\nsecond"
    (line,) = annotation_lines(
        [cell("a/b", verdict("latency", "crashed", sentence=sentence))],
        locate=lambda diagnostic: ("x,y:z.jsonl", 7),
    )
    assert line == (
        "::error file=x%2Cy%3Az.jsonl,line=7,title=a/b fp16-b1%3A latency crashed"
        "::100 %25 of a,b: gone%0Asecond"
    )


def test_levels() -> None:
    statuses = ("regressed", "inconclusive", "not-comparable", "improved", "unchanged")
    cells = [cell("a/b", verdict("latency", status)) for status in statuses]
    levels = [line.split()[0] for line in annotation_lines(cells, problems=["no data"])]
    assert levels == ["::error", "::error", "::warning", "::warning", "::notice"]


@pytest.mark.parametrize(("number", "last"), [(10, "so it is"), (12, "3 more; the step summary")])
def test_ten_of_each_and_the_last_says_how_many_more(number: int, last: str) -> None:
    lines = annotation_lines([cell(f"a/{n}", verdict("latency", "crashed")) for n in range(number)])
    assert len(lines) == 10
    assert lines[-1].split("::")[2].startswith(last)


# GitLab.


def test_code_quality() -> None:
    cells = [cell("a/1", SLOWER, verdict("latency", "inconclusive")), cell("a/2", EQUAL)]
    report: list[Any] = list(code_quality(cells, at))
    assert [entry.pop("fingerprint") for entry in report] == [
        diagnostic.identity for diagnostic in diagnostics(cells)[:2]
    ]
    assert report == [
        {
            "description": "a/1 fp16-b1: latency regressed: 26 ms -> 29 ms",
            "check_name": "archbench-latency",
            "severity": "major",
            "location": {"path": "baselines/complexity.jsonl", "lines": {"begin": 7}},
        },
        {
            "description": "a/1 fp16-b1: latency inconclusive: so it is",
            "check_name": "archbench-latency",
            "severity": "minor",
            "location": {"path": "baselines/complexity.jsonl", "lines": {"begin": 7}},
        },
    ]


def test_fingerprints_outlive_the_values_and_tell_cells_apart() -> None:
    def prints(*cells: Record) -> set[str]:
        return {entry["fingerprint"] for entry in code_quality(cells, at)}

    later = replace(SLOWER, sentence="26 ms -> 31 ms", value=0.031)
    assert prints(cell("a/1", SLOWER)) == prints(cell("a/1", later))
    assert len(prints(cell("a/1", SLOWER), cell("a/1", SLOWER, batch_size=8))) == 2
    assert len(prints(cell("a/1", SLOWER, verdict("latency", "crashed")))) == 2


def test_openmetrics() -> None:
    timed = Record("a/1", target(), metrics={"latency": TIMED, "params": COUNTED})
    other = Record("a/1", target(8), metrics={"params": COUNTED}, verdicts=[SLOWER])
    labels = 'architecture="a/1",device="v100",dtype="fp16",batch_size="1",threads="1"'
    assert metrics_text([timed, other]).splitlines() == [
        "# TYPE archbench_params gauge",
        'archbench_params{architecture="a/1"} 11689512',
        "# TYPE archbench_latency_p50_seconds gauge",
        f"archbench_latency_p50_seconds{{{labels}}} 0.021",
        "# TYPE archbench_throughput_images_per_second gauge",
        f"archbench_throughput_images_per_second{{{labels}}} {1 / 0.021!r}",
        "# TYPE archbench_cells gauge",
        'archbench_cells{status="regressed"} 1',
        "# EOF",
    ]


def test_cells_that_are_run_differently_keep_their_figures_apart() -> None:
    plain = Record("a/1", target(), metrics={"latency": TIMED})
    unusual = replace(
        target(), memory_format="nhwc", runtime="compiled", cold_cache=True, largest_batch=True
    )
    other = Record("a/1", unusual, metrics={"latency": TIMED})
    lines = [line for line in metrics_text([plain, other]).splitlines() if "p50" in line][1:]
    labels = 'architecture="a/1",device="v100",dtype="fp16",batch_size="1",threads="1"'
    more = 'largest_batch="true",memory_format="nhwc",runtime="compiled",cold_cache="true"'
    assert lines == [
        f"archbench_latency_p50_seconds{{{labels}}} 0.021",
        f"archbench_latency_p50_seconds{{{labels},{more}}} 0.021",
    ]
    assert ("runtime", "compiled") in junit_properties(other)


def test_labels_survive_gitlabs_reader() -> None:
    """It cuts each line at ``#`` and splits the rest as a shell does."""
    metrics: dict[str, MetricEntry] = {
        "params": {"unit": "1", "value": 1},
        "macs": {"unit": "1", "value": float("nan")},
        "energy": {"unit": "J", "value": 0.5},
    }
    text = metrics_text([Record('a\\b"c#d\ne f', target(), metrics=metrics)])
    assert "nan" not in text
    assert text.splitlines()[1].startswith(
        'archbench_params{architecture="a\\\\b\\"c_d\\ne f",device="v100",'
    )
    samples = [shlex.split(re.sub("#.*$", "", line)) for line in text.splitlines()]
    assert [words[1] for words in samples if words] == ["1", "0.5"]


# JUnit.


def test_junit_properties() -> None:
    record = cell("a/1", SLOWER, EQUAL, latency=TIMED, params=COUNTED)
    assert junit_properties(record) == [
        ("architecture", "a/1"),
        ("device", "cuda:0"),
        ("device_name", "Tesla V100"),
        ("dtype", "fp16"),
        ("batch_size", "1"),
        ("threads", "1"),
        ("params", "11689512"),
        ("latency_p50_seconds", "0.021"),
        ("throughput_images_per_second", repr(1 / 0.021)),
        ("verdict_latency", "regressed"),
        ("verdict_complexity", "unchanged"),
    ]
    assert junit_properties(Record("a/1")) == [("architecture", "a/1")]


# A metric with a baseline and budgets.

BIGGER_PEAK = verdict("peak_memory", "regressed", "more", "5 MB -> 6 MB; the tolerance is 0.1 MB")


def budgeted(limit: str, status: str, metric: str = "peak_memory") -> Verdict:
    return verdict(metric, status, "over-budget", f"beyond {limit}", budget=limit)


@pytest.mark.parametrize("worst_first", [True, False])
def test_junit_says_the_worst_of_what_a_metric_has(worst_first: bool) -> None:
    kept = budgeted("peak_memory <= 1 GB", "unchanged")
    pair = (BIGGER_PEAK, kept) if worst_first else (kept, BIGGER_PEAK)
    assert dict(junit_properties(cell("a/1", *pair)))["verdict_peak_memory"] == "regressed"


def test_what_was_accepted_does_not_hide_a_budget() -> None:
    accepted = replace(BIGGER_PEAK, status="changed", reason="accepted")
    over = budgeted("peak_memory <= 1 GB", "not-measured")
    properties = dict(junit_properties(cell("a/1", accepted, over)))
    assert properties["verdict_peak_memory"] == "not-measured"


def test_the_summary_says_what_a_budget_of_a_count_says() -> None:
    text = step_summary(
        [cell("a/1", BIGGER, budgeted("params <= 1 M", "regressed", "params"))], "x"
    )
    assert text.count("beyond params &lt;= 1 M") == 1
    assert "params 200 -> 204" not in text, "both values stand in the row"


def test_gitlab_has_the_baseline_and_every_budget() -> None:
    budgets = [budgeted(f"peak_memory <= {size} MB", "regressed") for size in (4, 5)]
    report = code_quality([cell("a/1", BIGGER_PEAK, *budgets)], at)
    assert [entry["description"].rpartition(": ")[2] for entry in report] == [
        "5 MB -> 6 MB; the tolerance is 0.1 MB",
        "beyond peak_memory <= 4 MB",
        "beyond peak_memory <= 5 MB",
    ]
    assert len({entry["fingerprint"] for entry in report}) == 3
