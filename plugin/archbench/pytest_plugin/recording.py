"""The ``bench`` fixture: a test asks it for a measurement, it records the result."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.core.errors import (
    ArchitectureError,
    InconclusiveError,
    NotMeasuredError,
    first_line,
    orders_to_end,
)
from archbench.core.foreign import plain
from archbench.core.records import Record, derived, merge_records
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Verdict
from archbench.measure.failures import describe_failure
from archbench.measure.latency import SamplingPlan
from archbench.models.requiring import require_torch
from archbench.pytest_plugin.accuracy import measured_accuracy, not_measured
from archbench.pytest_plugin.accuracy_gate import fingerprint_record
from archbench.pytest_plugin.against import not_compared, told
from archbench.pytest_plugin.amounts import judge_amounts
from archbench.pytest_plugin.budgets import budget_failure, judge_budgets
from archbench.pytest_plugin.ci import drop_junit_properties, set_junit_properties
from archbench.pytest_plugin.gate import judge_counts, judge_time
from archbench.pytest_plugin.launched import launched, launches_of, merged
from archbench.pytest_plugin.leaving import note_fatal_error
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, device_lease, holder_of
from archbench.pytest_plugin.starting import hand_on, handed_on, measures_only, times_order
from archbench.pytest_plugin.turns import take_turns, taking_turns

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel
    from archbench.pytest_plugin.settings import Settings

__all__ = [
    "Bench",
    "attach_record",
    "forget_record",
    "import_before",
    "known_of",
    "metric_of",
]

PLACEMENTS = 3
"""Places in memory that a launch tries: the fastest of three spreads a third less."""

_RECORD: pytest.StashKey[Record] = pytest.StashKey()


class Bench:
    """Measures for one test and keeps what was measured for the run's record."""

    def __init__(self, node: pytest.Item, settings: Settings) -> None:
        self._node = node
        self._settings = settings

    def _record(self, record: Record) -> Record:
        _keep(self._node, record)
        return record

    def complexity(self, model_spec: ModelSpec) -> dict[str, dict[str, Any]]:
        """Count an architecture on the meta device, and compare with the accepted counts.

        The test fails where any count differs from ``baselines/complexity.jsonl``, unless the
        change is being accepted (``--baseline-update``).

        Returns:
            Metric name to ``{"value", "unit", "source", ...}``: ``params``, ``trainable_params``,
            ``buffers``, ``macs`` and ``activations`` of one image, ``max_channels``,
            ``operator_calls``, ``input_shape``, ``output_shape``, ``layers``; ``param_bytes`` has
            ``by_dtype`` in place of a value.

        Raises:
            ArchitectureError: the model cannot be built, or returns no class scores.
            NotMeasuredError: it cannot be counted.
        """
        from archbench.measure.cells import complexity_record

        record, complexity = complexity_record(model_spec, holder_of(self._node.config))
        failures = (
            []
            if measures_only(self._node.config)
            else [judge_counts(self._node, record, complexity), self._over_budget(record)]
        )
        metrics = self._record(record).metrics
        _fail(failures)
        return metrics

    def latency(self, loaded_model: LoadedModel) -> dict[str, Any]:
        """Time forward passes until the median is known or the time budget is spent.

        On an accelerator its own clock is read as well: latency and device time are two metrics,
        each compared with what was accepted. Peak memory is measured after them, in passes of its
        own, and energy where ``--energy`` asks for it; both are compared too. The test fails where
        any of them is worse. Where the device throttled again and again the test is skipped as
        ``inconclusive``, or fails with ``--strict``.

        Returns:
            ``p50`` and, where there are samples enough, ``p90``, ``p95``, ``p99`` in seconds per
            batch; ``throughput`` in images per second; ``precision``, ``dispersion``,
            ``samples``; under ``absent`` the reason for what is missing.

        Raises:
            NotMeasuredError: the model's scores are not finite, or it cannot be compiled or
                captured.
        """
        config = self._node.config
        record = self._side_by_side(loaded_model)
        if record is not None:
            return derived(record)
        order = times_order(config)
        loaded_model = self._sized(loaded_model)
        if order is not None:
            record = self._measured(
                loaded_model, order.time_budget, placements=PLACEMENTS, seed=order.seed
            )
            return derived(self._record(record))
        item = launched(config).get(self._node.nodeid)
        if item is not None and item.died is not None:
            raise ArchitectureError(f"{loaded_model.spec.id}: {item.died}")
        if item is not None and not item.launches and item.lost:
            self._give_up(loaded_model, InconclusiveError(*item.lost[-1]))
        if item is not None and not item.launches:
            raise NotMeasuredError(
                "launches-without-figures",
                f"{loaded_model.spec.id}: none of its launches measured anything. Look for what "
                "ends or skips the test in a process of its own, where ARCHBENCH_PADDING is set",
            )
        if item is not None:
            record = merged(item.launches)
            record.notes += [item.note] if item.note is not None else []
            confirmations = launches_of(item.confirmations)
            if confirmations:
                record.metrics["latency"]["confirmations"] = [
                    one.as_dict() for one in confirmations
                ]
        else:
            try:
                record = self._measured(loaded_model, self._settings.time_budget)
            except InconclusiveError as error:
                self._give_up(loaded_model, error)
            confirmations = []
        if self._settings.baseline_update is not None:
            from archbench.measure.cells import timed_counts

            record.metrics["latency"]["counts"] = timed_counts(loaded_model)
        # The batch size of a launch, where it is the largest that fits.
        self._add_amounts(record, loaded_model)
        failures = [
            judge_time(self._node, record, confirmations, loaded_model),
            judge_amounts(self._node, record),
            self._over_budget(record),
        ]
        statistics = derived(self._record(record))
        _fail(failures)
        return statistics

    def accuracy(self, model_spec: ModelSpec, target: Target) -> dict[str, dict[str, Any]]:
        """Show all images of ``--imagenet`` to the network with its weights, and compare.

        Where no images are given the test is skipped, and its cell is ``not-measured``.

        Returns:
            ``top1`` and, where there are more than five classes, ``top5``: ``value`` in percent,
            ``images``, ``interval`` (Wilson, 95 %) and more.

        Raises:
            NotMeasuredError: weights are not to be had or do not fit, or the network does not know
                the images' classes.
        """
        config = self._node.config
        if measures_only(config):
            pytest.skip("this process measures times")
        if self._settings.imagenet is None:
            record, reason = not_measured(config, model_spec, target)
            self._record(record)
            pytest.skip(reason)
        with device_lease(self._node, target):
            record, failures = measured_accuracy(self._node, model_spec, target)
        over = self._over_budget(record)
        metrics = self._record(record).metrics
        _fail([*failures, over])
        return metrics

    def fingerprint(self, model_spec: ModelSpec, target: Target) -> dict[str, Any]:
        """Compare what the network makes of fixed images with what was accepted.

        Returns:
            The fingerprint; empty where none has been accepted and none is to be.

        Raises:
            ArchitectureError: the network cannot be built or run.
            NotMeasuredError: weights are not to be had or do not fit.
        """
        if measures_only(self._node.config):
            pytest.skip("this process measures times")
        with device_lease(self._node, target):
            record, failures = fingerprint_record(self._node, model_spec, target)
        taken = self._record(record).metrics.get("fingerprint", {})
        _fail(failures)
        return taken

    def _side_by_side(self, loaded_model: LoadedModel) -> Record | None:
        """What a duet has told of this test, or what this process measures as a side of one.

        None where neither is so.
        """
        side = taking_turns(self._node.config)
        if side is not None:
            return None if side.timed else take_turns(side, loaded_model)
        if self._settings.against is None:
            return None

        item = told(self._node.config, self._node.nodeid)
        if item is None:
            record = self._measured(loaded_model, self._settings.time_budget)
            record.verdicts.append(not_compared())
            return self._record(record)
        failures = [item.failure, self._over_budget(item.record)]
        record = self._record(item.record)
        _fail(failures)
        if "latency" not in record.metrics:
            # Told, and no figures to go on with.
            verdict = item.record.verdicts[0]
            text = f"{verdict.status}: {verdict.sentence}"
            pytest.skip(spelled(self._node.config, text))
        return record

    def _sized(self, loaded_model: LoadedModel) -> LoadedModel:
        """The model with the largest batch that fits, where that is asked for: the first process
        that measures the test looks for it, and the others take what it has found."""
        if not loaded_model.target.largest_batch:
            return loaded_model
        config = self._node.config
        name = f"batch-{hashlib.sha256(self._node.nodeid.encode()).hexdigest()[:16]}.json"
        found = handed_on(config, name)
        if found is None:
            from archbench.measure.cells import largest_batch

            _, searched = largest_batch(loaded_model)
            found = {"value": searched.size, "stopped_by": searched.stopped_by}
            hand_on(config, name, found)
        sized = loaded_model.fed(found["value"])
        metric = {**found, "unit": "1", "source": "measured"}
        record = Record(sized.spec.id, sized.target, {"max_batch_size": metric})
        self._record(record)
        return sized

    def _add_amounts(self, record: Record, loaded_model: LoadedModel) -> None:
        """Measure memory, energy and what else was asked for, for the same cell."""
        from archbench.measure.cells import further_metrics

        record.metrics.update(further_metrics(loaded_model, self._settings.measure))

    def _give_up(self, loaded_model: LoadedModel, error: InconclusiveError) -> NoReturn:
        """End a test that is neither passed nor failed, unless that is asked to fail.

        Raises:
            InconclusiveError: with ``--strict``.
        """
        if self._settings.strict:
            raise error

        record, text = describe_failure(error, "latency", loaded_model.spec, loaded_model.target)
        self._record(record)
        pytest.skip(spelled(self._node.config, text))

    def _over_budget(self, record: Record) -> str | None:
        """Judge what was just measured by the project's budgets."""
        verdicts = judge_budgets(self._node.config, record)
        record.verdicts += verdicts
        return budget_failure(self._node.config, record, verdicts)

    @staticmethod
    def _measured(
        loaded_model: LoadedModel, time_budget: float, *, placements: int = 1, seed: int = 0
    ) -> Record:
        from archbench.measure.cells import latency_record

        return latency_record(
            loaded_model, SamplingPlan(time_budget=time_budget), placements=placements, seed=seed
        )


