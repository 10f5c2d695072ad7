"""What is known about a metric, whatever asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CHECKS = ("equality", "statistics", "pairs", "tolerance", "none")
"""How a value is compared with the accepted one: counts by equality, times by the spread between
processes, accuracies image by image, memory and energy by a tolerance."""

PRESETS = ("strict", "default", "lenient")
"""Names of a project's choices of tolerances."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a change has to exceed to be one.

    Attributes:
        relative: share of the baseline; a smaller change never fails.
        confidence: of a time: probability of the t quantile that, times the spread between the
            baseline's process runs, a change has to exceed as well; of an accuracy: one minus the
            probability that chance alone flips so many images. None for memory and energy.
        absolute: of memory and energy: bytes or joules that a change has to exceed as well. None
            for a time.
    """

    relative: float
    confidence: float | None = None
    absolute: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that archbench measures or counts.

    Attributes:
        name: key in records.
        unit: SI, unscaled; ``1`` for a number of things.
        title: heading in tables, with the unit that is printed.
        scale: factor from the stored unit to the printed one.
        digits: significant digits in tables.
        decimals: digits behind the point in place of ``digits``, where tables have so many.
        better: ``lower`` or ``higher``.
        of: what it depends on: ``network`` alone, its ``weights`` in a precision, or the ``run``:
            device, batch size and how it is run.
        check: one of :data:`CHECKS`.
        presets: its tolerance by each of :data:`PRESETS`, where it has one.
        example: of an ``absolute`` tolerance or a ``confidence``, as people write it.
        follows: the metric that is compared in its place, and why.
        error: the least error of a value that was measured here, as a share of it: two process runs
            of one program differ by more than the samples of one show (docs/gate.md).
        kind: of quantity that a limit is written as, see :data:`archbench.core.units.UNITS`;
            empty where there is none.
        quantiles: of its samples that a budget can limit, in place of one value.
        entry: of a record, that it is computed from; its own by default.
        option: what ``archbench select`` calls its limit, behind ``--max-`` or ``--min-``; empty
            where it has none.
        option_unit: of a limit that is a plain number; empty where the unit has to be written.
        option_help: one line for the command's help.
        label: what lines below a run's table begin with.
        axis: title of a chart's axis; the heading by default.
        tables: where it is a column, as soon as a cell has it: ``run``, ``list``, ``select``.
        place: in a list of columns for people.
    """

    name: str
    unit: str
    title: str
    scale: float = 1.0
    digits: int = 4
    decimals: int | None = None
    better: str = "lower"
    of: str = "run"
    check: str = "none"
    presets: Mapping[str, Tolerance] = field(default_factory=dict)
    example: str = ""
    follows: tuple[str, str] | None = None
    error: float = 0.0
    kind: str = ""
    quantiles: tuple[str, ...] = ()
    entry: str = ""
    option: str = ""
    option_unit: str = ""
    option_help: str = ""
    label: str = ""
    axis: str = ""
    tables: tuple[str, ...] = ()
    place: int = 100

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(f"{self.name}: check is {self.check!r}, not of {', '.join(CHECKS)}")
        if self.check in ("statistics", "pairs", "tolerance") and set(self.presets) != {*PRESETS}:
            raise ValueError(f"{self.name}: it needs a tolerance for each of {', '.join(PRESETS)}")
        if (self.better, self.of) not in {
            (better, of) for better in ("lower", "higher") for of in ("network", "weights", "run")
        }:
            raise ValueError(f"{self.name}: better is {self.better!r}, of is {self.of!r}")

    @property
    def spoken(self) -> str:
        """The name in a sentence: ``peak memory``."""
        return self.name.replace("_", " ")

    @property
    def printed_unit(self) -> str:
        """``ms`` of ``latency ms``."""
        return self.title.rpartition(" ")[2]

    def text(self, value: float) -> str:
        """The printed form: the one place where a value is scaled and rounded."""
        return format_significant(value * self.scale, self.digits)

    def said(self, value: float) -> str:
        """The printed form with its unit, for a sentence: ``26.1 ms``."""
        return f"{self.text(value)} {self.printed_unit}"

    def changed(self, old: float, new: float) -> str:
        """Two values in a sentence: ``26.1 ms -> 28.7 ms (+10.0%)``; no share of nothing."""
        share = f" ({new / old - 1:+.1%})" if old else ""
        return f"{self.said(old)} -> {self.said(new)}{share}"

    def column(self, value: float) -> str:
        """The printed form in a list of architectures."""
        if self.decimals is not None:
            return f"{value * self.scale:.{self.decimals}f}"
        return self.text(value)


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that one measurement gives.

    Attributes:
        name: what ``--measure`` calls it.
        metrics: that it gives.
        measure: takes a loaded model (:class:`archbench.models.loading.LoadedModel`), runs passes
            of its own after the timed ones, and returns by metric ``{"value": 5, "source":
            "measured"}``, or ``{"absent": "why"}``; the unit is added. It may raise
            :class:`archbench.core.errors.AbsentError`. Text names a function as
            ``package.module:function``. None where a test of its own measures it.
        is_usual: whether it is measured without being asked for.
    """

    name: str
    metrics: tuple[Metric, ...]
    measure: str | Callable[[Any], Mapping[str, Mapping[str, object]]] | None = None
    is_usual: bool = False


METRICS: dict[str, Metric] = {}
"""Every metric by its name."""

_FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make metrics known to all that measures, compares, limits, lists and draws.

    Raises:
        ValueError: another family has the name, or a metric of the name.
    """
    taken = {family.name} & _FAMILIES.keys() | {one.name for one in family.metrics} & METRICS.keys()
    if taken:
        raise ValueError(f"{', '.join(sorted(taken))}: another family of metrics has this name")
    _FAMILIES[family.name] = family
    METRICS.update({metric.name: metric for metric in family.metrics})
    return family


def compared_by(*checks: str) -> dict[str, Metric]:
    """Metrics that are compared in one of these ways, see :data:`CHECKS`, by name."""
    return {name: metric for name, metric in METRICS.items() if metric.check in checks}


def measured_families() -> dict[str, Family]:
    """Families that are measured beside times, by name."""
    return {name: one for name, one in _FAMILIES.items() if one.measure is not None}


def format_significant(value: float, digits: int) -> str:
    """A number with so many significant digits, never in exponent form: ``0.4043``, ``138.4``."""
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        return f"{float(text):.0f}" if abs(value) >= 1 else f"{value:.{digits + 4}f}"
    return text


def format_seconds(seconds: float) -> str:
    """A duration as people say it: ``850 ms``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
