"""Where libraries were imported from, below the table."""

from __future__ import annotations

from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.report.provenance import provenance_lines


def cell(name: str, library: str, torch: str = "2.9") -> Record:
    counted: MetricEntry = {"value": 1, "counted_with": {"library": library, "torch": torch}}
    return Record(f"timm/{name}", None, {"macs": counted})


def test_an_installed_library_is_no_news() -> None:
    assert provenance_lines([cell("a", "timm 1.0.31"), cell("b", "local")], {}) == []


def test_a_library_from_elsewhere_is_named_with_how_many_cells_ran_it() -> None:
    timed = Record("timm/c", None, {"latency": {"environment": {"library": "timm 2 (./timm)"}}})
    cells = [cell("a", "timm 2 (./timm)"), timed, cell("b", "timm (/a b/timm)", "2.9 (/torch)")]
    assert provenance_lines(cells, {"timm": "./timm"}) == [
        "timm was imported from /a b/timm, which is no installation (1 cell).",
        "timm 2 was imported from ./timm, which is no installation (2 cells).",
        "torch 2.9 was imported from /torch, which is no installation (1 cell).",
    ]


def test_what_the_project_holds_and_did_not_run_is_said() -> None:
    (line,) = provenance_lines([cell("a", "timm 1.0.31")], {"timm": "./src/timm"})
    assert line.startswith(
        "timm 1.0.31 is the installed one (1 cell): ./src/timm of this project did not run. "
    )
    assert "python -m pytest" in line
