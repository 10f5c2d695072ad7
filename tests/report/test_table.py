"""The table of a run, line by line."""

from __future__ import annotations

from dataclasses import replace

from archbench import ModelSpec, Target
from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.report.table import (
    catalogue_table,
    cell_line,
    doubts,
    has_accepted_counts,
    is_bad,
    run_table,
)
from tests.core.lines import count_line

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc", batch_size=2)
COUNTS: dict[str, MetricEntry] = {
    "params": {"value": 11_689_512, "unit": "1", "source": "counted"},
    "macs": {"value": 1_814_073_344, "unit": "1", "source": "counted"},
}


def timed(samples: list[float], notes: list[Note] | None = None) -> Record:
    latency: MetricEntry = {"samples": samples, "unit": "s", "source": "measured"}
    return Record("torchvision/resnet18", TARGET, {**COUNTS, "latency": latency}, notes=notes or [])


def row(table: str, line: int = 2) -> list[str]:
    return table.splitlines()[line].split()


def test_a_row() -> None:
    # 200 samples of 10 ms for two images: 200 images in a second.
    table = run_table([timed([0.01] * 200)], {"torchvision/resnet18": 69.758}, with_target=False)
    assert row(table) == [
        "resnet18", "torchvision", "69.76*", "11.69", "1.814", "10", "10", "200"
    ]  # fmt: skip
    assert table.splitlines()[0].split("  ")[0] == "architecture"


def test_device_time_has_a_column_where_a_device_has_a_clock() -> None:
    on_device, on_host = timed([0.01] * 200), timed([0.01] * 200)
    # The median of these is 4 ms, whatever the one that was late.
    series: MetricEntry = {"samples": [0.004, 0.004, 0.009], "unit": "s", "source": "measured"}
    on_device.metrics["device_time"] = {**series, "queue_full": True}
    lines = run_table([on_device, on_host], {}, with_target=False).splitlines()
    assert lines[0].split("  ")[-2:] == ["device ms", "verdict"]
    assert [row("\n".join(lines), line)[-1] for line in (2, 3)] == ["4", "-"]
    assert "device ms" not in run_table([on_host], {}, with_target=False)
    assert doubts([on_device]) == []


def test_a_device_time_with_waits_for_the_host_is_marked() -> None:
    cell = timed([0.01] * 200)
    cell.metrics["device_time"] = {"samples": [0.005], "unit": "s", "queue_full": False}
    assert row(run_table([cell], {}, with_target=False))[-1] == "<5"
    (line,) = doubts([cell])
    assert line.startswith("< at most, 1 of 1: the device waited for the host")


def test_what_was_published_is_not_of_quantised_weights() -> None:
    record = timed([0.01] * 200)
    record.target = replace(TARGET, dtype="int8")
    assert row(run_table([record], {"torchvision/resnet18": 69.758}, with_target=False))[2] == "-"


def test_what_is_absent_is_a_dash() -> None:
    table = run_table([Record("timm/a", None, COUNTS)], {}, with_target=True)
    assert row(table) == ["a", "timm", "-", "-", "11.69", "1.814", "-", "-"]


def test_counts_that_were_accepted_stand_where_the_run_did_not_count() -> None:
    cell = timed([0.01] * 200)
    cell.metrics = {"latency": cell.metrics["latency"]}
    accepted = {"torchvision/resnet18": count_line(params=11_689_512, macs=1_814_073_344)}
    table = run_table([cell], {}, with_target=False, counts=accepted)
    assert row(table)[3:5] == ["11.69^", "1.814^"]
    assert has_accepted_counts([cell], accepted)
    # What was counted stands by itself, whatever was accepted.
    counted = timed([0.01] * 200)
    other = {"torchvision/resnet18": count_line(params=1, macs=2)}
    assert row(run_table([counted], {}, with_target=False, counts=other))[3:5] == ["11.69", "1.814"]
    assert not has_accepted_counts([counted], other)


