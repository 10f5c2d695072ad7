"""Which architectures engines run, and what they return beside eager torch: ``make exports``.

    python tools/exports.py                           the seed suite
    python tools/exports.py --random=200              so many of the catalogue, drawn at random
    python tools/exports.py --seconds=600             as far as it comes in that time, 0: the page
    python tools/exports.py --ranking=lightweight     processor time of a suite by each runtime

Results are kept in ``.archbench/exports.jsonl``, a line for each architecture and set of versions,
so that one that was stopped goes on. ``docs/exports.md`` is written at the end, from what is there.
Each architecture is tried in a process of its own, those with the fewest MACs first.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from archbench.catalog import load_catalog
from archbench.catalog.counts import counted_figures
from archbench.core.agreement import METRIC, output_verdict
from archbench.core.errors import ArchbenchError, NotMeasuredError, first_line
from archbench.core.run_config import RunConfig
from archbench.core.spec import ModelSpec
from archbench.measure.cells import latency_record
from archbench.measure.hardware import make_target
from archbench.measure.latency import SamplingPlan
from archbench.measure.output import output_of
from archbench.measure.running import load_guarded
from archbench.models.loading import ModelHolder
from archbench.report.tables import Table
from archbench.runtimes.apart import ApartError, run_apart
from archbench.runtimes.identity import exporters
from archbench.runtimes.own import runtime_named

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / ".archbench" / "exports.jsonl"
PAGE = ROOT / "docs" / "exports.md"
ENGINES = ("onnxruntime", "openvino")
SEED = 0
"""Of the draw."""

LIMIT = 1800.0
"""Seconds that an architecture may take."""


def versions() -> dict[str, str]:
    """Of what exports and what runs."""
    found = exporters()
    for name in ENGINES:
        found.update(runtime_named(name).versions())
    return found


def tried(spec: ModelSpec) -> dict[str, Any]:
    """What each engine makes of an architecture, by its name: the largest difference of a score as
    a share of the largest (``value``), how far other rounding alone moves eager torch's where that
    is more (``rounding``), or a reason with its sentence; and seconds of the export."""
    found: dict[str, Any] = {"id": spec.id, "versions": versions()}
    start = time.perf_counter()
    directory = Path(tempfile.mkdtemp(prefix="archbench-exports-"))
    try:
        target = make_target("cpu", config=RunConfig(runtime=ENGINES[0]))
        model = load_guarded(ModelHolder(artefacts=directory), spec, target)
        for name in ENGINES:
            there = replace(target, runtime=name)
            found[name] = _by_engine(replace(model, target=there, artefact=None))
        for manifest in directory.glob("*/manifest.json"):
            facts = json.loads(manifest.read_text())["facts"]
            found["export"] = {"seconds": facts["seconds"], "open": facts["batch"] is None}
    except (ArchbenchError, MemoryError, RuntimeError) as error:
        found["error"] = first_line(error)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return {**found, "seconds": time.perf_counter() - start}


def _by_engine(model: Any) -> dict[str, Any]:
    try:
        metric = output_of(model)[METRIC]
    except NotMeasuredError as error:
        return {"reason": error.reason, "sentence": str(error)}
    except (ArchbenchError, MemoryError, RuntimeError) as error:
        return {"reason": type(error).__name__, "sentence": first_line(error)}
    verdict = output_verdict(metric, "fp32", model.target.runtime)
    value: dict[str, Any] = {"value": metric.get("value")}
    if "rounding" in metric:
        value["rounding"] = metric["rounding"]
    if verdict.status == "unchanged":
        return value
    return {**value, "reason": verdict.reason, "sentence": verdict.sentence}


def tried_apart(spec: ModelSpec, seconds: float) -> dict[str, Any]:
    """The same, in a process of its own, which is the first to go where memory runs out."""

    def work() -> dict[str, Any]:
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        return tried(spec)

    start = time.perf_counter()
    try:
        return run_apart(work, seconds=seconds)
    except ApartError as error:
        seconds = time.perf_counter() - start
        return {"id": spec.id, "versions": versions(), "error": str(error), "seconds": seconds}


def macs_of(id: str) -> float:
    """Of an architecture; infinite where nobody has counted them."""
    value = counted_figures(id).get("macs")
    return math.inf if value is None else value.value


def results(
    ids: Sequence[str], store: Path, seconds: float, limit: float = LIMIT
) -> Iterator[dict[str, Any]]:
    """Of each architecture, from the store where it was tried with these versions, until the time
    is over."""
    end, catalog = time.monotonic() + seconds, load_catalog()
    store.parent.mkdir(parents=True, exist_ok=True)
    lines = store.read_text().splitlines() if store.exists() else []
    known = {one["id"]: one for one in map(json.loads, lines) if one["versions"] == versions()}
    for number, id in enumerate(sorted(ids, key=macs_of), 1):
        if id in known:
            yield known[id]
            continue
        if time.monotonic() > end:
            continue
        result = tried_apart(catalog.get(id), limit)
        with store.open("a") as file:
            file.write(json.dumps(result) + "\n")
        found = {name: result.get(name, {}) for name in ENGINES}
        print(f"[{number}/{len(ids)}] {id} {result['seconds']:.0f} s {found}", flush=True)
        yield result


def is_good(result: Mapping[str, Any], engine: str) -> bool:
    """Whether an engine runs an architecture and agrees with eager fp32."""
    return engine in result and "reason" not in result[engine]


def page(groups: Mapping[str, tuple[int, Sequence[Mapping[str, Any]]]]) -> str:
    """The page: for each group how many were to be tried, and what became of those that were."""
    lines = [
        "# What engines run",
        "",
        "Written by `make exports`: each architecture is exported, opened by both engines, and its",
        "scores for two images are compared with those of eager fp32, within 1e-4 of the largest.",
        "The smallest come first; what was not tried of the draw was left because time was over.",
        "",
    ]
    rows = []
    for title, (asked, found) in groups.items():
        good = [sum(is_good(one, name) for one in found) for name in ENGINES]
        both = sum(all(is_good(one, name) for name in ENGINES) for one in found)
        rows.append([title, asked, len(found), *good, both])
    headers = ["architectures", "drawn", "tried", "ONNX Runtime", "OpenVINO", "both"]
    lines += [*Table(headers, rows, headers[:1]).markdown_lines(), "", "## Those that do not", ""]
    bad: dict[str, list[str]] = {}
    for _, found in groups.values():
        for one in found:
            for name in ENGINES:
                if not is_good(one, name):
                    said = one.get(name, {"reason": "error", "sentence": one.get("error", "")})
                    sentence = said["sentence"].split("\n")[0]
                    bad[f"{one['id']} {name}"] = [one["id"], name, said["reason"], sentence]
    words = ["architecture", "engine", "reason", "what it says"]
    lines += Table(words, list(bad.values()), words).markdown_lines() if bad else ["None."]
    lines += _moved_by_rounding([one for _, found in groups.values() for one in found])
    example = next((one for _, found in groups.values() for one in found), None)
    if example is not None:
        used = ", ".join(f"{name} {version}" for name, version in example["versions"].items())
        lines += ["", f"With {used}."]
    return "\n".join(lines) + "\n"


def _moved_by_rounding(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A section with the architectures whose own scores rounding moves by more than 1e-4."""
    rows = {
        (one["id"], name): [
            one["id"], name, *(f"{one[name][key]:.1e}" for key in ("value", "rounding"))
        ]
        for one in results
        for name in ENGINES
        if is_good(one, name) and "rounding" in one[name]
    }  # fmt: skip
    if not rows:
        return []
    headers = ["architecture", "engine", "difference", "eager fp32 and double precision"]
    return [
        "",
        "## Those that rounding moves further",
        "",
        "Their scores differ by more than 1e-4, but by less than four times what the scores of",
        "eager fp32 and of double precision differ by. They count among those that agree.",
        "",
        *Table(headers, list(rows.values()), headers[:2]).markdown_lines(),
    ]


