"""The sheet that a chart is drawn on: style, axes, legends, notes, files."""

from __future__ import annotations

import io
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from archbench.core.rows import Row
from archbench.metrics import METRICS, format_significant
from archbench.report.charts.colours import family_look
from archbench.report.charts.declared import title_of
from archbench.report.charts.labels import shown_name
from archbench.report.charts.svg import glyphs_kept, smaller

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox
    from PIL.Image import Image as Picture

INK = "#222222"
_NOTE_SIZE = 7.0
_FAMILIES_SHOWN = 24
_STYLE = {
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same widths everywhere
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 8,
    "svg.fonttype": "path",  # labels are placed by the widths of this font
    "svg.hashsalt": "archbench",  # the same picture has the same bytes
}


def style() -> AbstractContextManager[None]:
    """matplotlib's defaults and the style of these charts, whatever the user has configured."""
    import matplotlib.style

    return matplotlib.style.context(["default", _STYLE])


def save(figure: Figure, path: Path, dpi: float) -> None:
    """Write a picture; its format is the suffix. The same figure gives the same bytes."""
    with style():
        drawn = io.BytesIO()
        if path.suffix == ".svg":
            with glyphs_kept(figure):
                figure.savefig(drawn, format="svg", metadata={"Date": None})
            path.write_text(smaller(drawn.getvalue().decode("utf-8")), "utf-8", newline="\n")
            return
        from PIL import Image

        figure.savefig(drawn, format="png", dpi=dpi)
        image = Image.open(drawn).convert("RGB")
        palette = Image.new("P", (1, 1))
        palette.putpalette(_frequent_colours(image))
        # A third of the size. All areas keep their colour; shades along edges take the nearest.
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(
            path, optimize=True, dpi=(dpi, dpi)
        )


def _frequent_colours(image: Picture) -> list[int]:
    """Red, green, blue of up to 256 colours: the most frequent, without what is like one of them.

    Pillow looks a colour up by its six upper bits, so that white would become the near-white of an
    edge if that were there as well.
    """
    found = cast("list[tuple[int, tuple[int, int, int]]]", image.getcolors(1 << 24))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    chosen: list[tuple[int, int, int]] = []
    for _, colour in found[:2000]:
        if all(max(abs(a - b) for a, b in zip(colour, one, strict=True)) > 8 for one in chosen):
            chosen.append(colour)
        if len(chosen) == 256:
            break
    return [part for colour in chosen for part in colour]


def _handle(**look: Any) -> Line2D:
    """Of a legend: a marker alone."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", **look)


class Sheet:
    """A figure with room for a title above, notes below and legends on the right.

    Args:
        title: of the chart.
        width, height: inches.
        notes: paragraphs below.
        rows, columns: of axes.
    """

    def __init__(
        self,
        title: str,
        width: float,
        height: float,
        notes: Sequence[str],
        rows: int = 1,
        columns: int = 1,
        height_ratios: Sequence[float] | None = None,
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        letters = int(width * 72 / (_NOTE_SIZE * 0.58))
        lines = [line for note in notes for line in textwrap.wrap(note, letters)]
        self._notes = "\n".join(lines)
        self.unnamed = 0
        below = (len(lines) * _NOTE_SIZE * 1.3 + 8) / 72 / height
        above = 24 / 72 / height
        self.box = (0.0, below, 1.0, 1 - below - above)
        self._engine = ConstrainedLayoutEngine(rect=self.box, w_pad=0.08, h_pad=0.06)
        self.figure = Figure(figsize=(width, height), dpi=100, layout=self._engine)
        FigureCanvasAgg(self.figure)
        left = 0.08 / width
        self.figure.text(
            left, 1 - 6 / 72 / height, title, size=12, weight="bold", va="top", gid="title"
        )
        self.figure.text(
            left, 4 / 72 / height, self._notes, size=_NOTE_SIZE, color="#555555",
            va="bottom", linespacing=1.25, gid="notes",
        )  # fmt: skip
        grid = self.figure.subplots(
            rows, columns, squeeze=False, gridspec_kw={"height_ratios": height_ratios}
        )
        self.axes: list[list[Axes]] = [list(row) for row in grid]

    def legend_of_families(self, points: Iterable[Row], markers: bool = True) -> None:
        """Colour and marker of each family, the most frequent first where there are too many."""
        counts = Counter(point.family for point in points)
        families = sorted(counts, key=lambda family: (-counts[family], family))
        shown = sorted(families[:_FAMILIES_SHOWN], key=str.casefold)
        handles = []
        for family in shown:
            look = family_look(family)
            handles.append(
                _handle(
                    color=look.colour, markersize=6,
                    marker=look.marker if markers else "s", label=shown_name(family),
                )
            )  # fmt: skip
        if len(families) > len(shown):
            rest = len(families) - len(shown)
            handles.append(_handle(label=f"and {rest} more"))
        self.figure.legend(
            handles=handles, title="family", loc="upper right", bbox_to_anchor=self.box,
            alignment="left", labelspacing=0.45, handletextpad=0.4, borderaxespad=0.6,
        )  # fmt: skip

    def legend_of_sizes(self, metric: str, sizes: Sequence[tuple[float, float]]) -> None:
        """Circles of the legend: value in the metric's printed unit, area in square points."""
        handles = [
            _handle(
                marker="o", markersize=math.sqrt(area),
                markerfacecolor="#dddddd", markeredgecolor="#777777", markeredgewidth=0.6,
                label=format_significant(value, 3),
            )
            for value, area in sizes
        ]  # fmt: skip
        widest = math.sqrt(max(area for _, area in sizes))
        legend = self.figure.legend(
            handles=handles, title=f"area: {title_of(metric)}", loc="lower right",
            bbox_to_anchor=self.box, alignment="left", labelspacing=0.75 * widest / 7.5,
            handlelength=widest / 7.5, handletextpad=0.8, borderpad=0.4 + 0.5 * widest / 7.5,
            borderaxespad=0.6,
        )  # fmt: skip
        legend.set_gid("sizes")

    def freeze(self) -> None:
        """Make room for the legends and the layout final, so that labels can be placed."""
        # A first pass gives the legends their size.
        self.figure.draw_without_rendering()
        taken = max((box.width for box in self._legend_boxes()), default=0.0)
        left, bottom, width, height = self.box
        self._engine.set(
            rect=(left, bottom, width - taken - 0.1 / self.figure.get_figwidth(), height)
        )
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        for axes in self.figure.axes:
            # The solver's last digits differ between runs, and with them names in an SVG file.
            place = axes.get_position()
            axes.set_position(
                (round(place.x0, 5), round(place.y0, 5), round(place.width, 5),
                 round(place.height, 5))
            )  # fmt: skip

    def _legend_boxes(self) -> list[Bbox]:
        """Of each legend, in shares of the figure."""
        inverted = self.figure.transFigure.inverted()
        return [legend.get_window_extent().transformed(inverted) for legend in self.figure.legends]

    def note_unnamed(self, count: int) -> None:
        """Say in the notes how many points have no name for want of room; 0 says nothing."""
        self.unnamed += count
        if not self.unnamed:
            return
        notes = next(text for text in self.figure.texts if text.get_gid() == "notes")
        notes.set_text(f"{self._notes}  {self.unnamed} names left out for want of room.".strip())


