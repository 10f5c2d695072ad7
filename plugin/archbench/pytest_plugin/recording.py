"""What a test has measured: kept with the test, and given to its report."""

from __future__ import annotations

import pytest

from archbench.core.errors import (
    first_line,
)
from archbench.core.foreign import plain
from archbench.core.records import Record, merge_records
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Verdict
from archbench.measure.failures import describe_failure
from archbench.pytest_plugin.ci import drop_junit_properties, set_junit_properties
from archbench.pytest_plugin.leaving import note_fatal_error
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, forget_network

_RECORD: pytest.StashKey[Record] = pytest.StashKey()


def keep_record(node: pytest.Item, record: Record) -> Record:
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
    _attach(item, report, keep_record(item, failed))
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
    _attach(item, report, keep_record(item, record))


def forget_record(item: pytest.Item) -> None:
    """Start a test anew, as plugins do that run a failed one again: what it measured before counts
    no more."""
    if _RECORD in item.stash:
        drop_junit_properties(item, item.stash[_RECORD])
        del item.stash[_RECORD]
        spec, _ = known_of(item)
        if spec is not None:
            forget_network(item.config, spec)
