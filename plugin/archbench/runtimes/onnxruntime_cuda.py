"""ONNX Runtime's sessions on NVIDIA's devices, by its CUDA and TensorRT providers."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.core.errors import NotMeasuredError, some
from archbench.core.forms import Json
from archbench.core.verdicts import Note
from archbench.runtimes.deployed import Order, Provider, open_onnxruntime, ort
from archbench.runtimes.opening import refuse_other_settings
from archbench.runtimes.runtime import Job, Nodes, Refusal

DTYPES = ("fp32", "tf32", "fp16")
"""That its CUDA kernels for convolutions compute in."""


def lacks_provider(provider: str, extra: str) -> Refusal | None:
    """Why the build of ONNX Runtime that is installed cannot use a provider; None where it may."""
    onnxruntime = ort()
    known = onnxruntime.get_available_providers()
    has_session = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
    if provider in known and has_session:
        return None
    found = f"the onnxruntime {onnxruntime.__version__} that is installed "
    found += f"has no {provider}" if has_session else "does not tell which provider runs what"
    return Refusal(
        found,
        "Run: python -m pip uninstall --yes onnxruntime onnxruntime-gpu; python -m pip install "
        f"'pytest-archbench[{extra}]'",
    )


def cuda_provider(job: Job) -> Provider:
    """Of the job's device and precision, on its current stream; fp32 is fp32, without TF32."""
    return "CUDAExecutionProvider", {
        **place_of(job),
        "use_tf32": "1" if job.target.dtype == "tf32" else "0",
    }


def place_of(job: Job) -> dict[str, str]:
    """Options of a provider: the job's device, and its current stream."""
    return {
        "device_id": str(torch.device(job.device.place).index or 0),
        "has_user_compute_stream": "1",
        "user_compute_stream": str(job.device.stream_handle()),
    }


class CudaSession:
    """See :class:`archbench.runtimes.engine.Session`.

    Inputs are the tensors of the job where they lie, outputs stay on the device, and a pass is
    started on the job's stream and not waited for.

    Args:
        order: the graph.
        job: the network.
        providers: that run what they can of it, the first one first.

    Attributes:
        notes: what other providers run.

    Raises:
        NotMeasuredError: the first provider cannot be used here, runs nothing of the graph, or has
            other settings.
    """

    def __init__(self, order: Order, job: Job, providers: Sequence[Provider]) -> None:
        self.order: Order | None = None
        self._order, self._job, self._providers = order, job, providers
        self._session = open_onnxruntime(order, providers=providers)
        self.settings = self._read_back()
        self.notes = self._fallen()
        # Else each pass would wait for the device.
        self._options = ort().RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._binding = self._bound(self._session, job.inputs)

    def _read_back(self) -> dict[str, Json]:
        version = ort().__version__
        names = [name for name, _ in self._providers]
        found = list(self._session.get_providers())
        missing = next((name for name in names if name not in found), None)
        if missing is not None:
            raise NotMeasuredError(
                "engine-set-otherwise",
                f"ONNX Runtime cannot use its {missing} here and would run on "
                f"{', '.join(found)}: {_why(missing)}. Install the CUDA libraries that "
                f"onnxruntime {version} was built for",
            )
        options = self._session.get_provider_options()
        for name, asked in self._providers:
            told = {key: value for key, value in asked.items() if key in options[name]}
            refuse_other_settings(f"ONNX Runtime's {name}", told, options[name])
        cuda = options["CUDAExecutionProvider"]
        shown = ("device_id", "use_tf32", "cudnn_conv_algo_search", "prefer_nhwc")
        return {
            "version": version,
            "providers": found,
            **{key: cuda[key] for key in shown if key in cuda},
        }

    def _fallen(self) -> tuple[Note, ...]:
        """Read which provider runs what."""
        operators: dict[str, Counter[str]] = {}
        for part in self._session.get_provider_graph_assignment_info():
            found = operators.setdefault(part.ep_name, Counter())
            found.update(one.op_type for one in part.get_nodes())
        counts = {name: found.total() for name, found in operators.items()}
        self.settings["operators"] = counts
        first = self._providers[0][0]
        if not counts.get(first):
            raise NotMeasuredError(
                "engine-set-otherwise",
                f"ONNX Runtime's {first} runs nothing of the graph of {self._job.spec.id}: "
                f"{counts}. Use another runtime",
            )
        others = {name: found for name, found in operators.items() if name != first}
        kinds = {f"{one} {name}": n for name, found in others.items() for one, n in found.items()}
        self._nodes = Nodes(sum(counts.values()), kinds)
        return tuple(
            Note(
                "fell-back",
                f"{name} runs {counts[name]} of {sum(counts.values())} operators: "
                f"{some([one for one, _ in found.most_common()], 5)}",
            )
            for name, found in others.items()
        )

    def nodes(self) -> Nodes:
        """Of the graph, and those that other providers run."""
        return self._nodes

    def _bound(self, session: Any, inputs: Sequence[Tensor]) -> Any:
        binding = session.io_binding()
        index = int(self._providers[0][1]["device_id"])
        self._given = [tensor.contiguous() for tensor in inputs]
        for given, tensor in zip(session.get_inputs(), self._given, strict=True):
            kind = torch.empty(0, dtype=tensor.dtype).numpy().dtype
            shape = tuple(tensor.shape)
            binding.bind_input(given.name, "cuda", index, kind, shape, tensor.data_ptr())
        for output in session.get_outputs():
            binding.bind_output(output.name, "cuda", index)
        return binding

    def start(self) -> object:
        self._session.run_with_iobinding(self._binding, self._options)
        return self._binding

    def outputs(self, raw: Any) -> list[Tensor]:
        self._job.device.synchronize()
        place = self._job.device.place
        return [torch.from_numpy(array).to(place) for array in raw.copy_outputs_to_cpu()]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        kept = self._given
        binding = self._bound(self._session, inputs)
        self._session.run_with_iobinding(binding, self._options)
        found = self.outputs(binding)
        self._given = kept
        return found


def _why(provider: str) -> str:
    """Which library a provider lacks, as the system's loader says; ONNX Runtime only logs it."""
    short = provider.removesuffix("ExecutionProvider").lower()
    name = f"libonnxruntime_providers_{short}.so"
    try:
        ctypes.CDLL(str(Path(ort().__file__).parent / "capi" / name))
    except OSError as error:
        if "cannot open shared object" in str(error):
            return str(error)
    return "its log above says why"
