"""Charts: where points lie, how large circles are, what is said about what is missing, files."""

from __future__ import annotations

import csv
import math
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Picture
from matplotlib.text import Text
from PIL import Image

from archbench.core.errors import UsageError
from archbench.core.rows import Row, Value, with_derived
from archbench.report.charts import CHARTS, PICTURES, Chart, draw, draw_charts, why_not
from archbench.report.charts.colours import family_look, shades
from archbench.report.page import page_data

ROWS = Path(__file__).with_name("seed_rows.csv")
"""The seed suite as it was measured once: percent, millions, 10⁹, milliseconds."""


def point(
    name: str,
    family: str = "ResNet",
    *,
    kind: str = "measured",
    device: str = "",
    batch_size: int | None = None,
    library: str = "timm",
    run: str = "",
    dtype: str | None = None,
    runtime: str | None = None,
    **figures: float,
) -> Row:
    """A point whose figures are all of one kind; counts and derived figures follow."""
    kinds = {name: "counted" if name in ("params", "macs") else kind for name in figures}
    if kind == "published":
        kinds = dict.fromkeys(figures, kind)
    given = {name: Value(value, kinds[name], "a test") for name, value in figures.items()}
    return Row(
        f"{library}/{name}", name, library, family, device=device, device_name=device.upper(),
        dtype=dtype, batch_size=batch_size, run=run, runtime=runtime,
        values=with_derived(given, batch_size),
    )  # fmt: skip


def seed_rows() -> list[Row]:
    """71 architectures; memory and energy are made up."""
    found = []
    for row in csv.DictReader(ROWS.open(encoding="utf-8")):
        top1, params, macs, latency = (float(row[n]) for n in ("top1", "params", "macs", "latency"))
        figures: dict[str, Any] = {
            "top1": Value(top1, "published", f"a library: {row['name']}"),
            "params": Value(params * 1e6, "counted", "a run"),
            "macs": Value(macs * 1e9, "counted", "a run"),
            "latency": Value(latency * 1e-3, "measured", "a run"),
            "peak_memory": Value(2e8 + params * 4e6, "measured", "a run"),
            "energy_per_image": Value(macs * 0.02, "measured", "a run"),
            "speedup": Value(1 + top1 / 100, "derived", "a run"),
        }
        family = re.sub(r"(legacy_|bn_|se|[\d_@].*)", "", row["name"]) or row["name"]
        found.append(
            Row(
                f"{row['library']}/{row['name']}", row["name"], row["library"], family, "cpu",
                "a CPU", "a run", values=with_derived(figures, 1), dtype="fp32", batch_size=1,
                threads=1,
            )
        )  # fmt: skip
    return found


NAMES = [
    "top1", "ball-macs", "ball-params", "density", "top1-per-gmac", "operations-time", "top1-rate",
    "params-memory", "batch-size", "speedup", "energy",
]  # fmt: skip


def by_gid(figure: Picture, gid: str) -> list[Any]:
    return [
        artist for axes in figure.axes for artist in axes.get_children() if artist.get_gid() == gid
    ]


def offsets(collections: Iterable[Any]) -> set[tuple[float, float]]:
    return {
        (round(float(x), 9), round(float(y), 9))
        for collection in collections
        for x, y in collection.get_offsets()
    }


def corners(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in line.get_xydata()]


def heights(figure: Picture) -> list[float]:
    bars: list[Any] = list(figure.axes[0].patches)
    return [bar.get_height() for bar in bars]


def notes(figure: Picture) -> str:
    text = next(text for text in figure.texts if text.get_gid() == "notes").get_text()
    return text.replace("\n", " ")


def written(figure: Picture) -> list[str]:
    return [text.get_text() for text in by_gid(figure, "label")]


TWO = [
    point("small", "SqueezeNet", top1=58, params=1.2e6, macs=0.35e9),
    point("large", "VGG", top1=72, params=138e6, macs=15.5e9),
]


