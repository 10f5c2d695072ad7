"""Baselines of this run: reading them, judging by them, writing them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from archbench.core.complexity import Complexity
from archbench.core.errors import UsageError
from archbench.core.gate import COUNTS, count_verdicts
from archbench.core.records import Record
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.store.baselines import Baselines, Updated, read_baselines, update_baselines

__all__ = ["accepted_counts", "counts_path", "judge_counts", "write_counts"]

_ACCEPTED: pytest.StashKey[Baselines] = pytest.StashKey()


def counts_path(config: pytest.Config) -> Path:
    """The file that holds the accepted counts."""
    return config.rootpath / "baselines" / "complexity.jsonl"


def accepted_counts(config: pytest.Config) -> Baselines:
    """The accepted counts, read once.

    Raises:
        pytest.UsageError: the file is damaged or newer.
    """
    if _ACCEPTED not in config.stash:
        try:
            config.stash[_ACCEPTED] = read_baselines(counts_path(config), "complexity")
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return config.stash[_ACCEPTED]


def _line(record: Record) -> dict[str, Any]:
    """What a file of baselines says about a counted architecture."""
    metrics = record.metrics
    return {
        "id": record.id,
        **{name: metrics[name]["value"] for name in COUNTS},
        **metrics["macs"]["counted_with"],
        "layers": metrics["layers"]["value"],
    }


def judge_counts(node: pytest.Item, record: Record, complexity: Complexity) -> str | None:
    """Compare a count with the accepted one, and note the verdicts in its record.

    Returns:
        The text of the failure where anything changed and is not being accepted.
    """
    config = node.config
    baselines = accepted_counts(config)
    baseline = baselines.lines.get(record.id)
    accept = settings_of(config).baseline_update == "all"
    line = _line(record)
    verdicts = count_verdicts(baseline, line, accept=accept)
    record.verdicts += [verdict.as_dict() for verdict in verdicts]
    if baseline is None or accept or verdicts[0].status != "changed":
        return None
    from archbench.report.counts import changed_text

    path = baselines.path.relative_to(config.rootpath)
    text = (
        f"changed: {record.id} differs from {path}:{baselines.numbers[record.id]}\n"
        f"{changed_text(record.verdicts, baseline, complexity.layers)}\n"
        f"{_versions(baseline, line)}\n{_how_to_accept(node, record.id)}"
    )
    return spelled(config, text)


def _versions(baseline: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    then, now = (f"{side['library']}, torch {side['torch']}" for side in (baseline, line))
    return f"Both with {now}." if then == now else f"Accepted with {then}; now {now}."


def _how_to_accept(node: pytest.Item, model: str) -> str:
    if model.startswith("local/"):
        return "If this is meant, run the same command with --baseline-update."
    path = node.nodeid.partition("::")[0]
    return f"If this is meant: pytest {path} --models={model} --baseline-update"


def write_counts(config: pytest.Config, counted: Mapping[str, Record]) -> Updated:
    """Accept counts as the baseline.

    Args:
        config: of the run.
        counted: records of tests that passed, by architecture.

    Raises:
        UsageError: the file was damaged in the meantime.
        OSError: it cannot be written.
    """
    return update_baselines(
        counts_path(config),
        "complexity",
        {model: _line(record) for model, record in counted.items()},
        config.rootpath / ".archbench" / "baselines.lock",
        only_new=settings_of(config).baseline_update == "new",
    )
