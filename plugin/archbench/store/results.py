"""The results file: everything about a run as one JSON document (``--results FILE``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archbench.core.records import Record, derived
from archbench.store.atomic import write_text
from archbench.store.journal import SCHEMA

__all__ = ["results_document", "write_results"]


def results_document(
    header: dict[str, Any], cells: Sequence[Record], published: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The document: environment, settings, and one entry for each cell.

    Args:
        header: of the run: ``environment``, ``settings``, ``run``.
        cells: merged records, see :func:`archbench.core.records.merge_records`.
        published: figures from documents by architecture id, kept apart from what was measured.
    """
    entries = []
    for cell in cells:
        entry = cell.as_dict()
        statistics = derived(cell)
        if statistics:
            entry["metrics"]["latency"]["statistics"] = statistics
        if cell.id in published:
            entry["published"] = published[cell.id]
        entries.append(entry)
    return {"schema": SCHEMA, **header, "cells": entries}


def write_results(path: Path, document: dict[str, Any]) -> None:
    """Write the document so that the file is either the old one or the new one, never a part.

    Raises:
        OSError: the directory cannot be written.
    """
    write_text(path, json.dumps(document, allow_nan=False, indent=1) + "\n")
