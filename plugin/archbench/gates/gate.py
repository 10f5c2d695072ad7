"""One gate: read what was accepted, compare, explain a failure, accept.

What is compared with what is a strategy's affair: counts, times, memory and energy, accuracies and
fingerprints with stored lines, two versions side by side, figures with budgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from archbench.core.records import Record
from archbench.core.verdicts import FAILING, Verdict
from archbench.store.baselines import (
    NAMES,
    Baselines,
    Updated,
    key_of,
    read_baselines,
    update_baselines,
)

__all__ = ["Accepted", "Gate", "changes"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted of a cell.

    Attributes:
        line: of the file; None where nothing was.
        where: it stands, for people: ``baselines/v100/fp16.jsonl:3``.
    """

    line: Mapping[str, Any] | None
    where: str

    @property
    def text(self) -> str:
        """Where it stands, when it was accepted and why."""
        if self.line is None or "when" not in self.line:
            return self.where
        commit = f" on commit {self.line['commit'][:9]}" if self.line["commit"] else ""
        reason = f": {self.line['reason']}" if self.line["reason"] else ""
        return f"{self.where}, accepted {self.line['when']}{commit}{reason}"


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
    _files: dict[Path, Baselines] = field(default_factory=dict)

    # Read.

    def path(self, kind: str, slug: str = "", dtype: str = "") -> Path:
        """The file of a kind; of times there is one for each device and precision."""
        name = NAMES.get(kind) or f"{slug}/{dtype}.jsonl"
        return self.root / "baselines" / name

    def file(self, kind: str, slug: str = "", dtype: str = "") -> Baselines:
        """What was accepted, read once.

        Raises:
            UsageError: the file is damaged or newer.
        """
        path = self.path(kind, slug, dtype)
        if path not in self._files:
            self._files[path] = read_baselines(path, kind)
        return self._files[path]

    def accepted(self, kind: str, key: str, slug: str = "", dtype: str = "") -> Accepted:
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
        untold = ("inconclusive", "not-comparable") if self.is_strict else ()
        return (*FAILING, *missing, *untold)

    def fails(self, verdict: Verdict) -> bool:
        """Whether a verdict fails its test."""
        return verdict.status in self.failing

    # Explain.

    def noted(self, record: Record, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Note verdicts in the cell's record; returns those that fail its test, of which there are
        none where all is being accepted."""
        record.verdicts += verdicts
        return [] if self.replaces else [one for one in verdicts if self.fails(one)]

    def explanation(
        self,
        told: Sequence[str],
        accepted: Accepted,
        since: Sequence[str] = (),
        todo: Sequence[str] = (),
    ) -> str:
        """Why a test fails.

        Args:
            told: a line for each verdict that fails it.
            accepted: what it was compared with.
            since: what has changed since that was accepted.
            todo: lines that say what to do.
        """
        lines = list(told)
        if accepted.line is not None:
            lines.append(f"Baseline: {accepted.text}.")
        if accepted.line is not None and since:
            lines.append(f"Since then: {'; '.join(since)}.")
        return "\n".join([*lines, *todo])

    # Accept.

    def stamp(self, commit: str | None) -> dict[str, str | None]:
        """When, at which commit of the project and why something is accepted."""
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return {"when": when, "commit": commit, "reason": self.reason}

    def accept(
        self, kind: str, lines: Sequence[tuple[Path, Mapping[str, Any]]]
    ) -> list[tuple[Path, Updated]]:
        """Write lines into their files, each once.

        Raises:
            UsageError: a file was damaged in the meantime.
            OSError: it cannot be written.
        """
        files: dict[Path, dict[str, Mapping[str, Any]]] = {}
        for path, line in lines:
            files.setdefault(path, {})[key_of(line)] = line
        is_new = self.accepting == "new"
        return [
            (path, update_baselines(path, kind, found, self.lock, only_new=is_new))
            for path, found in sorted(files.items())
        ]
