"""The results file: everything about a run as one JSON document (``--results FILE``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from archbench.core.errors import UsageError
from archbench.core.forms import Json
from archbench.core.headers import RunHeader
from archbench.core.records import Record, statistics_of
from archbench.store.atomic import write_text
from archbench.store.journal import Run, checked

SCHEMA = 1
"""Version of the results file's format."""


def results_document(
    header: RunHeader, cells: Sequence[Record], published: Mapping[str, object]
) -> dict[str, Json]:
    """The document: environment, settings, and one entry for each cell.

    Args:
        header: of the run: ``environment``, ``settings``, ``run``.
        cells: merged records, see :func:`archbench.core.records.merge_records`.
        published: figures from documents by architecture id, kept apart from what was measured.
    """
    entries = []
    for cell in cells:
        entry = cell.as_dict()
        statistics = statistics_of(cell)
        if statistics:
            entry["metrics"]["latency"]["statistics"] = statistics
        if cell.id in published:
            entry["published"] = published[cell.id]
        entries.append(entry)
    return {"schema": SCHEMA, **cast("dict[str, Json]", header), "cells": entries}


def write_results(path: Path, document: Mapping[str, Json]) -> None:
    """Write the document so that the file is either the old one or the new one, never a part.

    Raises:
        OSError: the directory cannot be written.
    """
    write_text(path, json.dumps(document, allow_nan=False, indent=1) + "\n")


def read_results(path: Path) -> Run:
    """Read a results file back as a run; a cell that is damaged is named and left out.

    Raises:
        UsageError: it is no results file, or one of a newer schema.
        OSError: it cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UsageError(
            str(path), f"it is no JSON document ({error})", "Name a file that --results wrote"
        ) from error
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or type(document.get("schema")) is not int:
        raise UsageError(
            str(path), "it is JSON, but no results of archbench", "Name a file that --results wrote"
        )
    if document["schema"] > SCHEMA:
        raise UsageError(
            str(path),
            f"it has schema {document['schema']}, this archbench reads up to {SCHEMA}",
            "Install a newer pytest-archbench",
        )
    header = {name: value for name, value in document.items() if name != "cells"}
    run = Run(path, cast("RunHeader", header), finished=True)
    for number, entry in enumerate(cells, 1):
        try:
            record = checked(Record.from_dict(entry))
            record.key  # noqa: B018
            run.cells.append(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # noqa: PERF203
            run.damaged.append((number, f"{type(error).__name__}: {error}"))
    return run