def test_the_change_since_the_last_run() -> None:
    cells = [timed([0.01] * 200), timed([0.01] * 3, [Note("noisy", "x")]), timed([0.01] * 200)]
    for cell, name in zip(cells, "abc", strict=True):
        cell.id = f"timm/{name}"
    changes = {cells[0].key: 0.0149, cells[1].key: -0.2}
    table = run_table(cells, {}, with_target=False, changes=changes)
    assert "since last run" in table
    assert [" ".join(row(table, line)[-2:]) for line in (2, 3)] == ["+1.5 %", "~-20.0 %"]
    assert row(table, 4)[-1] == "-"


def test_what_was_judged_where_times_have_no_baseline() -> None:
    new = Verdict("latency", "no-baseline", "not-in-file", "no time has been accepted for it")
    same = Verdict("complexity", "unchanged", "equal", "as accepted")
    cell = Record("timm/a", TARGET, COUNTS, [same, new])
    assert " ".join(row(run_table([cell], {}, with_target=False))[-2:]) == "counts unchanged"
    cell.verdicts = [new]
    assert row(run_table([cell], {}, with_target=False))[-1] == "no-baseline"
    for verdicts in ([new], [same, new]):
        cell.verdicts = verdicts
        table = run_table([cell], {}, with_target=False, is_accepted=True)
        assert row(table)[-2:] == ["-", "accepted"]
    cell.verdicts = [same, Verdict("latency", "regressed", "slower", "x"), new]
    for is_accepted in (False, True):
        table = run_table([cell], {}, with_target=False, is_accepted=is_accepted)
        assert row(table)[-1] == "regressed"


def test_outputs_that_agree_are_no_times_that_were_compared() -> None:
    agrees = Verdict(
        "output_difference", "unchanged", "within-tolerance", "s", 0.0, 1e-7,
        budget="output_difference <= 0.0001",
    )  # fmt: skip
    cell = timed([0.01] * 200)
    cell.verdicts = [agrees]
    assert run_table([cell], {}, with_target=False).splitlines()[2].endswith("  outputs agree")
    cell.verdicts = [agrees, Verdict("latency", "unchanged", "r", "s")]
    assert row(run_table([cell], {}, with_target=False))[-1] == "unchanged"


def test_noise_is_marked_and_explained() -> None:
    noisy = timed([0.01] * 3, [Note("noisy", "x")])
    cells = [noisy, timed([0.01] * 3)]
    assert "~10" in row(run_table(cells, {}, with_target=False))
    first, second = doubts(cells)
    assert first.startswith("~ too noisy to trust, 1 of 2: ")
    assert "--time-budget=10" in second
    assert "without -n" in doubts(cells, workers=True)[1]
    assert doubts(cells[1:]) == []


def test_a_failure_is_its_verdict() -> None:
    verdict = Verdict("latency", "crashed", "ValueError", "it failed")
    cell = Record("timm/a", TARGET, COUNTS, [verdict, verdict])
    assert row(run_table([cell], {}, with_target=True))[-1] == "crashed"
    assert cell_line(cell) == "crashed"


def test_what_is_only_reported_is_no_failure() -> None:
    changed = Verdict("params", "changed", "reported", "params 1 -> 2")
    cell = timed([0.01] * 8)
    cell.verdicts.append(changed)
    assert not is_bad(cell)
    assert cell_line(cell) == "10 ms  200 images/s  ±0.0 %"
    cell.verdicts.append(replace(changed, reason="differs"))
    assert is_bad(cell)


def test_line_of_a_cell() -> None:
    assert cell_line(timed([0.01] * 8)) == "10 ms  200 images/s  ±0.0 %"
    assert cell_line(Record("timm/a", None, COUNTS)) == "11.69 M params  1.814 GMACs"


def test_catalogue() -> None:
    models = [ModelSpec("timm", "a", label="A"), ModelSpec("timm", "b", (3, 299, 299))]
    table = catalogue_table(models, {"timm/a": 70.0, "timm/b": None})
    assert row(table) == ["timm/a", "A", "3x224x224", "70.00"]
    assert row(table, 3) == ["timm/b", "3x299x299", "-"]
