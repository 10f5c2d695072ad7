"""docs/gallery.md: its pictures exist and are made by its commands, its tables are as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from archbench.report.charts import CHARTS
from tools.gallery import measured_here, paddleclas_table, page_with_tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "gallery.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)


def made() -> set[str]:
    """Pictures that the page's commands and its example write, below docs."""
    found = set()
    for charts, directory in re.findall(r"--charts=(\S+) --format=png -o docs/(\S+)", PAGE):
        found |= {f"{directory}/{name}.png" for name in charts.split(",")}
    (directory,) = re.findall(r'Path\("docs/([^"]+)"\)', PAGE)
    (names,) = re.findall(r"names=\[([^\]]+)\]", PAGE)
    return found | {f"{directory}/{name}.png" for name in re.findall(r'"([^"]+)"', names)}


def test_every_picture_is_made_on_the_page_and_shown_once() -> None:
    assert len(SHOWN) == len(set(SHOWN)) == 15
    assert made() == set(SHOWN)
    assert {Path(name).stem for name in SHOWN} <= set(CHARTS)
    stored = {path.relative_to(DOCS).as_posix() for path in (DOCS / "pictures").rglob("*.*")}
    of_readme = {f"pictures/seeds/top1-rate-{scheme}.png" for scheme in ("light", "dark")}
    assert stored == set(SHOWN) | of_readme
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r'docs/(pictures/[^"]+)"', readme)) == of_readme


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_of_moderate_size(name: str) -> None:
    path = DOCS / name
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000


def test_tables_are_as_they_are_printed() -> None:
    assert page_with_tables(PAGE) == PAGE, "run: make gallery"


def test_the_last_table_has_the_figures_of_paddleclas_and_of_the_seed_suite() -> None:
    rows = [line.strip("| ").split(" | ") for line in paddleclas_table().splitlines()[2:10]]
    darknet = next(row for row in rows if row[0] == "DarkNet53")
    # As PaddleClas prints them: 0.780; 41.600 M; 18.580 G operations, two for a multiply-add;
    # V100 3.139; T4 fp16 3.18101, 5.88419, 10.14964; fp32 4.10829, 12.1714, 22.15266.
    assert darknet[1:-1] == [
        "78*", "41.6*", "9.29*", "3.139*", "3.181*", "5.884*", "10.15*", "4.108*", "12.17*",
        "22.15*",
    ]  # fmt: skip
    assert darknet[-1] == measured_here()["timm/darknet53"]
    page = (ROOT / "docs" / "seed-suite.md").read_text(encoding="utf-8")
    assert re.search(rf"^darknet53 .* {re.escape(darknet[-1])} ", page, re.MULTILINE)
    assert len(rows) == 8
