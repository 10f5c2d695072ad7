"""What each chart shows, in data: the pictures are drawn from it, and so is the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from archbench.core.forms import Json
from archbench.metrics import METRICS

_COUNT = "Count: pytest benchmarks/test_complexity.py."
_MEASURE = "Measure: pytest benchmarks."
_ACCURACY = (
    "Take architectures with a published accuracy, or measure: pytest benchmarks --imagenet=DIR."
)
_HOW_TO_GET = {
    "params": _COUNT,
    "macs": _COUNT,
    "latency": _MEASURE,
    "latency_per_image": _MEASURE,
    "throughput": _MEASURE,
    "latency_p95": "Measure: pytest benchmarks --time-budget=10; it needs 130 samples.",
    "top1": _ACCURACY,
    "top5": _ACCURACY,
    "density": f"It follows from top-1 and params. {_ACCURACY}",
    "top1_per_gmac": f"It follows from top-1 and GMACs. {_ACCURACY}",
    "speedup": "Measure several runtimes in a run: pytest benchmarks --runtime=eager,openvino.",
    "peak_memory": "Measure on a device whose memory is measured: pytest benchmarks --gpu=NAME; "
    "or read published ones: archbench report published:bianco2018.",
    "energy_per_image": "Measure on a device whose energy is measured: pytest benchmarks "
    "--gpu=NAME.",
}
LINES = {
    "fit": "Dashed: the line of least squares; r is Pearson's correlation.",
    "front": "Joined: the Pareto front, which no other dominates by more than the measuring error.",
    "bound": "Curve: the lowest line in both figures that no architecture of a device lies above.",
}
"""What the lines of a chart say."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One kind of chart.

    Attributes:
        name: what ``--charts`` takes, the file is called, and the page's address ends in.
        tab, title: on the page's button; above the chart.
        text: what it says.
        form: ``bars``, one for each architecture; ``points``; ``batch``, lines against batch size;
            ``history``, values over time, on the page alone.
        x, y: metrics of the axes; of bars the one that is drawn, and the one that a second chart
            places them against, of lines the left and the right one.
        area: metric of the circles' areas.
        log_x: None where it depends on the range of the values.
        log_y: whether the axis is logarithmic.
        from_zero: whether both axes begin at 0.
        apart: whether the page too has a panel for each device, precision and batch size, as
            pictures always have.
        smallest_batch: whether each device's smallest batch size alone is drawn.
        fit, front, bound: lines of :data:`LINES`.
        slope: what the fitted line's slope is, with a factor and a unit, where it is a rate.
    """

    name: str
    tab: str
    title: str
    text: str
    form: str = "points"
    x: str = ""
    y: str = ""
    area: str = ""
    log_x: bool | None = None
    log_y: bool = False
    from_zero: bool = False
    apart: bool = False
    smallest_batch: bool = False
    fit: bool = False
    front: bool = False
    bound: bool = False
    slope: tuple[float, str] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that a point needs to be drawn."""
        wanted = (self.x,) if self.form in ("bars", "batch") else (self.x, self.y, self.area)
        return tuple(metric for metric in wanted if metric)

    @property
    def wants(self) -> str:
        """The same in words, for the reason why a chart cannot be drawn."""
        names = joined([noun_of(metric) for metric in self.metrics])
        lines = " at two batch sizes or more on one device" if self.form == "batch" else ""
        return f"{names}{lines}"

    @property
    def todo(self) -> str:
        """How the figures can be had."""
        return " ".join(dict.fromkeys(map(how_to_get, self.metrics)))

    @property
    def explanation(self) -> str:
        """Its text and what its lines say."""
        lines = [LINES[name] for name in LINES if getattr(self, name)]
        return " ".join([self.text, *lines])

    def on_page(self) -> dict[str, Json]:
        """What the page's script reads."""
        return {**asdict(self), "metrics": self.metrics, "text": self.explanation}


