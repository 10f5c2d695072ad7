"""By OpenVINO, on processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from archbench.core.differences import ModuleTime
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.deployed import PRECISIONS, Order, open_openvino
from archbench.runtimes.engine import GRAPH_PACKAGES, PROCESSORS, Engine
from archbench.runtimes.opening import array_of, order_of, refuse_other_settings
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Nodes, Refusal
from archbench.store.artefacts import Artefact

PRODUCTS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
"""Nodes that take most of the time, and that are computed in the precision that is asked for."""


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


@register
class OpenVino(Engine):
    """See :class:`archbench.runtimes.runtime.Runtime`."""

    name = "openvino"
    title = "OpenVINO"
    extra = "openvino"
    packages: ClassVar = {"openvino": ("openvino", "2024.4"), **GRAPH_PACKAGES}
    only_on = (PROCESSORS,)

    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        able = set(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        known = [name for name in PRECISIONS if name.upper() in able]
        if config.dtype in known:
            if config.dtype != "int8":
                return None
            return self._lacks("nncf", "nncf", "2.12", "quantization")
        return self.refuse_dtype(config, known, "on this processor")

    def open(self, artefact: Artefact, job: Job) -> _Session:
        return _Session(order_of(self.name, artefact, job), job.inputs)


class _Session:
    """See :class:`archbench.runtimes.engine.Session`."""

    def __init__(self, order: Order, inputs: Sequence[Tensor]) -> None:
        self.order, self._arrays = order, [array_of(one) for one in inputs]
        self._compiled = open_openvino(order, _core())
        self.settings = self._read_back()
        self._request = self._prepared(self._arrays, self._compiled)

    def profile(self, passes: int) -> dict[str, ModuleTime]:
        """Seconds of each node that ran, the least of some passes, by OpenVINO's own counters: by
        name."""
        compiled = open_openvino(self.order, _core(), profile=True)
        request = self._prepared(self._arrays, compiled)
        found: dict[str, ModuleTime] = {}
        for _ in range(passes + 1):  # the first one makes memory
            request.infer(share_outputs=True)
            for node in request.get_profiling_info():
                seconds = node.real_time.total_seconds()
                kept = found.get(node.node_name)
                if node.status.name == "EXECUTED" and (kept is None or seconds < kept.seconds):
                    found[node.node_name] = ModuleTime(node.node_type, seconds)
        return found

    def nodes(self) -> Nodes:
        """Nodes that it runs, and the products of matrices among them that are in another precision
        than was asked for."""
        ran = [
            {name: str(info[name].value) for name in ("layerType", "runtimePrecision")}
            for info in (one.get_rt_info() for one in self._compiled.get_runtime_model().get_ops())
        ]
        ran = [one for one in ran if one["layerType"] not in ("Input", "Output", "Const")]
        dtype = self.order.dtype
        asked = ("u8", "i8") if dtype == "int8" else (PRECISIONS[dtype],)
        otherwise = Counter(
            " ".join(one.values())
            for one in ran
            if one["layerType"] in PRODUCTS and one["runtimePrecision"] not in asked
        )
        return Nodes(len(ran), dict(otherwise))

    def _read_back(self) -> dict[str, Json]:
        """What it says that it does, which is to be what was asked for.

        Raises:
            NotMeasuredError: it is not.
        """
        ask = self._compiled.get_property
        found = {
            "threads": int(ask("INFERENCE_NUM_THREADS")),
            "streams": int(ask("NUM_STREAMS")),
            "pinning": bool(ask("ENABLE_CPU_PINNING")),
            "precision": ask("INFERENCE_PRECISION_HINT").get_type_name(),
            "device": list(ask("EXECUTION_DEVICES")),
        }
        asked = {"threads": self.order.threads, "streams": 1, "pinning": False}
        asked["precision"] = PRECISIONS[self.order.dtype]  # type: ignore[assignment]
        refuse_other_settings("OpenVINO", asked, found)
        return found

    @staticmethod
    def _prepared(arrays: Sequence[Any], compiled: Any) -> Any:
        """A request with its inputs, whose memory is not copied: whoever runs it keeps them."""
        import openvino

        request = compiled.create_infer_request()
        for index, array in enumerate(arrays):
            request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        return request

    def start(self) -> object:
        return self._request.infer(share_outputs=True)

    def outputs(self, raw: Any) -> list[Tensor]:
        return [torch.from_numpy(raw[index].copy()) for index in range(len(raw))]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = [array_of(one) for one in inputs]
        return self.outputs(self._prepared(arrays, self._compiled).infer())
