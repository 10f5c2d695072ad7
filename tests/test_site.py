"""docs/ as a site: it is built strictly, every link leads somewhere, and no other host is asked.

The site itself needs the extra ``docs``, which `make test` installs; else these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from tests.report.test_page_in_browser import browser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["browser"]

ROOT = Path(__file__).parents[1]
NAMES = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.M)
# What a browser fetches by itself.
_FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page of the site links to, fetches, can be linked at, and says."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self._code = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors.add(found.get("id") or found.get("name") or "")
        self._code += tag in ("code", "script", "style")
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        address = found.get(_FETCHED.get(tag, ""))
        if address and found.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.append(address)

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is not installed: make test installs it")
    project = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", project / "docs")
    shutil.copy(ROOT / "zensical.toml", project)
    (project / "plugin").symlink_to(ROOT / "plugin")
    (project / "tools").symlink_to(ROOT / "tools")
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=project, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    # Of docstrings: a parameter that the signature does not have.
    assert "griffe" not in done.stdout + done.stderr, done.stderr
    return project / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.glob("*.html")) if path.stem != "404"}


def is_of_a_host(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def test_every_page_is_in_the_navigation_once() -> None:
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    entries = [entry for section in project["nav"] for part in section.values() for entry in part]
    named = [page for entry in entries for page in entry.values()]
    assert sorted(named) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_front_page_names_every_other() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\((\S+\.md)\)", text.partition("## All pages")[2]))
    others = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert others - named <= {"recipes.md", "which-command.md"}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_names_what_is_there_and_says_something(name: str) -> None:
    documented = pkgutil.resolve_name(name)
    assert len(documented.__doc__ or "") > 20


def test_every_link_leads_somewhere(pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in {*page.links, *page.fetched}:
            if is_of_a_host(link) or link.startswith(("mailto:", "data:")):
                continue
            place, _, anchor = link.partition("#")
            target = (path.parent / unquote(urlsplit(place).path)).resolve() if place else path
            if target.is_dir():
                target /= "index.html"
            there = target in pages and (not anchor or unquote(anchor) in pages[target].anchors)
            if not (there or (target.is_file() and not anchor)):
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_nothing_is_fetched_from_another_host(pages: dict[Path, Page], site: Path) -> None:
    assert [one for page in pages.values() for one in page.fetched if is_of_a_host(one)] == []
    sheets = [sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css")]
    assert len(sheets) > 1
    assert [sheet for sheet in sheets if re.search(r"url\(.?(https?:)?//|@import", sheet)] == []


def test_no_link_was_left_as_it_is_written(pages: dict[Path, Page]) -> None:
    assert [path.name for path, page in pages.items() if re.search(r"\]\[|\]\(", page.text)] == []


def test_the_reference_is_on_the_page(pages: dict[Path, Page], site: Path) -> None:
    page = pages[site / "api.html"]
    assert len(NAMES) > 40
    # A module stands there by its members.
    assert set(NAMES) - page.anchors == {"archbench.core.errors"}
    # Docstrings are written for Sphinx.
    assert not re.search(r":\w+:`", page.text)


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_it_is_searched_and_asks_no_other_host(
    address: str, request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue("browser").new_page(viewport={"width": 1300, "height": 900})
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    with page.expect_response("**/workers/search*"):
        page.goto(f"{address}/index.html")
    page.get_by_role("button", name="Search").first.click()
    page.get_by_placeholder("Search").fill("Clopper")
    page.get_by_text("How often it is wrong").first.wait_for()
    page.close()
    strangers = [one for one in asked if not one.startswith((address, "data:", "blob:"))]
    assert asked
    assert strangers == []


@pytest.mark.parametrize("name", ["index", "api", "choosing", "design", "gallery"])
def test_a_page_fits_a_telephone(address: str, name: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue("browser").new_page(viewport={"width": 390, "height": 900})
    page.goto(f"{address}/{name}.html", wait_until="domcontentloaded")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
