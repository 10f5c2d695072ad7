"""By ONNX Runtime's TensorRT provider; what that does not run is run by the CUDA provider."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy
import torch

from archbench.core.errors import NotMeasuredError
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.deployed import Order, Provider, open_onnxruntime
from archbench.runtimes.engine import NVIDIA
from archbench.runtimes.exported import onnx_of
from archbench.runtimes.fresh import FreshError, answer, ask_fresh
from archbench.runtimes.onnxruntime import OnnxRuntime
from archbench.runtimes.onnxruntime_cuda import CudaSession, cuda_provider, place_of
from archbench.runtimes.opening import order_of
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Refusal
from archbench.store.artefacts import Artefact, Facts, Found

NAME = "TensorrtExecutionProvider"

_AMPERE = (8, 0)
"""Compute capability: first with TF32."""

_KINDS = {"float": "float32"}
"""numpy's names of ONNX Runtime's types of elements, where they differ."""


@register
class OnnxRuntimeTensorRt(OnnxRuntime):
    """See :class:`archbench.runtimes.runtime.Runtime`.

    Engines are for one size of a batch, one precision, one kind of device and one version of ONNX
    Runtime. Every tensor has the type that it has in the exported graph.
    """

    name = "onnxruntime-tensorrt"
    title = "ONNX Runtime with TensorRT"
    extra = extra_on_devices = "onnxruntime-tensorrt"
    only_on = (NVIDIA,)
    provider = NAME

    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        has_tf32 = (backend.capability() or _AMPERE) >= _AMPERE
        is_forbidden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
        if config.dtype == "fp32" and has_tf32 and not is_forbidden:
            return Refusal(
                "its TensorRT computes fp32 in TF32 here, and the provider has no option that "
                "forbids it",
                "Set NVIDIA_TF32_OVERRIDE=0 in the environment of the run, or use --dtype=tf32",
                "--dtype=fp32",
            )
        return super().refuse_precision(device, backend, config)

    def artefact_of(self, job: Job) -> Found:
        exported = onnx_of(job, self.seconds, half=True)
        order = order_of(self.name, exported.artefact, job)
        return self.made_for_device(job, exported, partial(_built, job, order, self.seconds))

    def open(self, artefact: Artefact, job: Job) -> CudaSession:
        order = order_of(self.name, artefact, job)
        return CudaSession(order, job, (_provider(place_of(job), order), cuda_provider(job)))


def _provider(place: dict[str, str], order: Order) -> Provider:
    """With engines that lie beside the graph."""
    cache = {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(Path(order.path).parent),
    }
    return NAME, {**place, **cache}


def _built(job: Job, order: Order, seconds: float, directory: Path) -> Facts:
    """Have the provider build its engines of a graph beside a copy of it, in a fresh process.

    Raises:
        NotMeasuredError: it builds none; has its reason.
    """
    given = Path(order.path).parent
    shutil.copytree(given, directory, ignore=shutil.ignore_patterns("*.json"), dirs_exist_ok=True)
    copied = replace(order, path=str(directory / Path(order.path).name))
    arguments = [copied.text, job.device.place]
    try:
        found: Facts = ask_fresh("-c", _BUILD, *arguments, seconds=seconds)
    except FreshError as error:
        raise NotMeasuredError(
            "not-compilable",
            f"ONNX Runtime's TensorRT provider builds no engine of {job.spec.id}: "
            f"{error.reason(seconds)}. Use another runtime",
        ) from error
    return found


_BUILD = (
    "import sys; from archbench.runtimes.onnxruntime_tensorrt import build_engines; "
    "build_engines(*sys.argv[1:])"
)


def build_engines(order: str, place: str) -> None:
    """In the fresh process: build the engines, and answer with the seconds that it took.

    Args:
        order: a copy of the graph, as text; engines are written beside it.
        place: torch's name of the device.

    Raises:
        RuntimeError: the provider takes nothing of the graph, or cannot be used here.
    """
    given = Order.parse(order)
    directory = Path(given.path).parent
    index = torch.device(place).index or 0
    start = time.perf_counter()
    session = open_onnxruntime(given, providers=[_provider({"device_id": str(index)}, given)])
    if not list(directory.glob("*.engine")):
        kinds = [one.type[len("tensor(") : -1] for one in session.get_inputs()]
        arrays = [
            numpy.zeros(shape, _KINDS.get(kind, kind))
            for shape, kind in zip(given.shapes, kinds, strict=True)
        ]
        names = [one.name for one in session.get_inputs()]
        session.run(None, dict(zip(names, arrays, strict=True)))
    if not list(directory.glob("*.engine")):
        raise RuntimeError(f"it takes nothing of the graph; {session.get_providers()} run it")
    answer({"compile_seconds": time.perf_counter() - start})