def test_the_registry() -> None:
    assert list(PICTURES) == NAMES


# Ball charts.


@pytest.mark.parametrize(
    ("name", "places", "sizes", "steps"),
    [
        ("ball-macs", {(0.35, 58), (15.5, 72)}, {1.2, 138}, [100, 50, 10]),
        ("ball-params", {(1.2, 58), (138, 72)}, {0.35, 15.5}, [10, 5, 1]),
    ],
)
def test_ball_charts(
    name: str, places: set[tuple[float, float]], sizes: set[float], steps: list[float]
) -> None:
    figure = draw(name, TWO)
    (circles,) = by_gid(figure, "balls")
    assert offsets([circles]) == offsets(by_gid(figure, "centres")) == places
    # Areas are proportional: scatter takes the area in square points.
    areas = sorted(float(area) for area in circles.get_sizes())
    scale = areas[1] / max(sizes)
    assert areas[0] == pytest.approx(min(sizes) * scale)
    # So are those of the legend, whose circles are given by their diameter.
    legend = next(legend for legend in figure.legends if legend.get_gid() == "sizes")
    texts = [float(text.get_text()) for text in legend.get_texts()]
    diameters = [line.get_markersize() for line in legend.get_lines()]
    assert texts == steps
    assert [diameter**2 for diameter in diameters] == pytest.approx([t * scale for t in steps])


@pytest.mark.parametrize(
    ("largest", "steps"),
    [(138.4, [100, 50, 10]), (7.3, [5, 2, 0.5]), (2, [2, 1, 0.2]), (0.99, [0.5, 0.2, 0.05])],
)
def test_round_sizes(largest: float, steps: list[float]) -> None:
    from archbench.report.charts.balls import size_steps

    assert size_steps(largest) == pytest.approx(steps)


def test_the_largest_circles_lie_below() -> None:
    (circles,) = by_gid(draw("ball-macs", TWO), "balls")
    assert list(circles.get_sizes()) == sorted(circles.get_sizes(), reverse=True)


def test_an_architecture_is_one_circle_however_many_cells_it_has() -> None:
    cells = [
        point("a", device=device, batch_size=size, latency=0.01, top1=70, params=1e6, macs=1e9)
        for device in ("x", "y")
        for size in (1, 8)
    ]
    assert len(offsets(by_gid(draw("ball-macs", cells), "centres"))) == 1
    other = point("a", device="x", batch_size=1, top1=71, params=1e6, macs=1e9)
    assert offsets(by_gid(draw("ball-macs", [*cells, other]), "centres")) == {(1, 70), (1, 71)}


def test_published_figures_are_open_and_said_to_be() -> None:
    published = point("p", kind="published", top1=70, params=1e6, macs=1e9)
    figure = draw("ball-macs", [*TWO, published])
    (centres,) = by_gid(figure, "centres")
    faces = [to_hex(face) for face in centres.get_facecolors()]
    assert [face == "#ffffff" for face in faces] == [False, False, True]
    assert "Open marker: a figure is published, not measured here." in notes(figure)
    assert "Open marker" not in notes(draw("ball-macs", TWO))


# Bars.


def test_bars_rise_and_have_the_colours_of_their_families() -> None:
    points = [*TWO, point("p", "VGG", kind="published", top1=65.5)]
    figure = draw("top1", points)
    (axes,) = figure.axes
    bars = axes.patches
    assert heights(figure) == [58, 65.5, 72]
    colours = shades(points)
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [
        colours["timm/small", "small"], colours["timm/p", "p"], colours["timm/large", "large"],
    ]  # fmt: skip
    assert [text.get_text() for text in axes.get_xticklabels()] == ["small", "p", "large"]
    assert [text.get_text() for text in axes.texts] == ["58", "65.5*", "72"]
    assert axes.get_ylim()[0] == 40
    assert axes.get_ylabel() == "top-1 (%), axis begins at 40"
    assert "* published, not measured here." in notes(figure)