def _fail(failures: Sequence[str | None]) -> None:
    texts = [text for text in failures if text is not None]
    if texts:
        pytest.fail("\n\n".join(texts), pytrace=False)


def _keep(node: pytest.Item, record: Record) -> Record:
    """Join a record to what the test has measured before."""
    before = node.stash.get(_RECORD, None)
    if before is not None and before.id == record.id:
        joined = merge_records([before, record])
        record = joined[-1]
    node.stash[_RECORD] = record
    return record


def _attach(item: pytest.Item, report: pytest.TestReport, record: Record) -> None:
    """The session takes it off as ``report.archbench``, with and without workers between.

    What JUnit says about the test is read from the report of its tear-down, which is yet to come.
    """
    report.archbench = record.as_dict()  # type: ignore[attr-defined]
    set_junit_properties(item, record)


def known_of(item: pytest.Item) -> tuple[ModelSpec | None, Target | None]:
    """The architecture and the target that a test is about, as far as they are known yet."""
    arguments = getattr(item, "funcargs", {})
    params = getattr(getattr(item, "callspec", None), "params", {})
    spec = arguments.get("model_spec") or params.get(MODEL_ARGUMENT)
    target = arguments.get("target") or arguments.get("accuracy_target")
    if target is None and "loaded_model" in arguments:
        target = arguments["loaded_model"].target
    return (
        spec if isinstance(spec, ModelSpec) else None,
        target if isinstance(target, Target) else None,
    )


