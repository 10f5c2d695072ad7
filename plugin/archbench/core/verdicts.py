"""Every cell ends in exactly one status with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STATUSES = (
    "unchanged",
    "improved",
    "regressed",
    "changed",
    "inconclusive",
    "no-baseline",
    "not-comparable",
    "not-measured",
    "out-of-memory",
    "crashed",
)
"""What a verdict can say."""

FAILING = ("regressed", "changed", "not-measured", "out-of-memory", "crashed")
"""Statuses of a test that fails, unless the verdict's reason is one of :data:`INFORMATIONAL`."""

INFORMATIONAL = ("accepted", "reported", "new")
"""Reasons of verdicts that are reported and fail nothing, whatever their status: the change has
been accepted or is being accepted; the project has changes, or what is new, reported alone."""

UNASKED = ("no-dataset", "no-fingerprint")
"""Reasons of verdicts about what nobody asked for; they hide no other one of a cell."""

FATAL_DEVICE_ERROR = "fatal-device-error"
"""Reason of a ``crashed`` cell after which its process could use the device no more."""

NEWS = (*FAILING, "inconclusive", "not-comparable", "improved", "no-baseline", "unchanged")
"""Every status, the one that says most first."""


@dataclass(frozen=True, slots=True)
class Note:
    """A doubt about what was measured, or how it came about.

    Attributes:
        code: for programs.
        text: for people.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one metric of one cell.

    Attributes:
        metric: name of the metric.
        status: one of :data:`STATUSES`.
        reason: a code for programs: ``output-not-finite``.
        sentence: the same for people.
        baseline: the value that was accepted, where there is one to compare with.
        value: the value now.
        threshold: the relative change that has to be exceeded, where the metric has a spread.
        tolerance: the relative change that the project's rules ask to find; the threshold is
            larger where the spread does not allow it.
        budget: the limit that it is about: ``top1 >= 75 %``; None for a comparison with a baseline.
    """

    metric: str
    status: str
    reason: str
    sentence: str
    baseline: Any = None
    value: Any = None
    threshold: float | None = None
    tolerance: float | None = None
    budget: str | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"unknown status {self.status!r}; statuses are {', '.join(STATUSES)}")

    @property
    def about(self) -> tuple[str, str, str, str | None]:
        """What it says, without the values."""
        return self.metric, self.status, self.reason, self.budget

    @property
    def is_bad(self) -> bool:
        """Whether it fails a test whatever was asked for."""
        return self.status in FAILING and self.reason not in INFORMATIONAL
