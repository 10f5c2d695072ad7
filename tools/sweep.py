"""Every architecture of the catalogue, built plainly and by the fast path, and run once.

    python tools/sweep.py                       all of it, or what is left of an earlier sweep
    python tools/sweep.py --models='timm/swin*' --fresh

The fast path (:func:`archbench.models.building.build_unfilled`, then filling) has to give what the
library's own constructor gives: names, shapes, precisions, strides, sharing, ``requires_grad`` and
buffers. Then the filled network runs one forward pass at its own size, in fp32 on one thread.

Results are kept in ``.archbench/sweep.jsonl``, a line for each architecture and set of versions, so
that a sweep that was stopped goes on. ``docs/sweep.md`` is written at the end of a whole one.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import queue
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from archbench.catalog import load_catalog
from archbench.core.errors import is_out_of_memory
from archbench.core.spec import ModelSpec, Target
from archbench.models.building import BUILT_PLAINLY, build, build_on_meta, build_unfilled
from archbench.models.filling import fill_weights
from archbench.models.libraries import library_version
from archbench.models.loading import LoadedModel
from archbench.models.memory_guard import memory_guard

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / ".archbench" / "sweep.jsonl"
PAGE = ROOT / "docs" / "sweep.md"
TARGET = Target("cpu", "any", "cpu")

SHARE = 0.8
"""Of the free memory that an architecture's parameters may take."""

Described = dict[str, tuple[Any, ...]]


def described(module: nn.Module) -> Described:
    """Each parameter and buffer: kind, shape, precision, stride, whether it requires a gradient,
    and the first name of what shares its memory."""
    first: dict[Any, str] = {}
    found: Described = {}
    for kind, named in (
        ("parameter", module.named_parameters(remove_duplicate=False)),
        ("buffer", module.named_buffers(remove_duplicate=False)),
    ):
        for name, tensor in named:
            owner = first.setdefault(_identity(tensor), name)
            shape, stride = tuple(tensor.shape), tuple(tensor.stride())
            found[name] = (kind, shape, str(tensor.dtype), stride, tensor.requires_grad, owner)
    return found


def _identity(tensor: Tensor) -> Any:
    if tensor.is_meta or not tensor.numel():
        return id(tensor)
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tuple(tensor.shape)


FIELDS = ("kind", "shape", "precision", "stride", "requires_grad", "sharing")


def differences(plain: Described, fast: Described, ignoring: Sequence[str] = ()) -> Iterator[str]:
    """In what a network that was built in another way differs, a sentence for each."""
    for name in sorted(plain.keys() ^ fast.keys()):
        yield f"{name} is {'missing' if name in plain else 'added'}"
    for name in sorted(plain.keys() & fast.keys()):
        for field, one, other in zip(FIELDS, plain[name], fast[name], strict=True):
            if one != other and field not in ignoring:
                yield f"{name}: {field} {one} -> {other}"


def buffer_differences(plain: Mapping[str, Tensor], module: nn.Module) -> Iterator[str]:
    """Buffers whose values are others."""
    for name, buffer in module.named_buffers():
        if buffer.is_meta:
            yield f"{name}: a buffer without values"
        elif name in plain and not torch.equal(
            torch.nan_to_num(buffer.float()), torch.nan_to_num(plain[name].float())
        ):
            yield f"{name}: other values"


def sweep_one(spec: ModelSpec) -> dict[str, Any]:
    """Build an architecture both ways and run it.

    Returns:
        ``status`` (``same``, ``plain`` for what is built plainly anyway, ``meta`` for what does not
        fit into memory, ``different`` or ``failed``), ``found`` with a sentence for each
        difference, ``seconds`` of building plainly, of loading and of the pass, and
        ``processor`` seconds of all of it.
    """
    torch.set_num_threads(1)
    try:
        with memory_guard():
            return _on_meta(spec) or _both_ways(spec)
    except Exception as error:
        if is_out_of_memory(error):
            return {"status": "meta", "found": [], "note": "memory ran out"}
        return {"status": "failed", "found": [f"{type(error).__name__}: {error}"[:500]]}