def charts_of_page(*, with_history: bool) -> Iterator[Chart]:
    """Every chart of the page: where a picture has two, one below the other, the page has both."""
    for chart in CHARTS.values():
        if chart.form != "history" or with_history:
            yield chart
        if chart.form == "bars" and chart.y:
            against = noun_of(chart.y)
            yield replace(
                chart, name=f"{chart.name}-{chart.y}", tab=f"{chart.tab} / {against}",
                title=f"{chart.title}, and {against}", form="points",
            )  # fmt: skip


def title_of(metric: str) -> str:
    """What an axis is called. Values are scaled by :data:`archbench.metrics.METRICS`."""
    if metric == "batch_size":
        return "batch size"
    return METRICS[metric].axis or METRICS[metric].title


def noun_of(metric: str) -> str:
    """The same in a sentence, without its unit."""
    return title_of(metric).partition(" (")[0]


def how_to_get(metric: str) -> str:
    """What to do about a metric that no source has."""
    return _HOW_TO_GET.get(metric, "It has to come from another run or table.")


def joined(names: list[str]) -> str:
    """``top-1, GMACs and params``."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


CHARTS = {
    chart.name: chart
    for chart in (
        Chart(
            "top1", "Top-1", "Top-1 by architecture",
            "Accuracy on ImageNet-1k of each architecture, in the colour of its family.",
            "bars", "top1",
        ),
        Chart(
            "ball-macs", "Top-1 / GMACs", "Top-1 against GMACs",
            "One circle for each architecture; its area is the number of parameters.",
            x="macs", y="top1", area="params",
        ),
        Chart(
            "ball-params", "Top-1 / params", "Top-1 against params",
            "One circle for each architecture; its area is the number of multiply-adds.",
            x="params", y="top1", area="macs",
        ),
        Chart(
            "density", "Density", "Information density: top-1 per million params",
            "Top-1 percent for each million parameters: how much accuracy a parameter carries.",
            "bars", "density", "top1",
        ),
        Chart(
            "top1-per-gmac", "Per GMAC", "Accuracy per GMAC",
            "Top-1 percent for each 10⁹ multiply-adds.", "bars", "top1_per_gmac", "top1",
        ),
        Chart(
            "operations-time", "GMACs / time", "Operations against inference time per image",
            "How far counted operations foretell time.", x="latency_per_image", y="macs",
            log_x=False, from_zero=True, apart=True, fit=True, slope=(1e3, "GMACs/s"),
        ),
        Chart(
            "top1-rate", "Top-1 / images/s", "Top-1 against images/s",
            "Accuracy against speed. Up and to the right is better.", x="throughput", y="top1",
            log_x=True, smallest_batch=True, front=True, bound=True,
        ),
        Chart(
            "params-memory", "Memory", "Peak memory against params",
            "What a forward pass takes at most, against the parameters that it has to hold.",
            x="params", y="peak_memory", smallest_batch=True, fit=True,
        ),
        Chart(
            "batch-size", "Batch size",
            "Inference time per image and peak memory against batch size",
            "One line for each architecture and device.", "batch", "latency_per_image",
            "peak_memory", log_y=True,
        ),
        Chart(
            "speedup", "Speed-up", "Speed-up over eager torch by architecture",
            "Time of eager torch over that of the runtime, of the same run; above 1 is faster.",
            x="macs", y="speedup", apart=True,
        ),
        Chart(
            "energy", "Energy", "Top-1 against energy per image",
            "Accuracy, and the energy that an image costs. Up and to the left is better.",
            x="energy_per_image", y="top1", log_x=True, front=True,
        ),
        Chart(
            "history", "History", "History of a cell",
            "One value for each stored run, oldest first. Change points are marked.", "history",
        ),
    )
}  # fmt: skip
"""Every chart by its name, in the order of a report."""

assert all(metric in METRICS for chart in CHARTS.values() for metric in chart.metrics)
