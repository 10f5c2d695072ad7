"""The ``bench`` fixture: a test asks it for a measurement, it records the result. Needs torch."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import pytest

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.core.entries import MetricEntry
from archbench.core.errors import EndedError, InconclusiveError, NotMeasuredError
from archbench.core.joined import merged, process_runs_of
from archbench.core.records import Record, statistics_of
from archbench.core.spec import ModelSpec, Target
from archbench.measure.cells import (
    complexity_record,
    further_metrics,
    is_of_network,
    largest_batch,
    latency_record,
    load_guarded,
    timed_counts,
)
from archbench.measure.failures import describe_failure
from archbench.measure.hardware import check_torchvision
from archbench.measure.largest_batch import LargestBatch
from archbench.measure.latency import SamplingPlan
from archbench.measure.parameters import count_parameters
from archbench.models.installed import import_library
from archbench.models.loading import LoadedModel
from archbench.pytest_plugin.against import comparison_of
from archbench.pytest_plugin.budgets import over_budget
from archbench.pytest_plugin.compared import not_compared
from archbench.pytest_plugin.evaluations import not_measured
from archbench.pytest_plugin.gate import other_counts
from archbench.pytest_plugin.held import take_turns
from archbench.pytest_plugin.holding import holder_of
from archbench.pytest_plugin.judging import (
    judge_counts,
    judge_output,
    judge_timed,
)
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.recording import keep_record
from archbench.pytest_plugin.repeated import Repeated, repeated
from archbench.pytest_plugin.settings import Settings
from archbench.pytest_plugin.starting import hand_on, handed_on, measures_only, times_order
from archbench.pytest_plugin.targets import beside_others, device_lease, timing_alone
from archbench.pytest_plugin.turns import taking_turns
from archbench.workers.inside import doing

__all__ = ["Bench", "holder_of", "import_for", "load_guarded"]

PLACEMENTS = 3
"""Places in memory that a process tries: the fastest of three spreads a third less."""


class Bench:
    """Measures for one test and keeps what was measured for the run's record."""

    def __init__(self, node: pytest.Item, settings: Settings) -> None:
        self._node = node
        self._settings = settings

    def _record(self, record: Record) -> Record:
        keep_record(self._node, record)
        return record

    def complexity(self, model_spec: ModelSpec) -> dict[str, MetricEntry]:
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
        doing(self._node.config, "counting")
        with beside_others(self._node.config):
            record, complexity = complexity_record(model_spec, holder_of(self._node.config))
        failures = (
            []
            if measures_only(self._node.config)
            else [
                judge_counts(self._node, record, complexity),
                over_budget(self._node.config, record),
            ]
        )
        metrics = self._record(record).metrics
        _fail(failures)
        return metrics

    def latency(self, loaded_model: LoadedModel) -> dict[str, float | dict[str, str]]:
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
            return statistics_of(record)
        order = times_order(config)
        runtime = loaded_model.target.runtime
        doing(config, "timing" if runtime == "eager" else f"making it {runtime}, and timing")
        loaded_model = self._sized(loaded_model)
        if order is not None:
            record = self._measured(
                loaded_model, order.time_budget, placements=PLACEMENTS, seed=order.seed
            )
            params, _ = count_parameters(loaded_model.module)
            record.metrics["latency"]["counts"] = {"params": params}
            return statistics_of(self._record(record))
        item = repeated(config, self._node.nodeid)
        confirmations = [] if item is None else process_runs_of(item.confirmations)
        try:
            if item is not None:
                record = self._brought(loaded_model, item)
            else:
                with timing_alone(config, loaded_model.target):
                    record = self._measured(loaded_model, self._settings.time_budget)
        except InconclusiveError as error:
            self._give_up(loaded_model, error)
        if confirmations:
            record.metrics["latency"]["confirmations"] = confirmations
        if self._settings.baseline_update is not None:
            record.metrics["latency"]["counts"] = timed_counts(loaded_model)
        of_network = partial(is_of_network, loaded=loaded_model)
        record.notes += other_counts(config, record.id, of_network)
        doing(config, "measuring memory")
        # The batch size of a process run, where it is the largest that fits.
        record.metrics.update(further_metrics(loaded_model, self._settings.measure))
        failures = [
            *judge_timed(self._node, record, confirmations, lambda: timed_counts(loaded_model)),
            judge_output(self._node, record),
            over_budget(self._node.config, record),
        ]
        statistics = statistics_of(self._record(record))
        _fail(failures)
        return statistics

    def accuracy(self, model_spec: ModelSpec, target: Target) -> dict[str, MetricEntry]:
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
        from archbench.pytest_plugin.accuracy import measured_accuracy

        with device_lease(self._node, target):
            record, failure = measured_accuracy(self._node, model_spec, target)
        over = over_budget(self._node.config, record)
        metrics = self._record(record).metrics
        _fail([failure, over])
        return metrics

    def fingerprint(self, model_spec: ModelSpec, target: Target) -> MetricEntry:
        """Compare what the network makes of fixed images with what was accepted.

        Returns:
            The fingerprint; empty where none has been accepted and none is to be.

        Raises:
            ArchitectureError: the network cannot be built or run.
            NotMeasuredError: weights are not to be had or do not fit.
        """
        if measures_only(self._node.config):
            pytest.skip("this process measures times")
        other = model_spec.other_inputs
        if other is not None:
            pytest.skip(f"{model_spec.id} takes {other}, and a fingerprint is of pictures")
        from archbench.pytest_plugin.accuracy import fingerprint_record

        with device_lease(self._node, target):
            record, failure = fingerprint_record(self._node, model_spec, target)
        taken: MetricEntry = self._record(record).metrics.get("fingerprint", {})
        _fail([failure])
        return taken

    def _side_by_side(self, loaded_model: LoadedModel) -> Record | None:
        """What a paired comparison found for this test, or what this process measures as a side.

        None where neither is so.
        """
        side = taking_turns(self._node.config)
        if side is not None:
            return None if side.timed else take_turns(side, loaded_model)
        if self._settings.against is None:
            return None

        item = comparison_of(self._node.config, self._node.nodeid)
        if item is None:
            record = self._measured(loaded_model, self._settings.time_budget)
            record.verdicts.append(not_compared())
            return self._record(record)
        failures = [item.failure, over_budget(self._node.config, item.record)]
        record = self._record(item.record)
        _fail(failures)
        if "latency" not in record.metrics:
            # Reported, and no figures to go on with.
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
        found = handed_on(config, name, LargestBatch)
        if found is None:
            _, found = largest_batch(loaded_model)
            hand_on(config, name, found)
        sized = loaded_model.fed(found.size)
        metric: MetricEntry = {
            "value": found.size, "stopped_by": found.stopped_by, "unit": "1", "source": "measured"
        }  # fmt: skip
        record = Record(sized.spec.id, sized.target, {"max_batch_size": metric})
        self._record(record)
        return sized

    def _brought(self, loaded_model: LoadedModel, item: Repeated) -> Record:
        """What the processes that measured the cell have brought, as one record.

        Raises:
            EndedError: the network ended them.
            InconclusiveError: the last of them could not decide, and none could.
            NotMeasuredError: none of them measured anything.
        """
        if item.died is not None:
            died, id = item.died, loaded_model.spec.id
            raise EndedError(died.status, died.reason, f"{id}: {died.sentence}")
        if not item.process_runs and item.lost:
            raise InconclusiveError(*item.lost[-1])
        if not item.process_runs:
            raise NotMeasuredError(
                "process-runs-without-times",
                f"{loaded_model.spec.id}: none of its process runs measured anything. Look for "
                "what ends or skips the test in a process of its own, where "
                "ARCHBENCH_PADDING is set",
            )
        _refuse_several(loaded_model, [*item.process_runs, *item.confirmations])
        record = merged(item.process_runs)
        record.notes += [item.note] if item.note is not None else []
        return record

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

    @staticmethod
    def _measured(
        loaded_model: LoadedModel, time_budget: float, *, placements: int = 1, seed: int = 0
    ) -> Record:
        return latency_record(
            loaded_model, SamplingPlan(time_budget=time_budget), placements=placements, seed=seed
        )