def _on_meta(spec: ModelSpec) -> dict[str, Any] | None:
    """The result of an architecture that does not fit into memory; None for one that does."""
    on_meta = described(build_on_meta(spec))
    needed = sum(4 * _numel(shape) for kind, shape, *_ in on_meta.values() if kind == "parameter")
    free = psutil.virtual_memory().available
    if needed <= SHARE * free:
        return None
    note = f"{needed / 2**30:.1f} GiB of parameters, {free / 2**30:.1f} GiB free"
    found = list(differences(on_meta, described(build_unfilled(spec)), ("sharing",)))
    return {"status": "different" if found else "meta", "found": found, "note": note}


def _both_ways(spec: ModelSpec) -> dict[str, Any]:
    start = time.perf_counter()
    torch.manual_seed(0)
    module = build(spec)
    built = time.perf_counter() - start
    plain = described(module)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    del module
    gc.collect()
    torch.manual_seed(0)
    unfilled = build_unfilled(spec)
    # Sharing shows in memory only, which it gets when it is filled.
    found = [*differences(plain, described(unfilled), ("sharing",))]
    found += buffer_differences(buffers, unfilled)
    start = time.perf_counter()
    fill_weights(unfilled, torch.device("cpu"), torch.float32)
    seconds = time.perf_counter() - start
    found += differences(plain, described(unfilled))
    del buffers
    loaded = LoadedModel(spec, TARGET, unfilled.eval().requires_grad_(False), seconds)
    passed = _run(loaded, found)
    is_plain = any(fnmatchcase(spec.id, glob) for glob in BUILT_PLAINLY)
    status = "different" if found else "plain" if is_plain else "same"
    return {"status": status, "found": found, "seconds": [built, seconds, passed]}


def _run(loaded: LoadedModel, found: list[str]) -> float:
    with loaded.running():
        start = time.perf_counter()
        scores = loaded(*loaded.inputs())
    if not bool(torch.isfinite(scores).all()):
        found.append("its scores are not finite")
    return time.perf_counter() - start


def _numel(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


# All of them.


def versions() -> dict[str, str]:
    """Of what a result depends on."""
    return {name: library_version(name) for name in ("torch", "timm", "torchvision", "pytorchcv")}


def _known(store: Path, now: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    if not store.exists():
        return {}
    lines = [json.loads(line) for line in store.read_text("utf-8").splitlines() if line]
    return {line["id"]: line for line in lines if line["versions"] == now}


def _work(id: str) -> dict[str, Any]:
    start = time.process_time()
    result = sweep_one(load_catalog().get(id))
    return {"id": id, **result, "processor": time.process_time() - start}


def sweep(ids: Sequence[str], store: Path, processes: int) -> dict[str, dict[str, Any]]:
    """Sweep what an earlier run has not, and keep each result as soon as it is there."""
    now = versions()
    known = _known(store, now)
    sizes = _sizes()
    left = sorted((id for id in ids if id not in known), key=lambda id: -sizes.get(id, 0))
    store.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with store.open("a", encoding="utf-8") as file:
        for done, result in enumerate(_results(left, processes), start=1):
            known[result["id"]] = {**result, "versions": now}
            file.write(json.dumps(known[result["id"]]) + "\n")
            file.flush()
            if result["status"] in ("different", "failed") or done % 50 == 0:
                spent = time.monotonic() - start
                line = f"{done}/{len(left)} {spent:.0f} s {result['id']} {result['status']}"
                print(line, *result["found"][:3], flush=True)
    return {id: known[id] for id in ids}


def _results(ids: Sequence[str], processes: int) -> Iterator[dict[str, Any]]:
    """The results of architectures that are given from the largest to the smallest.

    One process works from the large end and the others from the small one, so that two that fill
    the memory are never built side by side and no core waits. The processes end now and then, with
    what they have kept of memory. Without processes the work is done in this one.
    """
    if not processes:
        yield from map(_work, ids)
        return
    left = deque(ids)
    results: queue.SimpleQueue[tuple[bool, dict[str, Any]]] = queue.SimpleQueue()
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=40) as pool:

        def start(from_large: bool) -> None:
            if left:
                id = left.popleft() if from_large else left.pop()
                pool.apply_async(_work, (id,), callback=lambda r: results.put((from_large, r)))

        for process in range(processes):
            start(from_large=process == 0)
        for _ in ids:
            from_large, result = results.get()
            start(from_large)
            yield result


def _sizes() -> dict[str, int]:
    """Parameters of each architecture, as they have been accepted."""
    path = ROOT / "baselines" / "complexity.jsonl"
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return {line["id"]: line["params"] for line in lines if "params" in line}


def page(results: Mapping[str, Mapping[str, Any]], seconds: float) -> str:
    """``docs/sweep.md``."""
    libraries = sorted({id.partition("/")[0] for id in results})
    statuses = ("same", "plain", "meta", "different", "failed")
    rows = []
    for library in libraries:
        counts = Counter(r["status"] for id, r in results.items() if id.startswith(f"{library}/"))
        rows.append([library, sum(counts.values()), *(counts[status] for status in statuses)])
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, 7))])  # type: ignore[misc]
    table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
    now = ", ".join(f"{name} {version}" for name, version in versions().items())
    on_meta = [f"- `{id}`: {r['note']}" for id, r in results.items() if r["status"] == "meta"]
    bad = [
        f"- `{id}`: {'; '.join(r['found'][:3])}"
        for id, r in results.items()
        if r["status"] in ("different", "failed")
    ]
    return PAGE_TEXT.format(
        table=table,
        versions=now,
        minutes=f"{seconds / 60:.0f}",
        exceptions=", ".join(f"`{glob}`" for glob in BUILT_PLAINLY),
        meta="\n".join(on_meta) or "None.",
        bad="\n".join(bad) or "None.",
    )