def attach_record(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> None:
    """Give a test's report the record of its cell.

    A failure to load (set-up) or to measure (call) becomes a record with its verdict, and the
    report's text becomes what a person needs: the message and the model's own traceback.
    """
    record = item.stash.get(_RECORD, None)
    if report.when == "call" and record is not None:
        _attach(item, report, record)
    error = call.excinfo.value if call.excinfo is not None else None
    if report.when not in ("setup", "call") or error is None or not report.failed:
        return
    if not isinstance(error, Exception):
        if record is None:
            _attach_foreign_failure(item, report, error)
        return
    note_fatal_error(item.config, error)
    spec, target = known_of(item)
    if spec is None or isinstance(error, AssertionError):
        return

    metric = metric_of(item)
    failed, text = describe_failure(error, metric, spec, target)
    if metric == "top1" and failed.target is not None:
        failed.target = failed.target.batchless
    _attach(item, report, _keep(item, failed))
    report.longrepr = plain(spelled(item.config, text))


def metric_of(item: pytest.Item) -> str:
    """What a test is about, by the fixtures that it asks for."""
    names = getattr(item, "fixturenames", ())
    if "accuracy_target" in names:
        return "top1"
    return "latency" if "loaded_model" in names else "complexity"


def _attach_foreign_failure(
    item: pytest.Item, report: pytest.TestReport, error: BaseException
) -> None:
    """Give a cell whose test was failed from outside, as by a time-out, its verdict: the error is
    none of the network's, and there are no figures."""
    spec, target = known_of(item)
    if spec is None:
        return

    sentence = f"its test failed: {first_line(error)}"
    verdict = Verdict(metric_of(item), "crashed", "test-failed", sentence)
    record = Record(spec.id, target, verdicts=[verdict])
    _attach(item, report, _keep(item, record))


def forget_record(item: pytest.Item) -> None:
    """Start a test anew, as plugins do that run a failed one again: what it measured before counts
    no more."""
    if _RECORD in item.stash:
        drop_junit_properties(item, item.stash[_RECORD])
        del item.stash[_RECORD]
        spec, _ = known_of(item)
        if spec is not None:
            holder_of(item.config).forget(spec)


def import_before(item: pytest.Item) -> None:
    """Import what the measurement of a test needs. What cannot be imported the test will tell."""
    try:
        _import_for(item)
    except orders_to_end():
        raise
    except Exception:
        return


def _import_for(item: pytest.Item) -> None:
    require_torch()
    import archbench.measure.cells  # noqa: F401
    from archbench.measure.hardware import check_torchvision
    from archbench.models.installed import import_library

    if metric_of(item) == "complexity":
        importlib.import_module("torch._dynamo")  # which torch needs once a pass is counted
    else:
        check_torchvision()
    spec, _ = known_of(item)
    if spec is not None and spec.library in LISTED_LIBRARIES:
        import_library(spec.library, spec.id)