@pytest.mark.parametrize(
    ("name", "values"),
    # 58 % / 1.2 M and 72 % / 138 M; 58 % / 0.35 and 72 % / 15.5 GMACs.
    [("density", [72 / 138, 58 / 1.2]), ("top1-per-gmac", [72 / 15.5, 58 / 0.35])],
)
def test_efficiency_as_bars_and_against_top1(name: str, values: list[float]) -> None:
    figure = draw(name, TWO)
    assert heights(figure) == pytest.approx(values)
    placed = offsets(by_gid(figure, "markers"))
    assert placed == {(round(values[0], 9), 72), (round(values[1], 9), 58)}


def test_too_many_bars_leave_the_best() -> None:
    points = [point(f"n{n}", top1=float(n)) for n in range(1, 96)]
    figure = draw("top1", points)
    assert heights(figure) == list(map(float, range(6, 96)))
    assert "The best 90 of 95." in notes(figure)


# Times.


def times(batch_size: int, device: str = "v100", runtime: str | None = None) -> list[Row]:
    """Two GMACs each millisecond, exactly: at batch size 2 the batch takes twice as long."""
    return [
        point(f"n{n}", device=device, batch_size=batch_size, runtime=runtime, macs=2e9 * n,
              top1=60.0 + n, latency=n * 1e-3 * batch_size)
        for n in (1, 2, 4)
    ]  # fmt: skip


def test_operations_against_time_has_a_panel_and_a_line_for_each_batch_size() -> None:
    figure = draw("operations-time", [*times(2), *times(1)])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["V100: batch 1", "V100: batch 2"]
    for axes in figure.axes:
        assert axes.get_title(loc="right") == "r = 1.000, 2000 GMACs/s, n = 3"
        (line,) = [line for line in axes.get_lines() if line.get_gid() == "fit"]
        (x0, y0), (x1, y1) = corners(line)
        assert (y1 - y0) / (x1 - x0) == pytest.approx(2)
        placed = offsets(c for c in axes.collections if c.get_gid() == "markers")
        assert placed == {(1, 2), (2, 4), (4, 8)}


