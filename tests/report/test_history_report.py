"""The history as text, tables and data."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from archbench.core.history import Cell, Entry, Series, series_of
from archbench.report.history import FORMATS, history_data, judged, shown_since

CELL = Cell("timm/a", "v100", dtype="fp32", batch_size=1, threads=1)
TIMES = [0.010, 0.0101, 0.0099, 0.010, 0.012, 0.0121, 0.0119, 0.012]


def series(
    values: list[float], metric: str = "latency", cell: Cell = CELL, month: int = 1
) -> Series:
    return Series(
        cell,
        metric,
        tuple(
            Entry(
                f"2026-{month:02d}-{day:02d}T03:04:05+00:00", value, (f"run{day}",),
                f"{day:040x}", day == 2, events=("torch 1 -> 2",) if day == 3 else (),
            )
            for day, value in enumerate(values, 1)
        ),
    )  # fmt: skip


def test_data_for_the_page() -> None:
    data = history_data([series(TIMES), series([7, 7, 8], "macs", Cell("timm/a"))])
    assert set(data) == {"timm/a v100 fp32 batch 1", "timm/a"}
    times = data["timm/a v100 fp32 batch 1"]
    assert [item["change_point"] for item in times] == [False] * 4 + [True] + [False] * 3
    assert times[2] == {
        "metric": "latency",
        "when": "2026-01-03T03:04:05+00:00",
        "commit": f"{3:040x}",
        "dirty": False,
        "value": 0.0099,
        "low": None,
        "high": None,
        "change": pytest.approx(0.0099 / 0.0101 - 1),
        "change_point": False,
        "events": ["torch 1 -> 2"],
        "sources": ["run3"],
        "noisy": False,
    }
    assert times[0]["change"] is None
    # Of counts, two are enough, and any difference is one.
    assert [item["change_point"] for item in data["timm/a"]] == [False, False, True]
    assert json.loads(json.dumps(data)) == data


def test_a_time_that_is_too_noisy_is_marked() -> None:
    one = series([0.010, 0.0101])
    noisy = replace(one, entries=(one.entries[0], replace(one.entries[1], noisy=True)))
    for detailed, shown in ((True, ["10", "~10.1"]), (False, ["~10.1"])):
        text = FORMATS["text"](judged([noisy]), [], detailed)
        assert "~ too noisy to trust: other work ran beside it." in text
        assert [word for word in text.split() if word in ("10", "~10", "10.1", "~10.1")] == shown
        assert "~" not in FORMATS["text"](judged([one]), [], detailed)
    (line,) = json.loads(FORMATS["json"](judged([noisy]), [], True))["lines"]
    assert [entry["noisy"] for entry in line["entries"]] == [False, True]
    rows = csv.DictReader(io.StringIO(FORMATS["csv"](judged([noisy]), [], True)))
    assert [row["noisy"] for row in rows] == ["False", "True"]
    # Of several runs of a commit one is enough.
    together = series_of(
        [], {(CELL, "latency"): [replace(e, commit="c", dirty=False) for e in noisy.entries]}
    )
    assert [entry.noisy for entry in together[0].entries] == [True]


def test_the_latest_change_stands_first() -> None:
    lines = judged(
        [
            series([1.0, 1.0, 1.3], cell=Cell("b", "x"), month=6),
            series([1.0] * 8, cell=Cell("c", "x"), month=7),
            series(TIMES, cell=Cell("d", "x"), month=2),
            series([1, 2], "macs", Cell("e"), month=3),
        ]
    )
    assert [line.series.cell.id for line in lines] == ["e", "d", "b", "c"]


def test_times_stand_before_counts() -> None:
    lines = judged([series([7, 7], "macs", Cell("a")), series([1.0, 1.0], cell=Cell("a", "x"))])
    assert [line.series.metric for line in lines] == ["latency", "macs"]


def test_a_line_entry_by_entry() -> None:
    text = FORMATS["text"](judged([series(TIMES)]), ["x: left out"], True)
    assert text.splitlines() == [
        "timm/a v100 fp32 batch 1: latency ms",
        "▁▂▁▁██▇█",
        "date (UTC)        commit        latency ms    to one before  ◆ change point",
        "----------------  ----------  ------------  ---------------  -------------------",
        "2026-01-01 03:04  000000000             10                -",
        "2026-01-02 03:04  000000000+          10.1           +1.0 %",
        "2026-01-03 03:04  000000000            9.9           -2.0 %  torch 1 -> 2",
        "2026-01-04 03:04  000000000             10           +1.0 %",
        "2026-01-05 03:04  000000000             12          +20.0 %  ◆ 10 -> 12, +20.0 %",
        "2026-01-06 03:04  000000000           12.1           +0.8 %",
        "2026-01-07 03:04  000000000           11.9           -1.7 %",
        "2026-01-08 03:04  000000000             12           +0.8 %",
        "",
        "+ tracked files differed from the commit.",
        "",
        "- x: left out",
    ]


def test_counts_are_reported_in_full() -> None:
    text = FORMATS["text"](judged([series([1814073344, 1814074344], "macs", Cell("a"))]), [], True)
    assert "◆ 1,814,073,344 -> 1,814,074,344, +1,000" in text
    assert text.startswith("a: MACs\n▁█\n")


def test_counts_that_never_changed_take_one_line() -> None:
    lines = judged([series([7, 7, 7], "macs", Cell("a"))])
    assert FORMATS["text"](lines, [], True).startswith(
        "a: MACs\n7 in all 3 entries, 2026-01-01 03:04 to 2026-01-03 03:04."
    )
    assert "1 line of counts never changed." in FORMATS["text"](lines, [], False)


def test_one_entry_says_how_many_are_needed() -> None:
    lines = judged([series([0.01])])
    for detailed in (True, False):
        assert "change points need 6 entries, there is 1." in FORMATS["text"](lines, [], detailed)
    counted = judged([series([7], "macs", Cell("a"))])
    assert "a change needs 2 entries, there is 1" in FORMATS["json"](counted, [], True)


def test_the_overview() -> None:
    text = FORMATS["text"](judged([series(TIMES)]), [], False)
    row = text.splitlines()[2]
    assert row.split() == [
        "timm/a", "v100", "fp32", "batch", "1", "latency", "ms", "8", "▁▂▁▁██▇█", "12", "+0.8",
        "%", "10", "->", "12,", "+20.0", "%", "2026-01-05", "03:04", "000000000",
    ]  # fmt: skip


def test_noise_of_less_than_a_percent_is_drawn_level() -> None:
    text = FORMATS["text"](judged([series([1.0, 1.005, 1.0])]), [], False)
    assert "▄▄▄" in text


def test_markdown_shows_names_as_they_are() -> None:
    cell = Cell("local/a|b_<b>x</b>", "x")
    text = FORMATS["markdown"](judged([series(TIMES, cell=cell)]), [], False)
    assert r"local/a\|b\_&lt;b&gt;x&lt;/b&gt;" in text
    assert text.splitlines()[1].startswith("|---|")


def test_csv_and_json_hold_the_same() -> None:
    lines = judged([series(TIMES)])
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](lines, [], False))))
    (line,) = json.loads(FORMATS["json"](lines, ["r"], False))["lines"]
    assert [float(row["value"]) for row in rows] == [one["value"] for one in line["entries"]]
    assert rows[4]["change_point"] == str(line["entries"][4]["change_point"]["change"])
    assert line["entries"][4]["change_point"] == {
        "before": 0.010, "after": 0.012, "change": pytest.approx(0.2),
    }  # fmt: skip
    assert rows[0]["id"] == line["id"] == "timm/a"
    assert rows[0]["unit"] == line["unit"] == "s"
    assert rows[2]["events"] == "torch 1 -> 2"


def test_a_change_before_what_is_shown_still_counts() -> None:
    (line,) = shown_since(judged([series(TIMES)]), "2026-01-04")
    assert [entry.value for entry in line.entries] == TIMES[3:]
    assert line.last_change is not None
    assert line.relative_at(line.first) == pytest.approx(0.010 / 0.0099 - 1)
    (line,) = shown_since(judged([series(TIMES)]), "2026-01-06")
    assert line.last_change is None
    assert shown_since(judged([series(TIMES)]), "2027") == []


def test_what_is_hidden_does_not_order_what_is_shown() -> None:
    hidden, moving = Cell("hidden", "x"), Cell("moving", "x")
    lines = judged(
        [series(TIMES, cell=hidden), series([1.0, 1.0, 1.0, 1.0, 1.0, 1.2], cell=moving)]
    )
    assert [line.series.cell for line in lines] == [hidden, moving]
    # Shown from the day after the change of the first, it has none; the second moved at its end.
    shown = shown_since(lines, "2026-01-06T03:04:05+00:00")
    assert [line.series.cell for line in shown] == [moving, hidden]
    assert [len(line.entries) for line in shown] == [1, 3]
