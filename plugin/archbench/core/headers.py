"""What a run says of itself: the first line of its journal, and the head of its results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from archbench.core.forms import Json


class GitState(TypedDict, total=False):
    """Commit, and whether tracked files differ from it; None where git does not tell."""

    commit: str
    dirty: bool | None


class RunEnvironment(TypedDict, total=False):
    """Machine, load, versions and revision of a run; what is not known is None."""

    archbench: str
    time: str
    cpu: str
    cores: int | None
    logical_cores: int | None
    usable_cores: int | None
    load_average: list[float] | None
    memory_bytes: int
    system: str
    kernel: str
    machine: str
    python: str
    packages: dict[str, str]
    git: GitState | None


OF_THE_MOMENT = ("time", "load_average")
"""Fields of an environment that are others each time, also on the same machine."""


UNCOMMITTED = "uncommitted changes"
"""Name of the digest of what is not committed, among those of files."""

OF_ACCEPTING = ("baselines/", UNCOMMITTED, "git.")
"""Beginnings of what a run changes that accepts what it has measured."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who else uses the devices of a run.

    Attributes:
        others: for each device that others use, which processes, for people.
        unknown: for each device of which that is not known, why.
        turns: that workers of this run wait for one another, for people; empty where none does.
    """

    others: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    turns: str = ""

    def as_dict(self) -> dict[str, dict[str, str]]:
        """Builtin types only."""
        return {"others": self.others, "unknown": self.unknown}


class Selection(TypedDict, total=False):
    """Tests of a run: how many, the digest of their ids, and their architectures in order."""

    number: int
    digest: str
    models: list[str]


class Part(TypedDict):
    """A run that was joined with others."""

    run: str
    environment: RunEnvironment


class RunHeader(TypedDict, total=False):
    """What a run is of. Older runs and results lack some of it.

    ``whole`` is what a shard was selected from, ``merged`` the runs that were joined, ``devices``
    who else used them, and ``sources`` a digest of each file that figures depend on.
    """

    schema: int
    kind: str
    run: str
    environment: RunEnvironment
    settings: dict[str, Json]
    sources: dict[str, str]
    tests: Selection
    whole: Selection
    merged: list[Part]
    devices: Json
    crc: str
