"""Verdicts as a linter lists them: each once, what fails first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.core.foreign import plain
from archbench.core.gate import COMPLEXITY, COUNTS
from archbench.core.records import Record, target_key
from archbench.core.verdicts import FAILING, INFORMATIONAL, NEWS, Verdict

LONGEST_SENTENCE = 1000
"""Characters of a sentence; a model's own error can be a page."""

_SHARED = (COMPLEXITY, *COUNTS)
"""Metrics that do not depend on a device: every cell of an architecture has the same verdicts."""

_WARNING = ("inconclusive", "not-comparable")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One verdict, once: the counts of an architecture are not said again for each of its cells.

    Attributes:
        id: of the architecture.
        target: ``cpu-amd-epyc/fp32-b1``; empty where the verdict does not depend on it.
        metric, status, reason, sentence, baseline, value, budget: of the verdict.
        level: ``error`` where it fails a test, ``warning`` where nothing could be decided,
            ``notice`` where it is better or accepted; None for what needs nobody's attention.
    """

    id: str
    target: str
    metric: str
    status: str
    reason: str
    sentence: str
    baseline: Any
    value: Any
    level: str | None
    budget: str | None = None

    @property
    def cell(self) -> str:
        """``timm/resnet50 fp32-b1``."""
        return f"{self.id} {self.target.rpartition('/')[2]}".strip()

    @property
    def spoken(self) -> str:
        """The status, and that it was accepted."""
        return f"{self.status}, {self.reason}" if self.reason in INFORMATIONAL else self.status

    @property
    def identity(self) -> str:
        """The same in every run in which the same is wrong with the same cell, whatever the values.

        64 hexadecimal digits.
        """
        # A metric may have a baseline and several budgets.
        about = () if self.budget is None else (self.budget,)
        parts = "\0".join((self.id, self.target, self.metric, self.status, *about))
        return hashlib.sha256(parts.encode("utf-8", "backslashreplace")).hexdigest()


Locate = Callable[[Diagnostic], "tuple[str, int] | None"]
"""To a path from the repository's root and a line; None where nothing in a file is meant."""


def diagnostics(cells: Iterable[Record], *, failing: Sequence[str] = FAILING) -> list[Diagnostic]:
    """Every verdict once, those that fail first, then by how much they say.

    Args:
        cells: merged records.
        failing: statuses that fail a test in this run; a change that is being accepted does not.
    """
    found: dict[Diagnostic, None] = {}
    for cell in cells:
        for verdict in cell.verdicts:
            shared = verdict.metric in _SHARED
            diagnostic = Diagnostic(
                cell.id,
                "" if shared else target_key(cell.target),
                verdict.metric,
                verdict.status,
                verdict.reason,
                clean(verdict.sentence) or verdict.reason,
                _hashable(verdict.baseline),
                _hashable(verdict.value),
                level_of(verdict, failing),
                verdict.budget,
            )
            found.setdefault(diagnostic)
    levels = ("error", "warning", "notice", None)
    return sorted(found, key=lambda f: (levels.index(f.level), NEWS.index(f.status)))


def level_of(verdict: Verdict, failing: Sequence[str]) -> str | None:
    """``error``, ``warning``, ``notice``; None for what needs nobody's attention."""
    status = verdict.status
    if verdict.reason in INFORMATIONAL or (status == "improved" and status not in failing):
        return "notice"
    if status in failing:
        return "error"
    return "warning" if status in _WARNING else None


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def clean(text: str) -> str:
    """Text that every encoding and every CI system takes: plain, and not a page."""
    text = plain(text).strip()
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:LONGEST_SENTENCE]} ..."
