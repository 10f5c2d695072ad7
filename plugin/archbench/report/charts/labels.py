"""What a point is called in a picture, and where the name is put so that none covers another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from archbench.core.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

LABEL_SIZE = 6.5
"""Points."""

_LONGEST = 40
_TELLING_APART: tuple[Callable[[Row], str], ...] = (
    lambda point: point.library,
    lambda point: point.target,
    lambda point: point.run,
    lambda point: point.id,
)


def shown_name(name: str) -> str:
    """A name on one line, of at most 40 characters, without what cannot be printed."""
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "(no name)"
    return text if len(text) <= _LONGEST else f"{text[:26]}…{text[-13:]}"


def point_labels(points: Sequence[Row]) -> list[str]:
    """The name of each point; behind it, where two points share it, what distinguishes them.

    That is the library, else the device, else the run, else the id: ``resnet101 (pytorchcv)``.
    """
    names = [shown_name(point.name) for point in points]
    groups: dict[str, list[int]] = {}
    for n, name in enumerate(names):
        groups.setdefault(name, []).append(n)
    for members in groups.values():
        if len(members) == 1:
            continue
        for part in _TELLING_APART:
            parts = [part(points[n]) for n in members]
            if len(set(parts)) == len(members):
                for n, text in zip(members, parts, strict=True):
                    names[n] += f" ({shown_name(text)})" if text else ""
                break
    return names


def place_labels(
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    names: Sequence[str],
    *,
    radius: float,
    around: Sequence[Line2D] = (),
    reach: float = 0.13,
) -> tuple[list[Text], int]:
    """Write names beside their points, with a thin line where a name had to move away.

    Names are placed one after the other, each in the nearest free place. Those that found none come
    first in another try, of which there are a few; the best counts.

    The layout must be final: whatever moves or resizes the axes afterwards brings names together.

    Args:
        axes: with their final limits and scales.
        xs, ys: of the points, in the units of the axes.
        names: in the order of their importance; a name that finds no free place is left out.
        radius: of the markers, in points; names cover none.
        around: lines that names keep clear of.
        reach: how far a name may move from its point, as a share of the axes.

    Returns:
        The names that were written, and how many found no place.
    """
    order = list(range(len(names)))
    best: list[int] = []
    for _ in range(_TRIES):
        texts, lines = _allocate(axes, xs, ys, names, order, radius, around, reach)
        placed = [n for n, text in zip(order, texts, strict=True) if text is not None]
        if len(placed) > len(best):
            best, best_order = placed, order
        if len(placed) == len(names):
            break
        _remove(texts, lines)
        without = [n for n in order if n not in set(placed)]
        order = without + [n for n in order if n in set(placed)]
    else:
        if best:
            texts, lines = _allocate(axes, xs, ys, names, best_order, radius, around, reach)
    if not best:
        return [], len(names)
    for text, line in zip(texts, lines, strict=True):
        # A name right beside its point needs no line.
        if text is not None and line is not None and _length(axes, line) < 9:
            line.remove()
    written = [text for text in texts if text is not None]
    return written, len(names) - len(written)


_TRIES = 3


def _allocate(
    axes: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    names: Sequence[str],
    order: Sequence[int],
    radius: float,
    around: Sequence[Line2D],
    reach: float,
) -> tuple[list[Text | None], list[Line2D | None]]:
    import textalloc
    from matplotlib.patheffects import withStroke

    figure = axes.get_figure()
    assert figure is not None
    # textalloc takes distances as shares of the width.
    point = figure.dpi / 72 / axes.get_window_extent().width
    clear: dict[str, Any] = {"scatter_sizes": [radius * figure.dpi / 72] * len(xs)}
    if around:
        clear["x_lines"] = [line.get_xdata() for line in around]
        clear["y_lines"] = [line.get_ydata() for line in around]
    with _nothing_drawn(axes):
        _, _, texts, lines = textalloc.allocate(
            axes, [xs[n] for n in order], [ys[n] for n in order], [names[n] for n in order],
            x_scatter=list(xs), y_scatter=list(ys), **clear,
            textsize=LABEL_SIZE, textcolor="#222222", linecolor="#9a9a9a", linewidth=0.5,
            margin=0.8 * point, min_distance=(radius + 2) * point, max_distance=reach,
            nbr_candidates=500, draw_all=False,
            plot_kwargs={"zorder": 2.5, "scalex": False, "scaley": False},
            zorder=4, va="bottom", gid="label",
            path_effects=[withStroke(linewidth=1.6, foreground="#ffffffcc")],
        )  # fmt: skip
    return cast("tuple[list[Text | None], list[Line2D | None]]", (texts, lines))


@contextmanager
def _nothing_drawn(axes: Axes) -> Iterator[None]:
    """textalloc draws the whole figure before it measures a text; the layout is final here."""
    figure = axes.get_figure()
    assert figure is not None
    vars(figure)["draw_without_rendering"] = lambda: None
    try:
        yield
    finally:
        del vars(figure)["draw_without_rendering"]


def _remove(texts: Sequence[Text | None], lines: Sequence[Line2D | None]) -> None:
    for artist in (*texts, *lines):
        if artist is not None:
            artist.remove()


def _length(axes: Axes, line: Line2D) -> float:
    """Of a straight line, in points."""
    (x0, y0), (x1, y1) = axes.transData.transform(line.get_xydata())
    figure = axes.get_figure()
    assert figure is not None
    return float(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 * 72 / figure.dpi)


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights moved as little as possible, least squares, until neighbours are ``gap`` apart.

    Names at the ends of lines are written at these. The order of equal heights is kept.

    Args:
        heights: in any order.
        gap: least distance; made smaller if there is not room enough.
        low, high: between which they stay.
    """
    if not heights:
        return []
    if len(heights) > 1:
        gap = min(gap, (high - low) / (len(heights) - 1))
    order = sorted(range(len(heights)), key=lambda n: heights[n])
    # With n * gap taken off, "gap apart" is "not decreasing": pool adjacent violators.
    blocks: list[tuple[float, int]] = []
    for rank, n in enumerate(order):
        mean, count = heights[n] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            other, members = blocks.pop()
            mean = (mean * count + other * members) / (count + members)
            count += members
        blocks.append((mean, count))
    placed = [0.0] * len(heights)
    top = high - (len(heights) - 1) * gap
    flat = [mean for mean, count in blocks for _ in range(count)]
    for rank, n in enumerate(order):
        placed[n] = min(max(flat[rank], low), top) + rank * gap
    return placed