def _refuse_several(loaded_model: LoadedModel, records: Sequence[Record]) -> None:
    """Times of several networks are no times of one.

    Raises:
        NotMeasuredError: its constructor built another network in another process.
    """
    built = {count_parameters(loaded_model.module)[0]}
    for record in records:
        built |= {*(record.metrics["latency"].pop("counts", None) or {}).values()}
    if len(built) > 1:
        numbers = " and ".join(f"{number:,}" for number in sorted(built))
        raise NotMeasuredError(
            "structure-varies",
            f"{loaded_model.spec.id} was built with {numbers} parameters in different processes. "
            "Let its constructor build the same network each time, whatever the clock, the "
            "process, the order of a set or a file says",
        )


def _fail(failures: Sequence[str | None]) -> None:
    texts = [text for text in failures if text is not None]
    if texts:
        pytest.fail("\n\n".join(texts), pytrace=False)


def import_for(metric: str, spec: ModelSpec | None) -> None:
    """Import what measuring an architecture needs beside this module.

    Raises:
        Exception: whatever an import raises.
    """
    if spec is not None and spec.is_own:
        return  # what it needs is its own affair
    if metric == "complexity":
        importlib.import_module("torch._dynamo")  # which torchvision imports too
    else:
        check_torchvision()
    if spec is not None and spec.library in LISTED_LIBRARIES:
        import_library(spec.library, spec.id)
