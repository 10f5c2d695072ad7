"""The page in a real browser: the system's Chromium without a window, driven by Playwright.

Where there is no Chromium these tests are skipped, unless ARCHBENCH_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import csv
import importlib.resources
import importlib.util
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.pareto import pareto_front
from archbench.core.rows import NOISY, Row, Value, with_derived
from archbench.report.page import write_page
from tests.report.synthetic_rows import SETUPS, synthetic_history, synthetic_rows

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHARTS = (
    "top1", "ball-macs", "ball-params", "density", "density-top1", "top1-per-gmac",
    "top1-per-gmac-top1", "operations-time", "top1-rate", "params-memory", "batch-size", "speedup",
    "energy",
)  # fmt: skip
HOSTILE = "<b>x</b><img src=x onerror='window.hacked=1'><script>window.hacked=1</script>&lt;"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no browser here: none of {', '.join(BROWSERS)} is on the PATH"
        if os.environ.get("ARCHBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason}, and ARCHBENCH_REQUIRE_BROWSER=1 asks for one")
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox refuses to work for root, as whom containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=arguments)
        yield started
        started.close()


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page of points; in the end there was no error and no request to any host."""
    contexts, complaints = [], []

    def open_page(
        points: Sequence[Row],
        *,
        chart: str = "",
        width: int = 1600,
        scheme: Any = "light",
        title: str = "A report",
        remarks: Sequence[str] = (),
        history: Any = None,
    ) -> Page:
        path = tmp_path / "page.html"
        write_page(points, path, title=title, remarks=remarks, history=history)
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((path.as_uri(), "data:", "blob:"))
                else complaints.append(f"request: {request.url}")
            ),
        )
        page.goto(f"{path.as_uri()}#{chart}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def wait_until_drawn(page: Page, chart: str) -> None:
    page.wait_for_selector(f"#plot[data-drawn='{chart}']")


def show_chart(page: Page, chart: str) -> None:
    page.click(f"#tab-{chart}")
    wait_until_drawn(page, chart)


def marks(page: Page) -> int:
    return page.locator("#plot .scatterlayer .point, #plot .barlayer .point").count()


def names_in_table(page: Page) -> list[str]:
    return page.locator("#table tbody th").all_inner_texts()


def column(page: Page, title: str, table: str = "#table") -> list[str]:
    titles = [text.rstrip(" ↓↑") for text in page.locator(f"{table} thead th").all_inner_texts()]
    return page.locator(
        f"{table} tbody tr > :nth-child({titles.index(title) + 1})"
    ).all_inner_texts()


def wait_for_count(page: Page, text: str) -> None:
    page.locator("#count", has_text=text).wait_for()


def point(name: str, batch_size: int | None = 1, **figures: Value) -> Row:
    timed = batch_size is not None
    return Row(
        f"timm/{name}", name, "timm", "Net", "v100" if timed else "",
        dtype="fp32" if timed else None, batch_size=batch_size, run="a run",
        values=with_derived(figures, batch_size),
    )  # fmt: skip


def published(value: float) -> Value:
    return Value(value, "published", "a paper, table 1")


def test_every_chart_is_drawn(open_page: Open) -> None:
    page = open_page(synthetic_rows(), history=synthetic_history())
    wait_until_drawn(page, "top1")
    assert page.locator("[role=tab]").count() == len(CHARTS) + 1
    drawn = {}
    for chart in (*CHARTS, "history"):
        show_chart(page, chart)
        drawn[chart] = marks(page)
    # 60 architectures, 2 devices, batch sizes 1 and 8. Bars and lines stop at 40; charts of a
    # device are drawn at batch size 1; energy and speed-up are of one device; a history has 12
    # runs.
    assert drawn == {
        "top1": 40, "ball-macs": 60, "ball-params": 60, "density": 40, "density-top1": 60,
        "top1-per-gmac": 40, "top1-per-gmac-top1": 60, "operations-time": 240, "top1-rate": 120,
        "params-memory": 120,
        "batch-size": 160, "speedup": 120, "energy": 60, "history": 12,
    }  # fmt: skip


def test_search_filters_chart_and_table(open_page: Open) -> None:
    page = open_page(synthetic_rows())
    wait_until_drawn(page, "top1")
    page.fill("#search", "VGG shufflenet18")
    wait_for_count(page, "9 of 60 architectures, 36 of 240 rows")
    assert marks(page) == 9
    assert {re.sub(r"\d+", "", name) for name in names_in_table(page)} == {"vgg", "shufflenet"}
    page.fill("#search", "no such network")
    wait_for_count(page, "0 of 60 architectures")
    assert page.inner_text("#sentence") == "The filters leave nothing to draw here."
    assert page.inner_text("#table") == "The filters leave no row."
    page.click("#reset")
    wait_for_count(page, "60 architectures, 240 rows of figures")


def test_a_click_isolates_a_family_and_another_shows_all(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    button = page.locator("#families button", has_text="DenseNet")
    button.click()
    assert marks(page) == 6
    assert button.get_attribute("aria-pressed") == "true"
    assert {name[:8] for name in names_in_table(page)} == {"densenet"}
    # By keyboard: focus has stayed on the button.
    page.keyboard.press("Enter")
    assert marks(page) == 60
    button.click()
    page.locator("#families button", has_text="VGG").click(modifiers=["Control"])
    assert marks(page) == 14


def test_devices_precisions_and_batch_sizes(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="top1-rate")
    wait_until_drawn(page, "top1-rate")
    # Devices by their shape, then side by side.
    key = page.inner_text("#key")
    assert "cpu-amd-epyc fp32" in key
    assert "v100 fp16" in key
    page.select_option("#set-panels", "device")
    assert page.locator("#plot .annotation-text").all_text_contents()[0] == "cpu-amd-epyc"
    assert page.locator("#plot .cartesianlayer > .subplot").count() == 2
    page.locator("#choices label", has_text="v100").first.click()
    wait_for_count(page, "120 of 240 rows")
    assert page.locator("#plot .cartesianlayer > .subplot").count() == 1
    assert set(column(page, "device")) == {"cpu-amd-epyc"}


def test_ways_of_running_are_distinguished_and_chosen(open_page: Open) -> None:
    eager = [
        replace(point, memory_format="nchw", runtime="eager", cold_cache=False)
        for point in synthetic_rows(setups=SETUPS[1:], batch_sizes=(1,))
    ]
    compiled = [
        replace(
            point, memory_format="nhwc", runtime="compiled",
            values={**point.values, "device_time": Value(0.001, "measured", "a run")},
        )
        for point in eager
    ]  # fmt: skip
    page = open_page([*eager, *compiled], chart="top1-rate")
    wait_until_drawn(page, "top1-rate")
    key = page.inner_text("#key")
    assert "v100 fp16" in key
    assert "v100 fp16 nhwc compiled" in key
    assert marks(page) == 120
    assert set(column(page, "runtime")) == {"eager", "compiled"}
    assert "device time ms" in page.locator("#set-x option").all_inner_texts()
    page.select_option("#set-panels", "runtime")
    assert page.locator("#plot .cartesianlayer > .subplot").count() == 2
    page.locator("#choices label", has_text="eager").click()
    wait_for_count(page, "60 of 120 rows")
    assert set(column(page, "runtime")) == {"compiled"}
    assert set(column(page, "memory format")) == {"nhwc"}
    assert set(column(page, "device time ms")) == {"1"}
    # All have warm caches: there is nothing to choose or to say.
    assert page.locator("#choices legend", has_text="Cache").count() == 0
    page.locator("#table tbody th button").first.click()
    assert "v100 fp16 batch 1 nhwc compiled" in page.inner_text("#details")


def test_every_axis_can_be_switched(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    offered = page.locator("#set-x option").all_inner_texts()
    assert offered == page.locator("#set-y option").all_inner_texts()
    assert {"params M", "latency ms", "images/s", "peak memory MB", "energy per image mJ"} <= set(
        offered
    )
    page.select_option("#set-x", "latency")
    page.check("#set-logX")
    page.select_option("#set-y", "peak_memory")
    page.select_option("#set-area", "")
    assert page.text_content("#plot .xtitle") == "latency per batch (ms), logarithmic"
    assert page.text_content("#plot .ytitle") == "peak memory (MB)"
    assert marks(page) == 240
    ticks = page.locator("#plot .xtick").all_text_contents()
    assert {"10", "100", "1000"} <= set(ticks)  # written out, never as a power
    show_chart(page, "top1")
    page.select_option("#set-x", "params")
    assert page.locator("#plot .ytick").first.text_content() == "shufflenet18"  # the fewest first


def test_sorting(open_page: Open) -> None:
    points = synthetic_rows()
    page = open_page(points)
    wait_until_drawn(page, "top1")
    assert names_in_table(page)[0] == max(points, key=lambda p: p.value("top1") or 0).name
    header = page.locator("#table thead button", has_text="params M").first
    header.click()  # costs: the least first
    assert names_in_table(page)[0] == min(points, key=lambda p: p.value("params") or 0).name
    sorted_column = page.locator("#table th[aria-sort=ascending]")
    assert sorted_column.inner_text().startswith("params M")
    page.keyboard.press("Enter")  # focus has stayed on it
    assert names_in_table(page)[0] == max(points, key=lambda p: p.value("params") or 0).name
    # What has no figure stands last in either direction.
    energy = page.locator("#table thead button", has_text="energy")
    for _ in range(2):
        energy.click()
        assert "–" not in column(page, "energy per image mJ")
    page.locator("#pager button", has_text="Next").click()
    assert page.inner_text("#pager span") == "51 to 100 of 240"
    for _ in range(3):
        page.locator("#pager button", has_text="Next").click()
    assert set(column(page, "energy per image mJ")) == {"–"}


def test_limits_choose(open_page: Open) -> None:
    points = synthetic_rows()
    page = open_page(points)
    wait_until_drawn(page, "top1")
    page.fill("#limit-params-number", "10")
    page.fill("#limit-latency-number", "20")
    within = [
        p for p in points if (p.value("params") or 0) <= 10e6 and (p.value("latency") or 0) <= 0.02
    ]
    wait_for_count(page, f"{len(within)} of 240 rows")
    best = sorted({(-(p.value("top1") or 0), p.name) for p in within})[:5]
    assert column(page, "architecture", "#best") == [name for _, name in best]
    page.fill("#best-count", "2")
    assert column(page, "architecture", "#best") == [name for _, name in best[:2]]
    # The slider moves by keyboard, and its end is no limit.
    page.fill("#limit-latency-number", "")
    page.focus("#limit-params")
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#limit-params-number")) > 10
    page.keyboard.press("End")
    assert page.input_value("#limit-params-number") == ""
    assert page.get_attribute("#limit-params", "aria-valuetext") == "no limit"
    wait_for_count(page, "60 architectures, 240 rows of figures")


def test_a_limit_says_what_it_leaves_out_for_want_of_the_figure(open_page: Open) -> None:
    page = open_page(synthetic_rows())
    page.fill("#limit-energy_per_image-number", "1000000")
    wait_for_count(page, "120 of 240 rows")
    assert "120 rows without the figure left out" in page.inner_text("#limits")


def test_the_csv_holds_what_is_filtered_unrounded(open_page: Open) -> None:
    points = synthetic_rows()
    page = open_page(points)
    page.fill("#search", "vit")
    wait_for_count(page, "7 of 60")
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == "archbench.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8")
    rows = {(r["id"], r["device"], r["batch_size"]): r for r in csv.DictReader(io.StringIO(text))}
    expected = {
        (p.id, p.device, str(p.batch_size)): p for p in points if p.family == "ViT"
    }  # fmt: skip
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        for metric, figure in expected[key].values.items():
            assert float(row[metric]) == figure.value, (key, metric)
            assert (row[f"{metric}_kind"], row[f"{metric}_source"]) == (figure.kind, figure.source)
            low = row[f"{metric}_low"]
            assert (float(low) if low else None) == figure.low, (key, metric)
    assert rows["timm/vit18", "cpu-amd-epyc", "1"]["energy_per_image"] == ""


def test_hovering_tells_all_figures_with_their_sources(open_page: Open) -> None:
    page = open_page(
        [
            point(
                "net", params=Value(25e6, "counted", "run 7"),
                macs=Value(4e9, "counted", "run 7"), top1=published(75.0),
                latency=Value(0.0125, "measured", "run 7", 0.0120, 0.0131),
            )
        ],
        chart="ball-macs",
    )  # fmt: skip
    wait_until_drawn(page, "ball-macs")
    page.locator("#plot .scatterlayer .point").hover(force=True)
    tip = page.locator("#tip")
    tip.wait_for()
    text = re.sub(r"\s+", " ", tip.inner_text())
    for part in (
        "params M 25 counted 1", "GMACs 4 counted 1", "latency ms 12.5 (12 to 13.1) measured 1",
        "top-1 % 75.00 published 2", "top-1 % per M params 3 published 3", "images/s 80",
        "run 7 a paper, table 1 a paper, table 1; run 7",
    ):  # fmt: skip
        assert part in text, part
    # The same by keyboard, from the table.
    page.focus("#table tbody button")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert re.sub(r"\s+", " ", dialog.inner_text()).endswith(text.removeprefix("net "))
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_a_time_that_is_too_noisy_is_marked(open_page: Open) -> None:
    noisy = replace(synthetic_rows()[0], noisy=("latency", "throughput"))
    page = open_page([noisy], chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    page.locator("#plot .scatterlayer .point").hover(force=True)
    page.locator("#tip").wait_for()
    text = re.sub(r"\s+", " ", page.inner_text("#tip"))
    assert re.search(r"latency ms ~\d", text)
    assert not re.search(r"params M ~", text)
    assert "~ too noisy to trust: other work ran beside it" in text
    assert page.inner_text("#table tbody").count("~") == 2


@pytest.mark.parametrize("chart", ["operations-time", "top1"])
def test_a_picture_says_how_many_times_are_too_noisy(open_page: Open, chart: str) -> None:
    one, *others = synthetic_rows()[:3]
    page = open_page([replace(one, noisy=NOISY), *others], chart=chart)
    if chart == "top1":  # whose bars can be of any figure
        assert "noisy" not in page.inner_text("#chart-note")
        page.select_option("#set-x", "latency")
    wait_until_drawn(page, chart)
    assert "~ too noisy to trust: 1 of 3." in page.inner_text("#chart-note")


def test_rings_are_published(open_page: Open) -> None:
    given: dict[str, Any] = {
        "params": Value(1e6, "counted", "r"),
        "macs": Value(1e9, "counted", "r"),
    }
    page = open_page(
        [
            point("own", top1=Value(70.0, "measured", "r"), **given),
            point("theirs", top1=published(60.0), **given),
        ],
        chart="ball-macs",
    )
    wait_until_drawn(page, "ball-macs")
    opacities = page.eval_on_selector_all(
        "#plot .scatterlayer .point",
        "marks => marks.map(mark => Number(getComputedStyle(mark).fillOpacity))",
    )
    assert sorted(round(opacity, 2) for opacity in opacities) == [0.15, 0.8]
    key = page.inner_text("#key")
    assert "measured or counted here" in key
    assert "published: top-1 %" in key
    assert sorted(column(page, "top-1 %")) == ["60.00*", "70.00"]


def test_fit_bound_and_front(open_page: Open) -> None:
    rates = {"a": (10, 80), "b": (50, 60), "c": (100, 79), "d": (200, 70), "e": (97, 78)}
    points = [
        point(
            name, top1=Value(top1, "measured", "r"), latency=Value(1 / rate, "measured", "r"),
            macs=Value(1e9 * macs, "counted", "r"),
        )
        for (name, (rate, top1)), macs in zip(rates.items(), (9, 5, 4, 1, 4), strict=True)
    ]  # fmt: skip
    page = open_page(points, chart="top1-rate")
    wait_until_drawn(page, "top1-rate")
    notes = page.locator("#chart-note p").all_inner_texts()
    # The hull is a, c, d; the mean rate 91.4 lies between a and c: 80 - (rate - 10) / 90.
    assert "Upper bound 80.11 − 0.0111 × images/s." in notes
    assert "On the front, by more than the measuring error: a, c, d." in notes
    # Where the axes are turned there is nothing an upper bound would mean.
    page.select_option("#set-x", "latency")
    assert "bound" not in page.inner_text("#chart-note")
    show_chart(page, "operations-time")
    # ms 100, 20, 10, 5, 1000/97 and GMACs 9, 5, 4, 1, 4: r = 417.8 / sqrt(6408 * 33.2) by hand.
    assert page.locator("#plot .annotation-text").all_text_contents()[-1] == "r = 0.906"


def test_a_lead_within_the_measuring_error_is_not_on_the_front(open_page: Open) -> None:
    def timed(name: str, top1: float, rate: float) -> Row:
        return point(
            name, top1=Value(top1, "measured", "r"), latency=Value(1 / rate, "measured", "r")
        )

    # Two process runs differ by 5 %: 104 images/s are no lead over 100, and 150 are one.
    page = open_page(
        [timed("a", 80, 100), timed("b", 79, 104), timed("c", 78, 150)], chart="top1-rate"
    )
    wait_until_drawn(page, "top1-rate")
    notes = page.locator("#chart-note p").all_inner_texts()
    assert "On the front, by more than the measuring error: a, c." in notes
    assert "Dominated by none, but better by less than the measuring error: b." in notes


def test_names_with_html_are_text(open_page: Open) -> None:
    hostile = [
        replace(p, name=f"{HOSTILE}{p.name}", family=HOSTILE, device=p.device and f"{HOSTILE}")
        for p in synthetic_rows()[:8]
    ]
    history = {HOSTILE: [{"when": HOSTILE, "commit": HOSTILE, "metric": "latency", "value": 1.0,
                          "change_point": True, "events": [HOSTILE]}]}  # fmt: skip
    page = open_page(hostile, title=HOSTILE, remarks=[HOSTILE], history=history)
    wait_until_drawn(page, "top1")
    assert page.inner_text("h1") == HOSTILE
    assert names_in_table(page)[0].startswith(HOSTILE)
    assert (page.locator("#plot .ytick").first.text_content() or "").startswith("<b>x</b><img")
    assert page.locator("#families").inner_text().startswith(HOSTILE)
    for chart in (*CHARTS[1:-1], "history"):
        show_chart(page, chart)
        if chart == "operations-time":
            title = page.locator("#plot .annotation-text").first.text_content() or ""
            assert title.startswith(HOSTILE)
    page.locator("#table tbody button").first.click()
    assert page.inner_text("#details-title").startswith(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main a, main b img, dialog img, dialog script").count() == 0


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_widths_and_colours(open_page: Open, width: int, scheme: str) -> None:
    page = open_page(synthetic_rows(), width=width, scheme=scheme, history=synthetic_history())
    for chart in (*CHARTS, "history"):
        if width == 400:
            page.select_option("#pick", chart)
            wait_until_drawn(page, chart)
        else:
            show_chart(page, chart)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, chart
        assert page.evaluate("document.querySelector('#plot svg').clientWidth") <= width
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('main *, aside *')]"
        ".filter(e => e.checkVisibility() && e.textContent.trim())"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 10
    dark = brightness(page, "background-color") < 60
    assert dark == (scheme == "dark")
    assert contrast(page) >= 7
    page.click("#theme")
    assert (brightness(page, "background-color") < 60) != dark
    assert contrast(page) >= 7
    paper = page.evaluate("getComputedStyle(document.querySelector('#plot .main-svg')).background")
    assert (luminance(paper) < 0.05) != dark


def channels(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)[:3]]


def brightness(page: Page, name: str) -> float:
    return sum(channels(page.evaluate(f"getComputedStyle(document.body)['{name}']"))) / 3


def luminance(colour: str) -> float:
    """Relative, after WCAG 2."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (part / 255 for part in channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page) -> float:
    """Of text on the page's ground, after WCAG 2."""
    style = "getComputedStyle(document.body)"
    ink, ground = (
        luminance(page.evaluate(f"{style}['{name}']")) for name in ("color", "background-color")
    )
    return (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)


def test_one_architecture_only(open_page: Open) -> None:
    page = open_page([p for p in synthetic_rows() if p.name == "vgg18" and p.device == "v100"])
    for chart in CHARTS:
        show_chart(page, chart)
        assert marks(page) >= 1, chart
    assert page.inner_text("#extent").startswith("1 architecture ·")


def test_without_accuracy_the_page_says_how_to_get_it(open_page: Open) -> None:
    accuracies = ("top1", "density", "top1_per_gmac")
    points = [
        replace(p, values={k: v for k, v in p.values.items() if k not in accuracies})
        for p in synthetic_rows()
    ]
    page = open_page(points)
    sentence = page.locator("#sentence")
    assert sentence.inner_text() == (
        "No source has figures of top-1. Take architectures with a published accuracy, or "
        "measure: pytest benchmarks --imagenet=DIR."
    )
    assert not page.locator("#plot").is_visible()
    for chart in ("operations-time", "params-memory", "batch-size"):
        show_chart(page, chart)
    page.click("#tab-energy")
    assert "figures of top-1." in sentence.inner_text()
    assert "nothing can be ranked" in page.inner_text("#best-note")


def test_without_params_and_energy(open_page: Open) -> None:
    page = open_page([point(name, top1=published(70.0)) for name in ("b", "a")])
    wait_until_drawn(page, "top1")
    page.click("#tab-ball-macs")
    assert page.inner_text("#sentence").startswith("No source has figures of GMACs and params.")
    page.click("#tab-batch-size")
    assert page.inner_text("#sentence").startswith(
        "No source has figures of inference time per image and peak"
    )


def test_one_batch_size(open_page: Open) -> None:
    page = open_page(synthetic_rows(batch_sizes=(1,)), chart="batch-size")
    assert page.inner_text("#sentence") == (
        "Only batch size 1 was measured. Several are measured by pytest benchmarks "
        "--batch-size=1,4,8."
    )


def test_no_points(open_page: Open) -> None:
    page = open_page([], remarks=["journal.jsonl, line 3 is damaged and was left out"])
    assert page.inner_text("#sentence").startswith("There are no figures")
    assert page.inner_text("#table") == "There are no figures."
    assert page.inner_text("#extent") == "No figures"
    page.click("#remarks summary")
    assert "line 3 is damaged" in page.inner_text("#remarks")
    for chart in CHARTS:
        page.click(f"#tab-{chart}")


def test_history(open_page: Open) -> None:
    page = open_page(synthetic_rows()[:4], chart="history", history=synthetic_history())
    wait_until_drawn(page, "history")
    assert page.inner_text("#chart-note") == "12 runs, 1 change point."
    assert page.locator("#plot .annotation-text").all_text_contents() == ["change at 7f00ba47"]
    page.select_option("#set-cell", "timm/vgg18")
    assert page.inner_text("#chart-note") == "12 runs, no change point."
    page.locator("#plot .scatterlayer .point").nth(3).hover(force=True)
    page.locator("#tip").wait_for()
    assert "commit 3f00ba43" in page.inner_text("#tip")
    assert "~" not in page.inner_text("#tip")


def test_noise_in_a_history(open_page: Open) -> None:
    history = synthetic_history()
    for entries in history.values():
        entries[3] = {**entries[3], "noisy": True}
    page = open_page(synthetic_rows()[:4], chart="history", history=history)
    wait_until_drawn(page, "history")
    page.locator("#plot .scatterlayer .point").nth(3).hover(force=True)
    page.locator("#tip").wait_for()
    assert page.inner_text("#tip").startswith("~")


def test_zooming_and_back(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    page.uncheck("#set-logX")
    names = page.locator("#plot .textpoint").all_text_contents()
    box = page.locator("#plot .nsewdrag").bounding_box()
    assert box is not None
    left, bottom = box["x"], box["y"] + box["height"]
    page.mouse.move(left + 4, bottom - box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(left + box["width"] * 0.1, bottom - box["height"] * 0.85, steps=5)
    page.mouse.up()
    # The corner that was crowded has room now: names that had none are there.
    page.wait_for_function(
        "known => [...document.querySelectorAll('#plot .textpoint')]"
        ".some(e => !known.includes(e.textContent))",
        arg=names,
    )
    page.click("#whole")
    page.wait_for_function(
        "count => document.querySelectorAll('#plot .textpoint').length === count", arg=len(names)
    )


def test_names_meet_neither_each_other_nor_marks(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    boxes = page.eval_on_selector_all(
        "#plot .textpoint text",
        "all => all.map(e => e.getBoundingClientRect())"
        ".map(b => [b.left, b.top, b.right, b.bottom])",
    )
    assert len(boxes) > 20
    for n, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:n]:
            # A browser's box of a line is taller than its letters.
            apart = (
                left >= other[2] or right <= other[0]
                or top + 2 >= other[3] - 2 or bottom - 2 <= other[1] + 2
            )  # fmt: skip
            assert apart, (boxes[n], other)


def test_every_control_has_a_name_and_is_reached_by_keyboard(open_page: Open) -> None:
    page = open_page(synthetic_rows(), chart="ball-macs", history=synthetic_history())
    wait_until_drawn(page, "ball-macs")
    roles = {"button", "checkbox", "slider", "spinbutton", "combobox", "searchbox", "tab",
             "tablist", "tabpanel", "link", "textbox", "image", "table", "region"}  # fmt: skip
    found = set()
    session = page.context.new_cdp_session(page)
    for chart in ("ball-macs", "top1", "batch-size", "history"):
        show_chart(page, chart)
        for node in session.send("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if node.get("ignored") or role not in roles - {"table"}:
                continue
            found.add(role)
            assert node.get("name", {}).get("value", "").strip(), node
    assert {"button", "checkbox", "slider", "spinbutton", "combobox", "searchbox", "tab"} <= found
    # One stop for the tabs, arrows between them.
    page.focus("#tab-history")
    page.keyboard.press("Home")
    wait_until_drawn(page, "top1")
    page.keyboard.press("ArrowRight")
    wait_until_drawn(page, "ball-macs")
    assert page.evaluate("document.activeElement.id") == "tab-ball-macs"
    assert page.locator("[role=tab][tabindex='0']").count() == 1


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core, as a script."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        if os.environ.get("ARCHBENCH_REQUIRE_BROWSER") == "1":
            pytest.fail("axe-playwright-python is not installed: pip install '.[test]'")
        pytest.skip("axe-playwright-python, which brings axe-core, is not installed")
    files = importlib.resources.files("axe_playwright_python")
    return files.joinpath("axe.min.js").read_text(encoding="utf-8")


def faults(page: Page, axe: str) -> dict[str, list[str]]:
    """What axe-core finds, by its rule: the elements."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    # Whatever else fails: it has looked.
    assert len(found["passes"]) > 15
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found["violations"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_fault(open_page: Open, axe: str, scheme: str) -> None:
    # Two of each family: what is looked at is each node, in every row.
    rows = [row for row in synthetic_rows() if row.name.endswith(("18", "34"))]
    page = open_page(rows, scheme=scheme, history=synthetic_history(), remarks=["a remark"])
    for chart in ("top1", "ball-macs", "batch-size", "history"):
        show_chart(page, chart)
        assert faults(page, axe) == {}, chart
    page.locator("#tab-ball-macs").click()
    page.locator("#families button").first.click()
    page.fill("#limit-energy_per_image-number", "1000000")
    page.click("#remarks summary")
    assert faults(page, axe) == {}
    page.locator("#table tbody button").first.click()
    assert faults(page, axe) == {}
    # It finds what is at fault.
    page.evaluate("document.querySelector('#details button').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('#details button').textContent = ''")
    assert faults(page, axe).keys() == {"button-name"}


def test_pictures_can_be_saved(open_page: Open) -> None:
    page = open_page(synthetic_rows()[:8], chart="ball-macs")
    wait_until_drawn(page, "ball-macs")
    with page.expect_download() as download:
        page.click("#svg")
    assert download.value.suggested_filename == "archbench-ball-macs.svg"
    assert "<svg" in Path(download.value.path()).read_text(encoding="utf-8")


def test_the_front_is_the_one_that_the_terminal_tells(open_page: Open) -> None:
    points = [p for p in synthetic_rows(setups=SETUPS[:1], batch_sizes=(1,)) if p.family != "VGG"]
    front = pareto_front(points, "throughput")
    assert front.members
    assert front.undecided
    page = open_page(points, chart="top1-rate")
    wait_until_drawn(page, "top1-rate")
    notes = page.inner_text("#chart-note")
    for start, found in (
        ("On the front, by more than the measuring error: ", [p.name for p in front.members]),
        ("but better by less than the measuring error: ", [p.name for p, _ in front.undecided]),
    ):
        more = f" and {len(found) - 12} more" if len(found) > 12 else ""
        said = notes.partition(start)[2].partition(".\n")[0].removesuffix(".").removesuffix(more)
        assert set(said.split(", ")) <= set(found), start
        assert len(said.split(", ")) == min(12, len(found)), start
