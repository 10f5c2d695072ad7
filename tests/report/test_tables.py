"""One table in every form, and names in it that mean something elsewhere."""

from __future__ import annotations

import csv
import io

import pytest

from archbench.report.tables import BLANK, Strong, Table, markdown

TABLE = Table(
    ["name", "n", "why"],
    [["a", "1.50", None], ["b|c", 10, Strong("worse")], ["d", "", BLANK]],
    ("name", "why"),
)


def test_text_keeps_digits_and_aligns_numbers_to_the_right() -> None:
    assert TABLE.print_as("text").splitlines() == [
        "name       n  why",
        "------  ----  -----",
        "a       1.50  -",
        "b|c       10  worse",
        "d          -",
    ]


def test_markdown_table() -> None:
    assert TABLE.print_as("markdown").splitlines() == [
        "| name | n | why |",
        "|---|---:|---|",
        "| a | 1.50 | - |",
        r"| b\|c | 10 | **worse** |",
        "| d | - |   |",
    ]


def test_csv_leaves_absent_fields_empty() -> None:
    assert TABLE.print_as("csv") == "name,n,why\na,1.50,\nb|c,10,worse\nd,, "


def test_no_rows() -> None:
    assert Table(["a"], []).print_as("csv") == "a"
    assert Table(["a"], []).print_as("markdown") == "| a |\n|---:|"
    assert Table(["a", "b"], []).print_as("text").split() == ["a", "b", "---", "---"]


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)", "\t=1", " =1"])
def test_spreadsheets_compute_nothing(text: str) -> None:
    (row,) = list(csv.reader(io.StringIO(Table(["a"], [[text]]).print_as("csv"), newline="")))[1:]
    assert row == [f"'{text}"]


def test_a_return_ends_no_row() -> None:
    text = Table(["a"], [["x\ry"]]).print_as("csv")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a"], ["x\ny"]]


@pytest.mark.parametrize("text", ["-1.5", "+2", "-1e-05", "-inf", "1=2", "a-b"])
def test_numbers_and_other_texts_are_no_formulas(text: str) -> None:
    assert Table(["a"], [[text]]).print_as("csv") == f"a\n{text}"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("timm/mobilenet_v2_100", "timm/mobilenet_v2_100"),
        ("[1, 64, 7, 7]", "[1, 64, 7, 7]"),
        ("a _b_ c_", r"a \_b\_ c\_"),
        ("[x](javascript:y)", r"[x\](javascript:y)"),
        ("![x](http://y)", r"![x\](http://y)"),
        ("<img src=x> & |", r"&lt;img src=x&gt; &amp; \|"),
        ("`a` *b* ~~c~~", r"\`a\` \*b\* \~\~c\~\~"),
        ("# a", r"\# a"),
        ("a\n\n## b", r"a \#\# b"),
        ("a\\", "a\\\\"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, made: str) -> None:
    assert markdown(text) == made
