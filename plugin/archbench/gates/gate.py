"""One gate: read what was accepted, compare, explain a failure, accept.

What is compared with what is a strategy's affair: counts, times, memory and energy, accuracies and
fingerprints with stored lines, two versions side by side, figures with budgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Generic, TypeVar

from archbench.core.lines import Line, StampedLine
from archbench.core.records import Record
from archbench.core.verdicts import FAILING, INFORMATIONAL, Verdict
from archbench.store.baselines import (
    NAMES,
    Baselines,
    Updated,
    read_baselines,
    update_baselines,
)

_Line = TypeVar("_Line", bound=Line)


def verdict_lines(
    cell: str,
    verdicts: Iterable[Verdict],
    sentence: Callable[[Verdict], str] = lambda verdict: verdict.sentence,
) -> list[str]:
    """A line for each verdict about a cell: ``regressed: timm/a fp32-b1: 1 ms -> 2 ms``."""
    return [f"{one.status}: {cell}: {sentence(one)}" for one in verdicts]


@dataclass(frozen=True, slots=True)
class Accepted(Generic[_Line]):
    """What was accepted of a cell.

    Attributes:
        line: of the file; None where nothing was.
        where: it stands, for people: ``baselines/v100/fp16.jsonl:3``.
    """

    line: _Line | None
    where: str

    @property
    def text(self) -> str:
        """Where it stands, when it was accepted and why."""
        line: Line | None = self.line
        if not isinstance(line, StampedLine):
            return self.where
        commit = f" on commit {line.commit[:9]}" if line.commit else ""
        reason = f": {line.reason}" if line.reason else ""
        return f"{self.where}, accepted {line.when}{commit}{reason}"

    def lines(self, since: Sequence[str] = ()) -> list[str]:
        """What a failure says of it, with what has changed since; nothing where there is none."""
        if self.line is None:
            return []
        changed = [f"Since then: {'; '.join(since)}."] if since else []
        return [f"Baseline: {self.text}.", *changed]


def changes(
    then: Mapping[str, object], now: Mapping[str, object], *, without: Sequence[str] = ()
) -> list[str]:
    """``torch 2.5.1 -> 2.6.0`` for each field of now that another value was accepted with."""
    return [
        f"{name.replace('_', ' ')} {then.get(name)} -> {value}"
        for name, value in now.items()
        if then.get(name) != value and name not in without
    ]


@dataclass(slots=True)
class Gate:
    """The baselines of a project and how this run takes them.

    Attributes:
        root: of the project.
        lock: a file to wait on while baselines are written.
        accepting: ``all`` or ``new`` where the baseline is to be written; None to compare.
        is_required: whether a cell without a baseline fails.
        is_strict: whether a comparison that cannot tell fails.
        reason: why what is accepted is accepted.
    """

    root: Path
    lock: Path
    accepting: str | None = None
    is_required: bool = False
    is_strict: bool = False
    reason: str | None = None
    _files: dict[Path, Baselines[Any]] = field(default_factory=dict)

    # Read.

    def path(self, kind: type[Line], slug: str = "", dtype: str = "") -> Path:
        """The file of a kind; of times there is one for each device and precision."""
        name = NAMES.get(kind) or f"{slug}/{dtype}.jsonl"
        return self.root / "baselines" / name

    def file(self, kind: type[_Line], slug: str = "", dtype: str = "") -> Baselines[_Line]:
        """What was accepted, read once.

        Raises:
            UsageError: the file is damaged or newer.
        """
        path = self.path(kind, slug, dtype)
        if path not in self._files:
            self._files[path] = read_baselines(path, kind)
        return self._files[path]

    def accepted(
        self, kind: type[_Line], key: str, slug: str = "", dtype: str = ""
    ) -> Accepted[_Line]:
        """The line of a cell.

        Raises:
            UsageError: as :meth:`file`.
        """
        file = self.file(kind, slug, dtype)
        where = f"{file.path.relative_to(self.root)}:{file.numbers.get(key)}"
        return Accepted(file.lines.get(key), where)

    # Compare.

    @property
    def replaces(self) -> bool:
        """Whether what is measured now is to be the baseline, whatever was accepted."""
        return self.accepting == "all"

    @property
    def failing(self) -> tuple[str, ...]:
        """Statuses of verdicts that fail a test."""
        missing = ("no-baseline",) if self.is_required and self.accepting is None else ()
        unclear = ("inconclusive", "not-comparable") if self.is_strict else ()
        return (*FAILING, *missing, *unclear)

    def fails(self, verdict: Verdict) -> bool:
        """Whether a verdict fails its test: a budget holds whatever is being accepted."""
        if verdict.reason in INFORMATIONAL:
            return False
        if verdict.budget is not None:
            return verdict.status in FAILING
        return not self.replaces and verdict.status in self.failing

    def judge(
        self,
        record: Record,
        verdicts: Sequence[Verdict],
        explain: Callable[[list[Verdict]], Iterable[str]],
    ) -> str | None:
        """Note verdicts in the cell's record.

        Args:
            explain: the lines of a failure, from the verdicts that fail the test.

        Returns:
            The text of the failure; None where no verdict fails the test.
        """
        record.verdicts += verdicts
        bad = [one for one in verdicts if self.fails(one)]
        return "\n".join(explain(bad)) if bad else None

    # Accept.

    def stamp(self, commit: str | None) -> dict[str, str | None]:
        """When, at which commit of the project and why something is accepted."""
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return {"when": when, "commit": commit, "reason": self.reason}

    def accept(
        self, kind: type[_Line], lines: Iterable[tuple[Path, _Line]]
    ) -> list[tuple[Path, Updated]]:
        """Write lines into their files, each once.

        Raises:
            UsageError: a file was damaged in the meantime.
            OSError: it cannot be written.
        """
        files: dict[Path, list[_Line]] = {}
        for path, line in lines:
            files.setdefault(path, []).append(line)
        is_new = self.accepting == "new"
        return [
            (path, update_baselines(path, kind, found, self.lock, only_new=is_new))
            for path, found in sorted(files.items())
        ]
