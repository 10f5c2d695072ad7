"""What stands below the table about accuracies."""

from __future__ import annotations

from typing import Any

from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Note, Verdict
from archbench.report.summary_lines import accuracy_lines
from archbench.report.table import cell_line, run_table


def cell(name: str = "a", status: str = "unchanged", reason: str = "equal", **top1: Any) -> Record:
    """80 % of 10,000 images, in 100 seconds: Wilson's interval is 79.20 to 80.77."""
    figures = {
        "value": 80.0, "images": 10_000, "low": 79.2, "high": 80.8, "unreadable": 0,
        "images_per_second": 100.0, "dataset": {"sample": None, "of": 10_000}, **top1,
    }  # fmt: skip
    target = Target("cpu", "X", "cpu").batchless
    verdict = Verdict("top1", status, reason, "as it is")
    metrics: dict[str, Any] = {"top1": figures, "top5": {"value": 95.0}}
    return Record(f"timm/{name}", target, metrics, [verdict], seconds={"evaluate": 100.0})


def test_how_many_are_known_and_how_well() -> None:
    cells = [cell(), cell("b", "regressed", "less-accurate")]
    assert accuracy_lines(cells, accepting=False) == [
        "Accuracy: 1 unchanged, 1 regressed; on 10,000 images, known to 0.8 points or better "
        "(95 %), 100 images/s."
    ]


def test_a_sample_is_said_to_be_one() -> None:
    one = cell(dataset={"sample": 10_000, "of": 50_000})
    assert (
        "on 10,000 images, a sample of 50,000, known" in accuracy_lines([one], accepting=False)[0]
    )


def test_what_has_no_baseline_is_reported_beside_what_is_published() -> None:
    cells = [
        cell("a", "no-baseline", "agrees-with-published"),
        cell("b", "no-baseline", "not-in-file"),
    ]
    assert accuracy_lines(cells, accepting=False)[1:] == [
        "  timm/a: as it is.",
        "  Accept what has no baseline: the same command with --baseline-update=new",
    ]
    assert len(accuracy_lines(cells, accepting=True)) == 1


def test_images_that_could_not_be_read_are_named() -> None:
    one = cell()
    one.notes.append(Note("images-unreadable", "2 of 10,002 images, x.png among them"))
    lines = accuracy_lines([one], accepting=False)
    assert lines[1] == "  timm/a: 2 of 10,002 images, x.png among them."


def test_what_was_not_asked_for() -> None:
    none = Record("timm/a", notes=[Note("accuracy-not-measured", "no images")])
    assert accuracy_lines([none, none], accepting=False) == ["Accuracy: 2 not measured: no images."]
    assert accuracy_lines([Record("timm/a")], accepting=False) == []


def test_fingerprints_are_counted() -> None:
    verdicts = [Verdict("fingerprint", "changed", "differs", "s")]
    assert accuracy_lines([Record("timm/a", verdicts=verdicts)], accepting=False) == [
        "Fingerprints: 1 changed."
    ]


def test_measured_and_published_stand_beside_each_other() -> None:
    header, _, row = run_table([cell()], {"timm/a": 80.4}, with_target=False).splitlines()
    assert header.split()[:10] == ["architecture", "library", "top-1", "%", "±", "top-5", "%", "top-1", "%*", "params"]  # fmt: skip  # noqa: E501
    assert row.split()[:6] == ["a", "timm", "80.00", "0.80", "95.00", "80.40*"]
    assert cell_line(cell()) == "top-1 80.00 %  top-5 95.00 %  100 images/s"
