"""A network as engines read it: exported once, and kept on the disk."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import NotMeasuredError
from archbench.core.spec import ModelSpec
from archbench.runtimes.apart import SECONDS, ApartError, run_apart
from archbench.runtimes.exporting import export_onnx
from archbench.runtimes.identity import exporters, key_parts, name_of
from archbench.runtimes.runtime import Job
from archbench.store.artefacts import Artefacts, Facts, Found


def onnx_of(job: Job, seconds: float = SECONDS, *, half: bool = False) -> Found:
    """A network as an ONNX graph in fp32, which the engine converts; the size of a batch is left
    open where the exporter can do that.

    Args:
        job: the network.
        seconds: that the export may take.
        half: whether the graph is in the precision of the network's weights instead.

    Raises:
        NotMeasuredError: it cannot be exported; has the exporter's reason.
    """
    try:
        return _onnx_of(job, seconds, half=half)
    except NotMeasuredError as error:
        others = () if half or job.target.dtype != "fp32" else _other_precisions(job.module)
        if error.reason != "not-exportable" or not others:
            raise
        changed = f"engines get its weights in fp32, and it has some in {', '.join(others)}"
        raise NotMeasuredError(error.reason, f"{error}; {changed}") from error


def _other_precisions(module: object) -> list[str]:
    """Of weights, by torch's names."""
    assert isinstance(module, nn.Module)
    types = {one.dtype for one in (*module.parameters(), *module.buffers())}
    others = (one for one in types if one.is_floating_point and one != torch.float32)
    return sorted(str(one).removeprefix("torch.") for one in others)


def _onnx_of(job: Job, seconds: float, *, half: bool) -> Found:
    module, inputs = exportable(job, half=half)
    parts = key_parts(job.spec, module, inputs, "onnx")
    size = len(inputs[0])
    is_open = not callable(job.spec.inputs)
    name = name_of(job.spec, "onnx", parts)
    if is_open:
        found = stored(job, name, export_onnx, module, inputs, seconds=seconds, symbolic=True)
        if found.artefact.facts["batch"] in (None, size):
            return found
    name = name_of(job.spec, f"onnx-b{size}", {**parts, "batch": size})
    return stored(job, name, export_onnx, module, inputs, seconds=seconds, symbolic=False)


def stored(
    job: Job,
    name: str,
    export: Callable[..., Facts],
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    seconds: float,
    then: Callable[[Path], Facts] | None = None,
    **options: Any,
) -> Found:
    """An artefact of a network, exported in a process of its own unless it is there.

    Args:
        export: gets module, inputs and a directory, and returns facts.
        then: what is made of it in the same directory, and its facts.

    Raises:
        NotMeasuredError: the export, or what is made of it, failed; has the reason.
    """

    def build(directory: Path) -> Facts:
        work = partial(export, **options)
        facts: Facts = run_apart(work, module, tuple(inputs), directory, seconds=seconds)
        more: Facts = {} if then is None else then(directory)
        return {**facts, **more, "id": job.spec.id, "versions": exporters()}

    return kept(job, name, build, seconds)


def kept(job: Job, name: str, build: Callable[[Path], Facts], seconds: float) -> Found:
    """An artefact of a network, made unless it is there.

    Raises:
        NotMeasuredError: it cannot be made or kept; has the reason.
    """
    directory = job.artefacts or _temporary()
    try:
        return Artefacts(directory).made(name, build, timeout=2 * seconds)
    except ApartError as error:
        raise not_exported(job.spec, error, seconds) from error
    except TimeoutError as error:
        raise NotMeasuredError(
            "export-timed-out", f"{job.spec.id} is being exported elsewhere: {error}"
        ) from error
    except OSError as error:
        raise NotMeasuredError(
            "not-stored",
            f"what was exported of {job.spec.id} cannot be kept in {directory}: {error}. Make "
            "room, or name another place with ARCHBENCH_DIRECTORY",
        ) from error


def exportable(job: Job, *, half: bool) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A network and its inputs on the host, in fp32 unless ``half``."""
    module = job.module
    assert isinstance(module, nn.Module)
    tensors = [*module.parameters(), *module.buffers()]
    is_plain = all(
        tensor.device.type == "cpu"
        and (half or not tensor.is_floating_point() or tensor.dtype == torch.float32)
        for tensor in tensors
    )
    if not is_plain:
        module = deepcopy(module).cpu()
        module = module if half else module.float()
    return module, tuple(
        tensor.cpu() if half or not tensor.is_floating_point() else tensor.cpu().float()
        for tensor in job.inputs
    )


def not_exported(spec: ModelSpec, error: ApartError, seconds: float) -> NotMeasuredError:
    """What is said of a network that could not be exported."""
    if error.reason == "timed-out":
        return NotMeasuredError(
            "export-timed-out",
            f"the export of {spec.id} took more than {seconds:g} s and was ended. "
            "Use --runtime=eager",
        )
    if error.reason == "out-of-memory":
        return NotMeasuredError(
            "export-out-of-memory",
            f"memory ran out while {spec.id} was exported: {error}. Export it on a larger machine, "
            "or use --runtime=eager",
        )
    if error.reason == "disk-full":
        return NotMeasuredError(
            "disk-full",
            f"the disk was full while {spec.id} was exported, and nothing of it was kept. Make "
            "room (archbench artefacts prune), or name another place with ARCHBENCH_DIRECTORY",
        )
    if error.reason == "died":
        return NotMeasuredError(
            "export-died", f"the export of {spec.id} crashed: {error}. Use --runtime=eager"
        )
    has_no_operator = bool({"ConversionError", "OnnxExporterError"} & set(error.types))
    return NotMeasuredError(
        "no-onnx-operator" if has_no_operator else "not-exportable",
        f"{spec.id} cannot be exported: {error}. Use --runtime=eager",
    )


@cache
def _temporary() -> Path:
    """Where artefacts lie while this process lasts, where nobody says where they are kept."""
    path = Path(tempfile.mkdtemp(prefix="archbench-artefacts-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