def ranking(suite: str, artefacts: Path, seconds: float = 1.0) -> Table:
    """Processor time of a pass, in ms, and its rank, of each architecture of a suite by eager torch
    and each engine: one thread, batch 1, fp32. What others do on the machine counts little there.

    Args:
        artefacts: directory for the graphs.
        seconds: of passes for each cell.
    """
    runtimes, plan = ("eager", *ENGINES), SamplingPlan(time_budget=seconds)
    target = make_target("cpu")
    found: dict[str, dict[str, float | None]] = {}
    for spec in load_catalog().select((suite,), ()):
        model = load_guarded(ModelHolder(artefacts=artefacts), spec, target)
        found[spec.id] = {}
        for name in runtimes:
            there = replace(model, target=replace(target, runtime=name), artefact=None)
            try:
                times = latency_record(there, plan).metrics["cpu_time"]["samples"]
                found[spec.id][name] = statistics.median(times)
            except NotMeasuredError:
                found[spec.id][name] = None
        print(spec.id, found[spec.id], file=sys.stderr, flush=True)
    order = {
        name: sorted((times[name] or math.inf) for times in found.values()) for name in runtimes
    }
    rows = [
        [id, *(_ranked(times[name], order[name]) for name in runtimes)]
        for id, times in sorted(found.items(), key=lambda one: one[1][ENGINES[-1]] or math.inf)
    ]
    headers = ["architecture", *(f"{name} ms (rank)" for name in runtimes)]
    return Table(headers, rows, headers[:1])


def _ranked(seconds: float | None, order: Sequence[float]) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.1f} ({1 + order.index(seconds)})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--random", type=int, default=0, metavar="N", help="of the catalogue")
    parser.add_argument("--seconds", type=float, default=1e9, help="to spend (default: no limit)")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for an architecture")
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--ranking", metavar="SUITE", help="times of a suite by each runtime")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.ranking is not None:
        print(ranking(options.ranking, options.store.parent / "artefacts").print_as("markdown"))
        return 0
    catalog = load_catalog()
    seeds = [spec.id for spec in catalog.select(("seeds",), ())]
    every = sorted(spec.id for spec in catalog.select((), ["*"]))
    drawn = random.Random(SEED).sample(every, min(options.random, len(every)))
    groups: dict[str, tuple[int, list[dict[str, Any]]]] = {}
    start = time.monotonic()
    for title, ids in (("the seed suite", seeds), ("drawn at random", drawn)):
        if ids:
            left = options.seconds - (time.monotonic() - start)
            groups[title] = len(ids), list(results(ids, options.store, left, options.limit))
    options.page.write_text(page(groups), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
