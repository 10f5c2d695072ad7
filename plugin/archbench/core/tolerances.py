"""How much a metric may move against its baseline before a test fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from archbench.core.errors import UsageError
from archbench.core.gate import TimeRule
from archbench.core.process_runs import DEVICE, Scale
from archbench.core.rounds import CLOCKS, ClockRule, default_rules
from archbench.core.selectors import Selector, refuse_unknown
from archbench.core.units import parse_quantity
from archbench.metrics import METRICS, PRESETS, Tolerance, compared_by


@dataclass(frozen=True, slots=True)
class Override:
    """A deviation from the preset for one metric in some cells.

    Attributes:
        metric: one that has a tolerance.
        selector: the cells.
        relative, confidence, absolute: see :class:`Tolerance`; None keeps what holds otherwise.
    """

    metric: str
    selector: Selector = field(default_factory=Selector)
    relative: float | None = None
    confidence: float | None = None
    absolute: float | None = None

    @property
    def given(self) -> dict[str, float]:
        """The values that it sets."""
        fields = {
            "relative": self.relative,
            "confidence": self.confidence,
            "absolute": self.absolute,
        }
        return {name: value for name, value in fields.items() if value is not None}


_SHARES = ("tolerated_change", "equivalence_margin")
PAIRED_KEYS = (*_SHARES, "alpha", "beta", "rounds", "process_runs", "most_process_runs")
"""What a project may say about paired comparisons, with the field of the rule that it sets."""

PAIRED_REPORTS = MappingProxyType(
    {
        "counts": "an exact figure that both sides have and that differs",
        "new": "a test that only the candidate has",
    }
)
"""What a project may say fails or is only reported, with what it is."""


@dataclass(frozen=True, slots=True)
class PairedOverride:
    """A deviation from the default rule of paired comparisons, in some cells.

    Attributes:
        selector: the cells.
        clock: by which; None for the first of the device, which is the sharper one.
        values: field of :class:`archbench.core.paired.PairedRule` to value.
        reports: key of :data:`PAIRED_REPORTS` to whether it is only reported.
    """

    selector: Selector = field(default_factory=Selector)
    clock: str | None = None
    values: tuple[tuple[str, float], ...] = ()
    reports: tuple[tuple[str, bool], ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """Names of what it sets."""
        return tuple(name for name, _ in (*self.values, *self.reports))


@dataclass(frozen=True, slots=True)
class Rules:
    """A preset and the deviations from it.

    Attributes:
        preset: one of :data:`PRESETS`.
        overrides: in order: of two that give the same value for a cell the later one wins.
        paired: the same for comparisons side by side.

    Raises:
        UsageError: there is no such preset.
    """

    preset: str = "default"
    overrides: tuple[Override, ...] = ()
    paired: tuple[PairedOverride, ...] = ()

    def __post_init__(self) -> None:
        refuse_unknown(f"preset = {self.preset!r}", self.preset, PRESETS, "preset")

    def tolerance(self, metric: str, architecture: str, device: str, dtype: str) -> Tolerance:
        """What holds for a metric of a cell.

        Args:
            metric: one that has a tolerance.
            architecture: id.
            device: short name.
            dtype: precision.

        Raises:
            UsageError: the metric has no tolerance; says why.
        """
        _check_metric(f"tolerance of {metric}", metric)
        tolerance = METRICS[metric].presets[self.preset]
        for override in self.overrides:
            if override.metric == metric and override.selector.matches(architecture, device, dtype):
                tolerance = replace(tolerance, **override.given)
        return tolerance

    def time_rule(self, architecture: str, device: str, dtype: str, scale: Scale) -> TimeRule:
        """How times of a cell are compared.

        Args:
            architecture, device, dtype: see :meth:`tolerance`.
            scale: what is compared; the device's clock has a tolerance of its own.
        """
        metric = "device_time" if scale == DEVICE else "latency"
        tolerance = self.tolerance(metric, architecture, device, dtype)
        assert tolerance.confidence is not None
        return TimeRule(scale, tolerance.relative, tolerance.confidence)

    def paired_rules(
        self, architecture: str, device: str, dtype: str, kind: str, threads: int
    ) -> tuple[ClockRule, ...]:
        """How a cell is judged side by side with another version.

        Args:
            architecture, device, dtype: see :meth:`tolerance`.
            kind, threads: see :func:`archbench.core.rounds.default_rules`.

        Raises:
            UsageError: several entries together make no rule.
        """
        rules = default_rules(kind, threads)
        for override in self.paired:
            if not override.selector.matches(architecture, device, dtype):
                continue
            clock = override.clock or rules[0].clock
            try:
                rules = tuple(
                    ClockRule(one.clock, replace(one.rule, **_fields(override)))
                    if one.clock == clock
                    else one
                    for one in rules
                )
            except ValueError as error:
                raise UsageError(
                    f"the rules of paired comparisons for {architecture} in {dtype} on {device}",
                    str(error),
                    "Change one of the entries that select it",
                ) from None
        return rules

    def reports(self, what: str, architecture: str, device: str, dtype: str) -> bool:
        """Whether something about a cell of a paired comparison is only reported, and fails
        nothing.

        Args:
            what: of :data:`PAIRED_REPORTS`.
            architecture, device, dtype: see :meth:`tolerance`.
        """
        reported = False
        for override in self.paired:
            if override.selector.matches(architecture, device, dtype):
                reported = dict(override.reports).get(what, reported)
        return reported


def _fields(override: PairedOverride) -> dict[str, Any]:
    return dict(override.values)


def parse_paired(
    selector: Selector, clock: str | None, given: Mapping[str, str | float]
) -> PairedOverride:
    """A paired comparison's override from what a person writes.

    Args:
        selector: the cells.
        clock: one of :data:`archbench.core.rounds.CLOCKS`, or None.
        given: of :data:`PAIRED_KEYS`, the shares in percent. Of :data:`PAIRED_REPORTS`,
            ``report`` or ``fail``.

    Raises:
        UsageError: a value that makes no sense, by itself or with the defaults, or none at all.
    """
    if clock is not None:
        refuse_unknown(f"clock = {clock!r}", clock, CLOCKS, "clock")
    if not given:
        raise UsageError(
            "paired",
            "nothing is given",
            "Add for example tolerated_change = '1 %' or most_process_runs = 12",
        )
    values: list[tuple[str, float]] = []
    reports: list[tuple[str, bool]] = []
    for key, value in given.items():
        if key in PAIRED_REPORTS:
            reports.append((key, _parse_report(key, str(value), clock)))
        elif key in _SHARES:
            values.append((key, _parse(key, str(value), "a share")))
        elif not isinstance(value, str):
            values.append((key, value))
    override = PairedOverride(selector, clock, tuple(values), tuple(reports))
    trouble = _no_rule(override) if values else None
    if trouble is not None:
        asked = ", ".join(f"{key} = {value!r}" for key, value in given.items())
        raise UsageError(
            asked, f"that makes no rule: {trouble}", "Give the values that have to fit together"
        )
    return override


def _no_rule(override: PairedOverride) -> str | None:
    """Why an override by itself fits no device's default; None where it fits one."""
    errors = []
    for kind, threads in (("cpu", 1), ("cuda", 1)):
        for one in default_rules(kind, threads):
            if override.clock in (None, one.clock):
                try:
                    replace(one.rule, **_fields(override))
                except ValueError as error:
                    errors.append(str(error))
                else:
                    return None
    return errors[0]