def test_operations_against_the_times_that_bianco_et_al_print(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every panel's fit against NumPy's, over times as they stand in the stored table."""
    import numpy

    from archbench import catalog
    from archbench.catalog.tables import published_table

    points = published_table("bianco2018")
    macs = {point.name: (point.value("macs") or 0) / 1e9 for point in points}
    table = Path(catalog.__file__).parent / "data" / "published" / "bianco2018.csv"
    panels: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in csv.DictReader(table.open(encoding="utf-8")):
        if row["metric"] == "inference_time_per_image":
            device = re.sub(r".*\((.*)\)", r"NVIDIA \1", row["device"])
            cells = panels.setdefault((device, row["batch_size"]), [])
            cells.append((float(row["value"]), macs[row["model"]]))
    expected = {}
    for (device, size), cells in panels.items():
        xs, ys = zip(*cells, strict=True)
        correlation, slope = numpy.corrcoef(xs, ys)[0, 1], numpy.polyfit(xs, ys, 1)[0] * 1e3
        expected[f"{device}: batch {size}"] = (correlation, slope, len(cells))
    assert len(expected) == 14
    monkeypatch.setattr("archbench.report.charts.scatter.place_labels", lambda *_, **__: ([], 0))
    figure = draw("operations-time", points)
    said = {
        axes.get_title(loc="left"): re.findall(r"[\d.]+", axes.get_title(loc="right"))
        for axes in figure.axes
    }
    assert said.keys() == expected.keys()
    for panel, (correlation, slope, number) in expected.items():
        r, rate, n = map(float, said[panel])
        assert r == pytest.approx(correlation, abs=6e-4), panel
        assert rate == pytest.approx(slope, rel=5.1e-3), panel
        assert n == number


def test_runtimes_have_panels_and_lines_of_their_own() -> None:
    points = [*times(1), *times(1, runtime="compiled"), *times(4, runtime="compiled")]
    titles = [axes.get_title(loc="left") for axes in draw("operations-time", points).axes]
    assert titles == ["V100: batch 1", "V100: batch 1 compiled", "V100: batch 4 compiled"]
    # Only the compiled ones have two batch sizes.
    against = draw("batch-size", points)
    assert [axes.get_title(loc="left") for axes in against.axes] == ["V100: compiled"]
    memory = [
        point("a", device="v100", batch_size=size, runtime=runtime, params=2e6, peak_memory=1e8)
        for runtime, size in ((None, 4), ("compiled", 2))
    ]
    panels = draw("params-memory", memory)
    assert [axes.get_title(loc="left") for axes in panels.axes] == [
        "V100: batch 4", "V100: batch 2 compiled"
    ]  # fmt: skip


def test_two_points_have_no_fitted_line() -> None:
    figure = draw("operations-time", times(1)[:2])
    assert not by_gid(figure, "fit")
    assert figure.axes[0].get_title(loc="right") == ""


def test_top1_against_rate() -> None:
    # 61, 62 and 64 % at 1000, 500 and 250 images/s: the one in the middle lies below the straight
    # line through the others, 65 - 0.004 x.
    points = times(1)
    dominated = point("slow", device="v100", batch_size=1, top1=50, latency=0.01)
    figure = draw("top1-rate", [*points, *times(8)])
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert offsets(by_gid(figure, "markers")) == {(1000, 61), (500, 62), (250, 64)}
    assert axes.get_title(loc="right") == "upper bound: 65.0 − 0.004 · images/s"
    (bound,) = by_gid(figure, "bound")
    for x, y in corners(bound):
        assert y == pytest.approx(65 - 0.004 * x)
    figure = draw("top1-rate", [*points, dominated])
    assert offsets(by_gid(figure, "front-members")) == {(1000, 61), (500, 62), (250, 64)}


def test_the_upper_bounds_that_bianco_et_al_print() -> None:
    from archbench.catalog.tables import published_table

    figure = draw("top1-rate", published_table("bianco2018"))
    bounds = {axes.get_title(loc="left"): axes.get_title(loc="right") for axes in figure.axes}
    # Section V-D: intercepts 83.0 and 83.3, slopes -0.2025 and -0.0244.
    assert bounds == {
        "NVIDIA Jetson TX1: batch 1": "upper bound: 83.0 − 0.202 · images/s",
        "NVIDIA Titan Xp: batch 1": "upper bound: 83.3 − 0.0244 · images/s",
    }


def test_memory_is_drawn_at_the_smallest_batch_size() -> None:
    points = [
        point("a", device="v100", batch_size=size, params=2e6, peak_memory=1e8 * size)
        for size in (4, 2)
    ]
    figure = draw("params-memory", points)
    assert offsets(by_gid(figure, "markers")) == {(2, 200)}
    assert "The smallest batch size of each device and precision." in notes(figure)


def test_against_batch_size() -> None:
    points = [
        *times(1), *times(4),
        point("only-once", device="v100", batch_size=4, latency=0.004),
        *(point("n1", device="t4", batch_size=size, latency=size * 1e-3, peak_memory=1e6 * size)
          for size in (1, 2)),
    ]  # fmt: skip
    figure = draw("batch-size", points)
    shown = [(axes.get_title(loc="left"), axes.get_ylabel()) for axes in figure.axes]
    time, memory = "inference time per image (ms), logarithmic", "peak memory (MB), logarithmic"
    assert shown == [("T4", time), ("T4", memory), ("V100", time)]
    lines = [[corners(line) for line in axes.get_lines()] for axes in figure.axes]
    assert lines[1] == [[(1, 1), (2, 2)]]
    ends = sorted([first, last] for first, last in lines[2])
    for line, milliseconds in zip(ends, (1, 2, 4), strict=True):
        assert [value for end in line for value in end] == pytest.approx(
            [1, milliseconds, 4, milliseconds]
        )
    assert "No peak memory at two batch sizes or more: V100." in notes(figure)
    assert sorted(text.get_text() for text in figure.axes[2].texts) == ["n1", "n2", "n4"]


def test_energy() -> None:
    points = [point("a", device="v100", batch_size=1, top1=70, energy_per_image=0.05)]
    assert offsets(by_gid(draw("energy", points), "markers")) == {(50, 70)}


# What cannot be drawn.


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_without_its_figures_says_which(name: str) -> None:
    bare = [point("a", max_channels=3)]
    with pytest.raises(UsageError) as caught:
        draw(name, bare)
    assert caught.value.asked == f"chart {name}"
    assert caught.value.found == f"no row has {CHARTS[name].wants}"
    assert caught.value.todo == CHARTS[name].todo
    assert why_not(name, []) == "there are no rows"


def test_a_rate_is_of_the_smallest_batch_size_that_there_is() -> None:
    figure = draw("top1-rate", [*times(8), *times(16)])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["V100: batch 8"]
    assert why_not("top1-rate", [point("a", device="v100", batch_size=1, latency=1)]) == (
        "no row has images/s and top-1"
    )


def test_lines_that_a_chart_declares() -> None:
    # 3 MB for each million of parameters above 10 MB: r is 1, and a straight line bends.
    points = [
        point(f"n{n}", device="v100", batch_size=1, params=n * 1e6, peak_memory=(10 + 3 * n) * 1e6)
        for n in (1, 10, 100)
    ]
    figure = draw("params-memory", points)
    assert figure.axes[0].get_title(loc="right") == "r = 1.000, n = 3"
    (line,) = by_gid(figure, "fit")
    assert corners(line)[0] == pytest.approx((1, 13))
    assert corners(line)[50] == pytest.approx((10, 40))
    energy = [
        point(name, device="v100", batch_size=1, top1=top1, energy_per_image=joules)
        for name, top1, joules in (("good", 80, 1), ("thrifty", 60, 0.1), ("bad", 70, 2))
    ]
    figure = draw("energy", energy)
    assert offsets(by_gid(figure, "front-members")) == {(1000, 80), (100, 60)}
    assert "Joined: the Pareto front" in notes(figure)


def test_a_chart_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of docs/design.md."""
    text = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")
    example = text.partition("```python\n# report/charts/declared.py\n")[2].partition("```")[0]
    chart = eval(example[example.index("Chart(\n") :], {"Chart": Chart})
    monkeypatch.setitem(CHARTS, chart.name, chart)
    points = [
        point(f"n{n}", device="v100", batch_size=1, activations=n * 1e6, latency=n * 2e-3)
        for n in (1, 2, 4)
    ]
    figure = draw("activations-time", points)
    assert offsets(by_gid(figure, "markers")) == {(2, 1), (4, 2), (8, 4)}
    assert figure.axes[0].get_title(loc="right") == "r = 1.000, n = 3"
    data: Any = page_data(points, title="")
    assert [one["name"] for one in data["charts"]].count(chart.name) == 1
    with pytest.raises(UsageError, match=r"no row has activations M and inference time|Measure"):
        draw("activations-time", [])


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_figures_that_no_axis_has_are_not_drawn(value: float) -> None:
    figure = draw("ball-macs", [*TWO, point("odd", top1=70, params=value, macs=1e9)])
    assert len(offsets(by_gid(figure, "centres"))) == 2
    assert "Not drawn, for want of params: 1 of 3." in notes(figure)


def test_an_unknown_chart_and_format() -> None:
    with pytest.raises(UsageError, match="chart pie: there is no chart of that name"):
        draw("pie", TWO)
    with pytest.raises(UsageError, match="pictures as gif: charts are not written in that format"):
        draw_charts(TWO, Path("never"), formats=("gif",))
    assert not Path("never").exists()


ALONE = {
    "top1": {70}, "ball-macs": {(1, 70)}, "ball-params": {(1, 70)}, "density": {70},
    "top1-per-gmac": {70}, "operations-time": {(10, 1), (5, 1)}, "top1-rate": {(100, 70)},
    "params-memory": {(1, 100)}, "batch-size": {(1, 10), (2, 5), (1, 100), (2, 100)},
    "speedup": {(1, 2)}, "energy": {(100, 70)},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_one_architecture_is_enough(name: str) -> None:
    # 10 ms at batch sizes 1 and 2: 5 ms for an image of the larger.
    one = [
        point("a", device="v100", batch_size=size, top1=70, params=1e6, macs=1e9, latency=0.01,
              peak_memory=1e8, energy_per_image=0.1, speedup=2)
        for size in (1, 2)
    ]  # fmt: skip
    figure = draw(name, one)
    figure.draw_without_rendering()
    placed: set[Any] = offsets(by_gid(figure, "markers") + by_gid(figure, "centres"))
    placed |= {corner for line in by_gid(figure, "line") for corner in corners(line)}
    if name in ("density", "top1-per-gmac"):
        assert placed == {(70, 70)}
    assert (placed if not figure.axes[0].patches else set(heights(figure))) == ALONE[name]


def test_sources_are_named_once_the_most_frequent_first() -> None:
    from archbench.report.charts.canvas import sources_note

    def of(*sources: str) -> Row:
        figures = {"top1": Value(70, "published", "; ".join(sources))}
        return Row("timm/a", "a", "timm", "A", values=figures)

    points = [of("Paper (vol. 1; p. 2): a", "here"), of("here"), of("z" * 95)]
    assert sources_note(points, ["top1"]) == (
        f"Figures from: here; Paper (vol. 1; p. 2); {'z' * 88}…"
    )
    points += [of(letter) for letter in "bcd"]
    assert sources_note(points, ["top1"]).endswith("; b; c; and 2 more.")


def test_matplotlib_is_imported_when_something_is_drawn() -> None:
    code = "import sys, archbench.report.charts; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Names.


def test_names_are_text() -> None:
    hostile = [
        r"$\frac{1}{2}$", "<script>alert(1)</script>", "under_score^2", "100% & more",
        "line\nbreak\x00\x1b[31m", "", "x" * 300,
    ]  # fmt: skip
    points = [
        point(name, top1=60.0 + 3 * n, params=1e6 * 4**n, macs=1e9)
        for n, name in enumerate(hostile)
    ]
    figure = draw("ball-params", points)
    assert sorted(written(figure)) == sorted(
        [*hostile[:4], "line break [31m", "(no name)", "x" * 26 + "…" + "x" * 13]
    )
    assert not any(text.get_parse_math() for text in by_gid(figure, "label"))


def test_hostile_names_make_a_valid_svg(tmp_path: Path) -> None:
    points = [point("<b>$x$ --> \x00", top1=70, params=1e6, macs=1e9)]
    path = draw_charts(points, tmp_path, names=["ball-macs"], formats=["svg"])[0]
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
    assert tags & {"b", "script"} == set()


def test_names_shared_by_two_are_distinguished() -> None:
    points = [
        point("resnet101", top1=81.9, params=44e6, macs=7.8e9, library="torchvision"),
        point("resnet101", top1=79.2, params=44e6, macs=7.6e9, library="pytorchcv"),
    ]
    assert sorted(written(draw("ball-params", points))) == [
        "resnet101 (pytorchcv)", "resnet101 (torchvision)",
    ]  # fmt: skip


def test_names_shared_by_two_runtimes_are_distinguished() -> None:
    points = [
        point("a", device="v100", batch_size=1, top1=80.0 + n, params=44e6, macs=7e9, runtime=one)
        for n, one in enumerate(("eager", "compiled"))
    ]
    assert sorted(written(draw("ball-params", points))) == [
        "a (v100 batch 1 compiled)", "a (v100 batch 1)",
    ]  # fmt: skip


def overlapping(texts: list[Text]) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [
        (one, other)
        for n, (one, box) in enumerate(boxes)
        for other, box2 in boxes[n + 1 :]
        if min(box.x1, box2.x1) - max(box.x0, box2.x0) > 0.5
        and min(box.y1, box2.y1) - max(box.y0, box2.y0) > 0.5
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("top1", "batch-size")])
def test_names_of_the_seed_suite_do_not_overlap(name: str) -> None:
    figure = draw(name, seed_rows())
    for axes in figure.axes:
        texts = [text for text in axes.texts if text.get_gid() == "label"]
        assert overlapping(texts) == []
        box = axes.get_window_extent()
        assert all(box.y0 <= text.get_window_extent().y0 for text in texts)
    # Next to 0 operations and time there is no room for all.
    if name != "operations-time":
        assert len(written(figure)) == 71
    else:
        assert len(written(figure)) >= 40
        assert "names left out for want of room." in notes(figure)


def test_bars_of_the_seed_suite_do_not_overlap() -> None:
    figure = draw("top1", seed_rows())
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert overlapping(list(axes.get_xticklabels())) == []
    assert overlapping([text for text in axes.texts if text.get_gid() == "value"]) == []


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    points = [
        point(f"net_{n}", device="v100", batch_size=size, latency=0.001 * (1 + n / 1000) * size)
        for n in range(40)
        for size in (1, 8)
    ]
    figure = draw("batch-size", points)
    texts = by_gid(figure, "label")
    assert len(texts) == 40
    assert overlapping(texts) == []


@pytest.mark.parametrize("name", NAMES[:5])
def test_legends_and_titles_keep_clear_of_the_axes(name: str) -> None:
    figure = draw(name, seed_rows())
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for legend in figure.legends:
        extent = legend.get_window_extent()
        assert all(box is not None and box.x1 <= extent.x0 for box in boxes)
    tallest = max(box.y1 for box in boxes if box is not None)
    title = next(text for text in figure.texts if text.get_gid() == "title")
    assert tallest <= title.get_window_extent().y0


# Colours.


def test_a_family_has_one_hue_and_its_members_shades_of_it() -> None:
    points = [point(f"resnet{n}", params=n * 1e6) for n in (152, 18, 50)]
    colours = shades(points)
    lightness = [
        sum(int(colours[f"timm/resnet{n}", f"resnet{n}"][i : i + 2], 16) for i in (1, 3, 5))
        for n in (18, 50, 152)
    ]
    assert lightness == sorted(lightness, reverse=True)
    assert len(set(colours.values())) == 3


def test_looks_depend_on_the_name_alone() -> None:
    assert family_look("VGG") == family_look("vgg") != family_look("ResNet")
    assert family_look("A family nobody knows") == family_look("A family nobody knows")
    assert family_look("Other").hue is None


def test_families_of_the_catalogue_differ() -> None:
    from archbench.catalog.families import FAMILIES

    looks = [family_look(family) for family in FAMILIES]
    assert len({(look.hue, look.marker) for look in looks}) == len(FAMILIES)


def test_a_colour_by_hand() -> None:
    from archbench.report.charts.colours import hex_colour

    # OKLCH of pure red, as given by the space's author: 0.628, 0.2577, 29.23 degrees.
    assert hex_colour(0.62796, 0.25768, 29.234) == "#ff0000"
    assert hex_colour(1, 0, 0) == "#ffffff"


# Files.


def test_both_formats_of_what_can_be_drawn(tmp_path: Path) -> None:
    paths = draw_charts(TWO, tmp_path / "new")
    assert [path.name for path in paths] == [
        f"{name}.{suffix}" for name in NAMES[:5] for suffix in ("png", "svg")
    ]
    with Image.open(paths[2]) as picture:
        assert picture.format == "PNG"
        assert picture.getpixel((0, 0)) == picture.convert("P").getpixel((0, 0))
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        width, height = draw("ball-macs", TWO).get_size_inches()
        assert picture.size == (round(width * 150), round(height * 150))
    assert ElementTree.parse(paths[3]).getroot().tag.endswith("svg")


def test_svg_is_small_and_has_each_outline_once(tmp_path: Path) -> None:
    points = [replace(one, name=f"{one.name} {'net' * 6}") for one in seed_rows()[:30]]
    path = draw_charts(points, tmp_path, names=["ball-macs"], formats=["svg"])[0]
    text = path.read_text(encoding="utf-8")
    assert len(text) < 120_000
    assert not re.search(r"[\d.]+\.\d{3}", re.sub(r"scale\([^)]*\)", "", text))
    root = ElementTree.fromstring(text)
    link = "{http://www.w3.org/1999/xlink}href"
    known = {one.get("id"): one for one in root.iter() if one.get("id")}
    used = [str(one.get(link))[1:] for one in root.iter() if one.get(link)]
    clipped = re.findall(r"url\(#(\w+)\)", text)
    assert {*used, *clipped} == known.keys()
    # Letters are made of quadratic curves, markers are not.
    letters = [one.get("d") for one in root.iter() if "Q" in one.get("d", "")]
    assert len(letters) == len(set(letters)) > 40
    # Below each name there is the same name with a white outline of 1.6 points: its glyphs are
    # drawn at 6.5 of 100 hundredths of a point, and their outlines at a 64th of that.
    halos = [one for one in root.iter() if one.get("stroke-linejoin") == "round" and one.get(link)]
    assert len(halos) == len(written(draw("ball-macs", points)))
    assert {halo.get("stroke-width") for halo in halos} == {f"{1.6 / 0.065 * 64:.0f}"}


def test_reducing_svg_leaves_every_glyph_at_its_place(tmp_path: Path) -> None:
    from archbench.report.charts.canvas import style
    from archbench.report.charts.svg import glyphs_kept, smaller

    figure = draw("top1-rate", seed_rows()[:8])
    with style(), glyphs_kept(figure):
        figure.savefig(tmp_path / "whole.svg")
    whole = (tmp_path / "whole.svg").read_text(encoding="utf-8")

    def places(svg: str) -> list[tuple[float, float]]:
        found = []
        for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"):
            if "scale" in text.get("transform", ""):
                start = [float(n) for n in re.findall(r"-?[\d.]+", text.get("transform", ""))[:2]]
                for use in text.findall("{http://www.w3.org/2000/svg}use"):
                    moved = re.findall(r"-?[\d.]+", use.get("transform", ""))
                    at = float(moved[0] if moved else use.get("x", "0"))
                    found.append((start[0] + at * 0.065, start[1]))
        return found

    before, after = places(whole), places(smaller(whole))
    assert len(before) == len(after) > 100
    for one, other in zip(before, after, strict=True):
        assert one == pytest.approx(other, abs=0.011)


def test_named_charts_only_and_all_or_nothing(tmp_path: Path) -> None:
    paths = draw_charts(TWO, tmp_path, names=["top1"], formats=["png"])
    assert [path.name for path in paths] == ["top1.png"]
    with pytest.raises(UsageError, match="chart energy: no row has"):
        draw_charts(TWO, tmp_path / "none", names=["top1", "energy"])
    assert not (tmp_path / "none").exists()


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no chart has its figures: top1: no row has top-1; "):
        draw_charts([point("a", max_channels=3)], tmp_path)


def test_the_same_points_give_the_same_bytes(tmp_path: Path) -> None:
    for directory in ("one", "two"):
        draw_charts(TWO, tmp_path / directory, names=["ball-macs", "density"])
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_users_style_changes_nothing(tmp_path: Path) -> None:
    draw_charts(TWO, tmp_path / "one", names=["ball-macs"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "text.usetex": True}):
        draw_charts(TWO, tmp_path / "two", names=["ball-macs"])
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_drawing_leaves_no_figure_behind(tmp_path: Path) -> None:
    from matplotlib import pyplot

    draw_charts(TWO, tmp_path)
    assert pyplot.get_fignums() == []
