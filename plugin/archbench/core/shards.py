"""Parts of a run: for other machines, and for the workers of one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from archbench.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts.

    Attributes:
        number: which one, from 1.
        of: how many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``2/4``.

        Raises:
            UsageError: it is none.
        """
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        if match is None:
            raise UsageError(
                f"--shard={text}", "it is not two numbers", "Write --shard=2/4 for the 2nd of 4"
            )
        number, of = int(match[1]), int(match[2])
        if not 1 <= number <= of:
            raise UsageError(
                f"--shard={text}",
                f"of {of} shards there is none with the number {number}",
                f"Count them from 1 to {of}" if of else "Write --shard=1/1 for all in one",
            )
        return cls(number, of)


def shares(weights: Mapping[str, float], of: int) -> list[list[str]]:
    """What each of several machines gets, so that all take about as long: the heaviest first, each
    to whoever has least (Graham's rule: at most 4/3 of the best there is).

    The same weights give the same shares, in whatever order they come. Each share is in the order
    of the weights.
    """
    found: list[list[str]] = [[] for _ in range(of)]
    loads = [0.0] * of
    for name in sorted(weights, key=lambda one: (-weights[one], one)):
        least = min(range(of), key=lambda index: (loads[index], index))
        found[least].append(name)
        loads[least] += weights[name]
    place = {name: index for index, name in enumerate(weights)}
    return [sorted(share, key=place.__getitem__) for share in found]


def units(groups: Sequence[str], seconds: Sequence[float], workers: int) -> list[list[int]]:
    """What is handed out at once to workers of one machine, in its order: all tests of a group,
    the group first that takes longest.

    Args:
        groups: that each test is of.
        seconds: that each test is expected to take.
        workers: that share the tests. What takes more than half of what each of them has to do is
            cut between two tests, so that the others can help.

    Returns:
        Indices of tests.
    """
    most = sum(seconds) / workers / 2 if workers > 1 else inf
    members: dict[str, list[list[int]]] = {}
    for index, group in enumerate(groups):
        parts = members.setdefault(group, [[]])
        if parts[-1] and sum(seconds[one] for one in (*parts[-1], index)) > most:
            parts.append([])
        parts[-1].append(index)
    found = [part for parts in members.values() for part in parts]
    return sorted(found, key=lambda part: -sum(seconds[index] for index in part))