def _parse_report(key: str, value: str, clock: str | None) -> bool:
    """Whether something is only reported."""
    asked = f"{key} = {value!r}"
    if clock is not None:
        raise UsageError(
            asked,
            f"it is about no clock, and the entry is about {clock!r}",
            "Give it its own entry",
        )
    if value not in ("report", "fail"):
        raise UsageError(
            asked,
            f"{PAIRED_REPORTS[key]} fails its test, or is reported and fails nothing",
            f"Write {key} = 'report', or 'fail', which is what holds without it",
        )
    return value == "report"


_COMPARED = ("statistics", "tolerance", "pairs")
"""The checks that take a tolerance."""


def _check_metric(asked: str, metric: str) -> None:
    """Refuse a metric that has no tolerance.

    Raises:
        UsageError: it is unknown, or compared in another way.
    """
    gated = compared_by(*_COMPARED)
    if metric in compared_by("equality") or metric == "param_bytes":
        raise UsageError(
            asked,
            "a count has no noise and is compared by equality, so it takes no tolerance",
            "Accept a change that is meant with --baseline-update, or give the count a budget",
        )
    follows = METRICS[metric].follows if metric in METRICS else None
    if follows is not None:
        raise UsageError(
            asked,
            f"{follows[1]}, and is not compared by itself",
            f"Give the tolerance to {follows[0]!r}",
        )
    if metric in METRICS and metric not in gated:
        raise UsageError(
            asked, "it is not compared with a baseline", f"Metrics are {', '.join(gated)}"
        )
    refuse_unknown(asked, metric, gated, "metric")


LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.9, 0.999999


def parse_override(
    metric: str,
    selector: Selector,
    *,
    relative: str | None = None,
    confidence: float | None = None,
    absolute: str | None = None,
) -> Override:
    """An override from what a person writes.

    Args:
        metric: its name.
        selector: the cells.
        relative: in percent: ``5 %``.
        confidence: probability, 0.9 to 0.999999, of a time.
        absolute: with unit, of an amount: ``16 MiB``, ``2 mJ``.

    Raises:
        UsageError: a metric without tolerance, a value that the metric does not take or that is
            none, or no value at all.
    """
    asked = f"metric = {metric!r}"
    _check_metric(asked, metric)
    if METRICS[metric].check == "pairs" and (relative is not None or absolute is not None):
        raise UsageError(
            asked,
            "an accuracy is compared image by image, and takes neither relative nor absolute",
            "Write confidence = 0.9999, or a budget for a limit: limit = 'top1 >= 75 %'",
        )
    if relative is None and confidence is None and absolute is None:
        raise UsageError(asked, "no tolerance is given", f"Add {_examples(metric)}")
    if confidence is not None:
        _check_confidence(metric, confidence)
    share = None if relative is None else _parse("relative", relative, "a share")
    amount = None if absolute is None else _parse_amount(metric, absolute)
    return Override(metric, selector, share, confidence, amount)


def _examples(metric: str) -> str:
    known = METRICS[metric]
    own = ("relative = '5 %'" if known.check != "pairs" else "", known.example)
    return " or ".join(filter(None, own))


def _parse_amount(metric: str, absolute: str) -> float:
    if METRICS[metric].check != "tolerance":
        raise UsageError(
            f"absolute = {absolute!r}",
            f"a change of {metric} is judged relative to the baseline",
            "Write relative = '5 %', or a budget for an absolute limit",
        )
    return _parse("absolute", absolute, METRICS[metric].kind)


def _check_confidence(metric: str, confidence: float) -> None:
    asked = f"confidence = {confidence!r}"
    if METRICS[metric].check == "tolerance":
        raise UsageError(
            asked,
            f"{metric} is compared without statistics",
            "Leave it out, and write relative or absolute",
        )
    if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        raise UsageError(
            asked,
            f"it is a probability from {LEAST_CONFIDENCE} to {MOST_CONFIDENCE}",
            "Write for example confidence = 0.999",
        )


def _parse(key: str, text: str, kind: str) -> float:
    try:
        return parse_quantity(text, kind).value
    except UsageError as error:
        raise UsageError(f"{key} = {text!r}", error.found, error.todo) from None


def first_repeated(overrides: Iterable[Override]) -> tuple[int, int] | None:
    """Places, from 0, of two overrides that give the same value for the same cells."""
    seen: dict[tuple[str, Selector, str], int] = {}
    for place, override in enumerate(overrides):
        for name in override.given:
            earlier = seen.setdefault((override.metric, override.selector, name), place)
            if earlier != place:
                return earlier, place
    return None
