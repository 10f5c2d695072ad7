"""Notes beside figures: each is said where a run ends, whichever code it has."""

from __future__ import annotations

from archbench.core.records import SAID_ELSEWHERE, Record
from archbench.core.verdicts import Note
from archbench.report.summary_lines import SHOWN, note_lines


def record(id: str, *notes: Note) -> Record:
    return Record(id, None, notes=list(notes))


def test_each_note_is_said_of_whom_it_is_about() -> None:
    built = Note("precision", "it was built in float64 and is timed so")
    fell_back = Note("fell-back", "the CPU runs 2 of 30 operators: Resize, TopK")
    cells = [record("local/a", built), record("timm/b", fell_back), record("timm/c", fell_back)]
    assert note_lines(cells) == [
        "Notes:",
        "  local/a: it was built in float64 and is timed so.",
        "  timm/b, timm/c: the CPU runs 2 of 30 operators: Resize, TopK.",
    ]


def test_a_code_that_nobody_knows_is_said_too() -> None:
    assert note_lines([record("local/a", Note("of-a-plugin", "it hums"))]) == [
        "Notes:",
        "  local/a: it hums.",
    ]


def test_what_a_summary_has_in_another_place_is_not_said_twice() -> None:
    assert note_lines([record("local/a", *(Note(code, "x") for code in SAID_ELSEWHERE))]) == []
    assert {"noisy", "second-opinion", "images-unreadable"} < set(SAID_ELSEWHERE)


def test_many_networks_and_many_notes_are_shortened() -> None:
    cells = [record(f"local/{number}", Note("gradients", "same")) for number in range(5)]
    assert note_lines(cells)[1] == "  local/0, local/1, local/2, ...: same."
    cells = [record(f"local/{number}", Note("filled", str(number))) for number in range(SHOWN + 3)]
    assert len(note_lines(cells)) == 1 + SHOWN + 1
    assert "3 more" in note_lines(cells)[-1]
