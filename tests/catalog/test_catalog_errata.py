"""The errata against the documents, against our own counts and against the page that lists them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from archbench.catalog import errata, load_catalog
from archbench.catalog.errata import Erratum, read_errata
from archbench.catalog.lists import DATA
from archbench.core.complexity import Complexity
from archbench.measure.complexity import count

PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"
UNITS = {"params_m": "M params", "ops_mops": "Mops"}

every = pytest.mark.parametrize(
    "erratum", read_errata(), ids=lambda erratum: f"{erratum.row} {erratum.column}"
)


@cache
def counted(id: str) -> Complexity:
    return count(load_catalog().get(id))


def cells(document: str, column: str) -> dict[str, str]:
    with (DATA / "published" / f"{document}.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: row[column] for row in csv.DictReader(file)}


@every
def test_it_is_what_the_document_prints(erratum: Erratum) -> None:
    assert cells(erratum.document, erratum.column)[erratum.row] == erratum.printed


@every
def test_the_right_figure_is_what_we_count(erratum: Erratum) -> None:
    assert getattr(counted(erratum.architecture), erratum.quantity) == erratum.right


@every
def test_the_right_figure_is_another_one(erratum: Erratum) -> None:
    _, _, decimals = erratum.printed.removesuffix(".0").partition(".")
    rounded = f"{float(erratum.corrected):.{len(decimals)}f}"
    assert rounded != erratum.printed.removesuffix(".0")


def test_each_is_listed_once_with_its_reason_and_its_source() -> None:
    rows = read_errata()
    assert len({(row.document, row.row, row.column) for row in rows}) == len(rows)
    assert all(row.why and row.source for row in rows)
    assert Counter(row.document for row in rows) == {"bertmoons2018": 13, "lightweight2020": 2}


def erratum_of(row: str, column: str) -> Erratum:
    return next(e for e in read_errata() if (e.row, e.column) == (row, column))


def test_a_figure_is_corrected_in_the_unit_of_its_column() -> None:
    assert erratum_of("hardnet68ds", "params_m").corrected == "4.180602"
    # 714,188,480 multiply-adds of 2 operations.
    assert erratum_of("AlexNet", "ops_mops").corrected == "1428"


def test_the_page_lists_them_all() -> None:
    listed = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith(("| bertmoons2018 |", "| lightweight2020 |"))
    ]
    assert listed == [
        [
            row.document,
            row.row,
            f"{row.printed.removesuffix('.0')} {UNITS[row.column]}",
            f"{row.corrected} {UNITS[row.column]}",
            row.why,
            row.source,
        ]
        for row in read_errata()
    ]


def test_a_later_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "errata.json").write_text(json.dumps({"schema": 2, "rows": []}), encoding="utf-8")
    monkeypatch.setattr(errata, "DATA", tmp_path)
    with pytest.raises(ValueError, match=r"errata\.json has format 2, this archbench reads 1"):
        read_errata.__wrapped__()
