"""From the record of a cell to the row that reports draw and list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archbench.core.figures import figures_of, status_of
from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.core.rows import NOISY, Row, Value, with_derived
from archbench.core.run_config import further_axes
from archbench.core.spec import Target


def row_of(
    header: RunHeader,
    cell: Record,
    *,
    family: str,
    published: Mapping[str, Value],
    run: str,
) -> Row:
    """A cell of a run.

    Of a series the median counts, with its 95 % interval. A published accuracy stands in only
    where none was measured, and not for quantised weights, which are others.

    Args:
        header: the first line of the run's journal.
        cell: merged record.
        family: of networks.
        published: accuracies from documents by metric.
        run: id of the run.

    Raises:
        ValueError: the record holds what no run writes; says what.
    """
    figures = figures_of(cell, run)
    target = cell.target
    library, _, name = cell.id.partition("/")
    if not (library and name):
        raise ValueError(f"an id is expected, as timm/resnet50, found {cell.id!r}")
    environment = header.get("environment") or {}
    git = environment.get("git")
    return Row(
        id=cell.id,
        name=name,
        library=library,
        family=family,
        **_setting(target),
        run=run,
        when=environment.get("time"),
        commit=git.get("commit") if isinstance(git, Mapping) else None,
        values=with_derived(
            figures if cell.is_quantised else {**published, **figures},
            None if target is None else target.batch_size,
        ),
        status=status_of(cell),
        noisy=NOISY if cell.is_noisy else (),
    )


def _setting(target: Target | None) -> dict[str, Any]:
    """On what, and how it was run; of an accuracy the precision and the runtime alone."""
    if target is None:
        return {}
    not_timed = further_axes() if target.batch_size is None else ()
    stated = target.fields_without(*(one.name for one in not_timed if one.name != "runtime"))
    where = {"device": target.slug, "device_name": target.device_name, "asked": target.asked}
    return {**where, **stated}