def axis_values(points: Iterable[Row], metric: str) -> list[float]:
    """The metric of each point in its printed unit; each must have it."""
    scale = 1.0 if metric == "batch_size" else METRICS[metric].scale
    values = []
    for point in points:
        value = point.batch_size if metric == "batch_size" else point.value(metric)
        assert value is not None
        values.append(value * scale)
    return values


def set_scale(axes: Axes, which: str, values: Sequence[float], logarithmic: bool | None) -> None:
    """Linear from the data, or logarithmic with plain numbers at 1, 2 and 5.

    Args:
        axes: to set.
        which: ``x`` or ``y``.
        values: of the axis, above 0 for a logarithmic one.
        logarithmic: None decides by the range: it is where values span more than a factor 20.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = min(values), max(values)
    if logarithmic is None:
        logarithmic = low > 0 and high / low > 20
    if not logarithmic:
        return
    axes.set(**{f"{which}scale": "log"})
    margin = (high / low) ** 0.07 if high > low else 2
    axes.set(**{f"{which}lim": (low / margin, high * margin)})
    wide = math.log10(high / low) > 2.6 if high > low else False
    axis.set_major_locator(LogLocator(10, subs=(1,) if wide else (1, 2, 5), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_significant(value, 3)))
    axis.set_minor_formatter(NullFormatter())


def axis_title(axes: Axes, which: str, metric: str) -> str:
    """The metric with its unit, and that the axis is logarithmic where it is."""
    scale = axes.get_xscale() if which == "x" else axes.get_yscale()
    return title_of(metric) + (", logarithmic" if scale == "log" else "")


def is_published(point: Row, metrics: Iterable[str]) -> bool:
    """Whether any of the figures that place a point was not obtained here."""
    figures = (point.values.get(metric) for metric in metrics)
    return any(figure is not None and figure.kind == "published" for figure in figures)


def sources_note(points: Sequence[Row], metrics: Sequence[str]) -> str:
    """Where the figures come from, the most frequent first: at most four, without their rows."""
    counts: Counter[str] = Counter()
    for point in points:
        for metric in metrics:
            figure = point.values.get(metric)
            if figure is not None:
                counts.update({part.rpartition(": ")[0] or part for part in _parts(figure.source)})
    names = sorted(counts, key=lambda name: (-counts[name], name))
    shown = [
        name if len(name) <= 90 else f"{name[:88]}…" for name in map(_one_line, names[:4]) if name
    ]
    rest = f"; and {len(names) - 4} more" if len(names) > 4 else ""
    text = f"Figures from: {'; '.join(shown)}{rest}"
    return "" if not shown else text if text.endswith("…") else f"{text}."


def _parts(source: str) -> list[str]:
    """The sources of a derived figure, which are joined by semicolons outside brackets."""
    parts, depth = [""], 0
    for letter in source:
        depth += (letter == "(") - (letter == ")")
        if letter == ";" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
