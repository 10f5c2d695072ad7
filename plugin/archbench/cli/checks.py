"""What ``archbench doctor`` has checked, line by line."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True, slots=True)
class Checked:
    """One line of the report.

    Attributes:
        check: what was looked at.
        state: ``ok``; ``note``: something cannot be measured here, or not well; ``fault``: a run
            would fail.
        found: what is there.
        todo: what to do about it; empty where nothing is to be done.
    """

    check: str
    state: str
    found: str
    todo: str = ""
