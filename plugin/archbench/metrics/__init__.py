"""The table of metrics: one file a family, and those of other distributions.

Budgets, tolerances, baselines, ``select``, ``compare``, ``history``, tables, charts, the page and
JUnit read it; docs/design.md shows how to add one. A distribution offers a module that calls
:func:`register` under the entry point group ``archbench.metrics``. The order of the imports is the
order of the columns of CSV files.
"""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points

# isort: off
from archbench.metrics import counts, times, accuracy, memory, energy  # noqa: F401
from archbench.metrics import deployed, output, derived  # noqa: F401

# isort: on
from archbench.metrics.metric import (
    METRICS,
    PRESETS,
    Family,
    Metric,
    Tolerance,
    compared_by,
    format_seconds,
    format_significant,
    measured_families,
    register,
)

__all__ = [
    "METRICS",
    "PRESETS",
    "Family",
    "Metric",
    "Tolerance",
    "compared_by",
    "format_seconds",
    "format_significant",
    "measured_families",
    "register",
]

for _found in entry_points(group="archbench.metrics"):
    try:
        _found.load()
    except Exception as error:  # noqa: PERF203
        warnings.warn(
            f"the metrics of {_found.name} ({_found.value}) cannot be used: {error}", stacklevel=1
        )
