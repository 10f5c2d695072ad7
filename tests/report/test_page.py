"""The page as text: what it holds, and that nothing in it is taken for HTML."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from archbench.core.rows import KINDS, Row, Value
from archbench.metrics import METRICS
from archbench.report.charts.colours import family_look, shades
from archbench.report.page import page_data, page_html, write_page
from tests.report.synthetic_rows import FAMILIES, synthetic_history, synthetic_rows

HOSTILE = "</script><script>alert(1)</script><!--\u2028&amp;"


class Reader(HTMLParser):
    """Scripts with their attributes and text, and every address that an element names."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str | None] = []
        self.title = self.policy = ""
        self._tag = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        found = dict(attributes)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "action", "data")]
        if tag == "script":
            self.scripts.append((found, ""))
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found["content"])

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            found, text = self.scripts[-1]
            self.scripts[-1] = found, text + data
        if self._tag == "title":
            self.title += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_every_figure_is_there_with_its_source() -> None:
    rows = synthetic_rows(batch_sizes=(1, 4))[:40]
    data: Any = page_data(rows, title="t")
    for n, row in enumerate(rows):
        found = {}
        for metric, places in data["at"].items():
            if places[n] >= 0:
                value, kind, source, *ends = data["values"][places[n]]
                found[metric] = Value(value, KINDS[kind], data["sources"][source], *ends)
        assert found == dict(row.values)
        for name, stated in {**row.as_dict(), "unusual": row.unusual}.items():
            column = {**data["columns"], **data["looks"]}.get(name)
            assert column is None or column["values"][column["at"][n]] == stated
    assert data["columns"].keys() == row.as_dict().keys() - {"values"}


def test_what_the_script_knows_of_a_metric_and_an_axis_is_what_their_tables_say() -> None:
    data: Any = page_data([], title="t")
    assert data["metrics"].keys() == METRICS.keys()
    top1, latency = data["metrics"]["top1"], data["metrics"]["latency"]
    assert (top1["decimals"], top1["of"], top1["isLower"], top1["unit"]) == (
        2, "weights", False, "%",
    )  # fmt: skip
    assert (latency["noun"], latency["axis"], latency["unit"], latency["error"]) == (
        "latency per batch", "latency per batch (ms)", "ms", 0.05,
    )  # fmt: skip
    assert {name for name, one in data["metrics"].items() if one["isLimit"]} == {
        "top1", "params", "macs", "latency", "throughput", "peak_memory", "energy_per_image",
        "artefact_size", "process_memory",
    }  # fmt: skip
    assert data["axes"]["dtype"] == {"title": "precision", "texts": {}, "isFurther": False}
    assert data["axes"]["cold_cache"]["texts"] == {"true": "cold cache", "false": "warm cache"}


def test_what_cannot_be_a_number_is_left_out_and_named() -> None:
    figures = {
        "params": Value(1e6, "counted", "run"),
        "latency": Value(math.nan, "measured", "run"),
        "top1": Value(70.0, "measured", "run", 69.0, math.inf),
    }
    data: Any = page_data([Row("a/b", "b", "a", "B", values=figures)], title="t", remarks=["one"])
    assert list(data["at"]) == ["params"]
    assert data["remarks"] == ["one", "2 figures are not finite numbers and were left out."]


def test_names_with_html_are_text() -> None:
    row = synthetic_rows()[0]
    hostile = replace(row, name=HOSTILE, id=f"timm/{HOSTILE}", family=HOSTILE, device=HOSTILE)
    html = page_html([hostile], title=HOSTILE, remarks=[HOSTILE], history={HOSTILE: []})
    reader = read(html)
    assert [found.get("id") for found, _ in reader.scripts] == ["data", None, None]
    assert reader.title == HOSTILE
    data = json.loads(reader.scripts[0][1])
    # U+2028, which ends a line for some readers, goes as everywhere.
    assert data["columns"]["name"]["values"] == [HOSTILE.replace("\u2028", " ")]
    assert "alert(1)" not in reader.scripts[1][1] + reader.scripts[2][1]
    # In the data no character is left that HTML gives a meaning.
    assert not set(reader.scripts[0][1]) & set("<>&\u2028")


def test_scripts_run_by_their_hashes_only_and_no_host_is_named() -> None:
    reader = read(page_html(synthetic_rows()[:4], title="t", history=synthetic_history()))
    for _, script in reader.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in reader.policy
    assert "default-src 'none'" in reader.policy
    assert "http" not in reader.policy
    assert reader.addresses == ["data:,", "#charts"]


def test_a_name_that_no_file_can_hold() -> None:
    row = replace(synthetic_rows()[0], name="broken \udc80")
    page_html([row], title="broken \udc80").encode("utf-8")


@pytest.mark.parametrize(("copies", "most"), [(1, 1.5e6), (25, 5e6)])
def test_the_size_of_a_page(copies: int, most: float) -> None:
    rows = synthetic_rows(copies=copies)
    assert len({row.id for row in rows}) == 60 * copies
    assert len(page_html(rows, title="t").encode()) < most


def test_families_and_architectures_look_as_in_the_pictures() -> None:
    rows = synthetic_rows()
    data: Any = page_data(rows, title="t")
    assert data["families"].keys() == FAMILIES.keys()
    for family, (light, dark) in data["families"].items():
        assert light == family_look(family).colour != dark
    shade = data["looks"]["shade"]
    for row, place in zip(rows, shade["at"], strict=True):
        light, dark = shade["values"][place]
        assert light == shades(rows)[row.id, row.name]
        # On dark paper all are lighter: the sum of red, green and blue is.
        assert sum(bytes.fromhex(dark[1:])) > sum(bytes.fromhex(light[1:]))


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old", encoding="utf-8")
    write_page([], path, title="new")
    assert "<title>new</title>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_page([], tmp_path / "missing" / "page.html", title="t")


def test_commands_are_spelled_as_the_project_has_them() -> None:
    rows = synthetic_rows()[:4]
    shown = page_html(rows, title="t", spelled=lambda said: said.replace("pytest b", "pytest my b"))
    assert "pytest my benchmarks --batch-size" in shown
    assert "pytest my benchmarks/test_complexity.py" in shown
    assert "pytest benchmarks" not in shown
