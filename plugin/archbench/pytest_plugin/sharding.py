"""Which tests are measured together: ``--shard=2/4``, the part of this machine, and what each
worker of ``-n`` gets at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import ArchbenchError
from archbench.core.headers import Selection
from archbench.core.pace import Pace
from archbench.core.shards import shares, units
from archbench.gates.informal import last_seconds
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import has_workers
from archbench.pytest_plugin.progress import expected_seconds, seconds_at
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import uses_archbench
from archbench.pytest_plugin.starting import handed_on
from archbench.store.journal import read_run

WHOLE = "whole.json"
"""File by which a worker of pytest-xdist hands on what it has selected from."""

_WHOLE: pytest.StashKey[list[str]] = pytest.StashKey()


def identity_of(nodeids: Iterable[str]) -> Selection:
    """What tells one selection of tests from another."""
    nodeids = sorted(nodeids)
    digest = hashlib.sha256("\n".join(nodeids).encode("utf-8", "replace"))
    return {"number": len(nodeids), "digest": digest.hexdigest()[:16]}


def whole_of(config: pytest.Config) -> Selection | None:
    """Of which selection a shard is, with its architectures in their order; None for no shard."""
    nodeids = config.stash.get(_WHOLE, None)
    if nodeids is None:
        # Workers of pytest-xdist have collected them.
        return handed_on(config, WHOLE, Selection) if has_workers(config) else None
    models = list(dict.fromkeys(_group(nodeid) for nodeid in nodeids))
    return {**identity_of(nodeids), "models": models}


def keep_shard(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other shards. All of one architecture are in one, and what measures
    nothing is in the first.

    Raises:
        pytest.UsageError: there are more shards than architectures.
    """
    shard = settings_of(config).shard
    if shard is None:
        return
    ours = [item for item in items if uses_archbench(item)]
    config.stash[_WHOLE] = [item.nodeid for item in ours]
    weights: dict[str, float] = {}
    known = _known_seconds(settings_of(config).shard_times)
    budget = settings_of(config).time_budget
    for item in ours:
        group = _group(item.nodeid)
        weights[group] = weights.get(group, 0.0) + _seconds(item.nodeid, budget, known)
    if len(weights) < shard.of:
        raise pytest.UsageError(
            f"--shard={shard}: {len(weights)} architectures are selected, so that a shard would "
            f"be empty. Use at most {max(len(weights), 1)} shards"
        )
    mine = set(shares(weights, shard.of)[shard.number - 1])
    is_first = shard.number == 1
    kept = [
        item
        for item in items
        if (_group(item.nodeid) in mine if uses_archbench(item) else is_first)
    ]
    left_out = [item for item in items if item not in set(kept)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def units_of(
    config: pytest.Config, nodeids: Sequence[str], ours: Mapping[str, bool], workers: int
) -> list[list[int]]:
    """What workers on this machine get at once, as indices of tests: those of an architecture
    together, and first what takes longest, as it did in the last runs or by its multiply-adds.

    Args:
        ours: the tests that measure, and whether there is anything to do for them; other tests are
            in no unit.
    """
    settings = settings_of(config)
    known = last_seconds(settings.directory / "runs", settings.gpu == "cpu")
    indices = [index for index, nodeid in enumerate(nodeids) if nodeid in ours]
    cells = [cell_of(nodeids[index]) or (nodeids[index], "") for index in indices]
    tests = Counter(cells)

    def seconds(nodeid: str, cell: tuple[str, str]) -> float:
        if not ours[nodeid]:
            return 0.0
        before = known.get(cell)
        if before is not None:
            return before / tests[cell]
        return expected_seconds(config, *cell, settings.time_budget)

    each = [seconds(nodeids[index], cell) for index, cell in zip(indices, cells, strict=True)]
    found = units([model for model, _ in cells], each, workers)
    return [[indices[place] for place in unit] for unit in found]


def _group(nodeid: str) -> str:
    """The architecture of a test; a test without one is on its own."""
    return (cell_of(nodeid) or (nodeid, ""))[0]


def _seconds(nodeid: str, budget: float, known: dict[tuple[str, str], float]) -> float:
    """What a test takes: as in an earlier run, else from its multiply-adds."""
    model, suffix = cell_of(nodeid) or ("", "")
    if (model, suffix) in known:
        return known[model, suffix]
    # The same rate everywhere, so that all machines come to the same shares.
    return seconds_at(Pace(), model, suffix, budget)


def _known_seconds(path: Path | None) -> dict[tuple[str, str], float]:
    """Seconds that cells took in an earlier run.

    Raises:
        pytest.UsageError: it cannot be read.
    """
    if path is None:
        return {}
    path = path / "journal.jsonl" if path.is_dir() else path
    try:
        cells: Sequence[Any] = read_run(path).cells
    except (ArchbenchError, OSError) as error:
        raise pytest.UsageError(
            f"--shard-times={path}: it is no journal that can be read ({error}). Name the "
            "directory of a run, which all shards have"
        ) from None
    return {(cell.id, cell.suffix): sum(cell.seconds.values()) for cell in cells if cell.seconds}