PAGE_TEXT = """# The sweep: every architecture built both ways, and run

Architectures of the libraries are built by a fast path: their large parameters stay on torch's
meta device while the library's constructor runs, and are filled afterwards, since initialising
them would cost more than measuring. That is a trick for known constructors, so it is held against
the plain way for each of them. `make sweep` builds every architecture of the catalogue as its
library's own constructor does, and by the fast path, and compares names, shapes, precisions,
strides, sharing of memory, `requires_grad` and the values of buffers. Then it runs one forward
pass. A sweep that was stopped goes on where it was; `--fresh` starts anew.

This is the last result, with {versions}. Building, filling
and running took {minutes} minutes of processor time, which as many processes share as the machine
has cores.

| library | architectures | same | built plainly | on meta only | different | failed |
|---|---|---|---|---|---|---|
{table}

Built plainly, since their constructors compute with their parameters: {exceptions}.

Compared on meta only, and not run, since they do not fit into the memory of that machine:

{meta}

Different or failed:

{bad}

A network of one's own never takes the fast path: see [your own](your-own.md).
"""


def main() -> int:
    """Sweep; 1 where an architecture differs or fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--models", action="append", metavar="GLOB", help="ids or globs; default all"
    )
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    catalog = load_catalog()
    ids = [spec.id for spec in catalog.select("all", options.models or ())]
    if options.fresh:
        options.store.unlink(missing_ok=True)
    results = sweep(ids, options.store, options.processes)
    spent = sum(result.get("processor", 0.0) for result in results.values())
    counts = Counter(result["status"] for result in results.values())
    print(f"{len(results)} architectures: " + ", ".join(f"{n} {s}" for s, n in counts.items()))
    if not options.models:
        PAGE.write_text(page(results, spent), encoding="utf-8")
        print(f"Written: {PAGE.relative_to(ROOT)}")
    for id, result in results.items():
        if result["status"] in ("different", "failed"):
            print(f"{result['status']}: {id}: {'; '.join(result['found'][:5])}")
    return int(bool(counts["different"] + counts["failed"]))


if __name__ == "__main__":
    sys.exit(main())
