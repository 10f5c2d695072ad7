"""The summary of a run in the terminal: its table, and what is said below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from archbench.catalog import published_top1
from archbench.catalog.published import PublishedFigure
from archbench.core.lines import CountLine
from archbench.core.records import Record, not_derived
from archbench.core.run_config import further_axes
from archbench.core.spec import LIBRARIES
from archbench.gates.informal import since_last_run
from archbench.metrics import format_seconds
from archbench.pytest_plugin.against import against_lines
from archbench.pytest_plugin.budgets import unjudged_lines, unmatched_lines
from archbench.pytest_plugin.gate import accepted_counts, unasked_lines
from archbench.pytest_plugin.hosts import hosts_of
from archbench.pytest_plugin.options import has_workers, spelled
from archbench.pytest_plugin.selection import selected_models
from archbench.pytest_plugin.settings import settings_of
from archbench.report.provenance import provenance_lines
from archbench.report.summary_lines import last_run_lines, note_lines, summary_lines
from archbench.report.table import doubts, has_accepted_counts, run_table


def print_summary(
    config: pytest.Config,
    cells: Sequence[Record],
    write: Callable[..., object],
    *,
    expected: int,
    elapsed: float,
    sharing: Mapping[str, str],
    journal: Path | None,
    is_accepted: bool,
) -> None:
    """Print the table of a run and what is to be known about it.

    Args:
        cells: merged records, in the order of the table.
        write: writes a line, with a colour: ``write("...", yellow=True)``.
        expected: how many cells there were to be.
        elapsed: seconds of the run.
        sharing: who else used a device, by its name.
        journal: of the run, beside which earlier ones are looked for; None where there is none.
        is_accepted: whether what had no baseline was accepted as one.
    """
    published = {model: figure.value for model, figure in published_of(config, cells).items()}
    targets = {cell.key[1] for cell in cells if cell.target}
    counts = accepted_counts(config).lines
    settings = settings_of(config)
    # A glance, and a run beside another version, are not compared with the last run.
    is_alone = not (settings.quick or settings.against)
    last = since_last_run(cells, journal) if journal is not None and is_alone else {}
    changes = {key: one.change for key, one in last.items()}
    write(
        run_table(
            cells,
            published,
            with_target=len(targets) > 1,
            counts=counts,
            changes=changes,
            is_accepted=is_accepted,
        )
    )
    write("")
    if said := remarks(cells, has_published=bool(published), counts=counts):
        write(said)
    for line in _doubtful(config, cells, sharing):
        write(line, yellow=True)
    if spent := _spent(cells, expected, elapsed):
        write(spent)
    for line in (*unjudged_lines(config, cells), *unmatched_lines(config, cells)):
        write(spelled(config, line), yellow=True)
    # Beside another version no stored baseline has a part, that could be accepted.
    accepting = settings.baseline_update is not None or settings.against is not None
    for line in (
        *note_lines(cells),
        *against_lines(config),
        *summary_lines(cells, accepting=accepting),
        *last_run_lines(last),
        *unasked_lines(config, cells),
    ):
        write(spelled(config, line))


def remarks(
    cells: Sequence[Record], *, has_published: bool, counts: Mapping[str, CountLine]
) -> str:
    """What the signs in the table mean that stand in it."""
    said = {
        "* published, not measured here.": has_published,
        "^ accepted, not counted in this run.": has_accepted_counts(cells, counts),
        "p95 needs 130 samples, so it is absent (-) where the time budget allowed fewer.": any(
            "p95" in not_derived(cell) for cell in cells
        ),
    }
    return " ".join(remark for remark, applies in said.items() if applies)


def _doubtful(
    config: pytest.Config, cells: Sequence[Record], sharing: Mapping[str, str]
) -> Iterator[str]:
    """Why figures are to be taken with care."""
    for sentence in doubts(cells, workers=has_workers(config) and hosts_of(config) is None):
        yield spelled(config, sentence)
    yield from provenance_lines(cells, _own_libraries(config))
    for device, others in sharing.items():
        yield f"{device} was shared: {others}."


def _spent(cells: Sequence[Record], expected: int, elapsed: float) -> str:
    """What the time of a run went into; empty where no forward pass was timed."""
    load, forward = (
        sum(cell.seconds.get(name, 0.0) for cell in cells) for name in ("load", "forward")
    )
    if not forward:
        return ""
    return (
        f"{_how_many(cells, expected)} in {format_seconds(elapsed)}: {format_seconds(forward)} "
        f"in forward passes, {format_seconds(load)} loading."
    )


def _how_many(cells: Sequence[Record], expected: int) -> str:
    if expected > len(cells):
        return f"{len(cells)} of {expected} cells"
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"


def published_of(config: pytest.Config, cells: Sequence[Record]) -> dict[str, PublishedFigure]:
    """The published top-1 of each architecture among some cells, where there is one."""
    models = {}
    specs = {model.id: model for model in selected_models(config)}
    for cell in cells:
        spec = specs.get(cell.id)
        figure = published_top1(spec) if spec is not None else None
        if figure is not None:
            models[cell.id] = figure
    return models


def _own_libraries(config: pytest.Config) -> dict[str, str]:
    """Model libraries that the project itself holds, with their paths from its root."""
    root = config.rootpath
    return {
        library: f"./{path}"
        for library in LIBRARIES
        for path in (f"src/{library}", library)
        if library != "archbench" and (root / path / "__init__.py").is_file()
    }


def title_of(config: pytest.Config, cells: Sequence[Record]) -> str:
    """Device and settings of a run, from its cells."""
    targets = [cell.target for cell in cells if cell.target]
    if not targets:
        return "counted"
    devices = dict.fromkeys(f"{one.device} ({one.device_name})" for one in targets)
    parts = [" and ".join(devices)]
    threads, dtype, batch = (
        value.pop() if len(value := {getattr(target, field) for target in targets}) == 1 else None
        for field in ("threads", "dtype", "batch_size")
    )
    if threads:
        parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
    if dtype:
        parts.append(dtype)
    if batch:
        parts.append(f"batch size {batch}")
    for axis in further_axes():
        values = {target[axis.name] for target in targets}
        if len(values) == 1:
            parts.append(axis.text(values.pop()))
    if settings_of(config).quick:
        parts.append("quick: not for comparing")
    return ", ".join(filter(None, parts))


def in_order(config: pytest.Config, cells: Sequence[Record]) -> list[Record]:
    """Cells in the order in which their architectures were selected."""
    rank = {model.id: i for i, model in enumerate(selected_models(config))}
    return sorted(cells, key=lambda cell: rank.get(cell.id, len(rank)))
