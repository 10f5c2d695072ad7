"""By AOTInductor: torch's compiler, ahead of time, into a package that runs without Python."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from archbench.core.errors import NotMeasuredError
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.deployed import Order
from archbench.runtimes.engine import Engine
from archbench.runtimes.exported import exportable, stored
from archbench.runtimes.exporting import PROGRAM_FILE, export_program
from archbench.runtimes.fresh import FreshError, answer, ask_fresh
from archbench.runtimes.identity import key_parts, name_of
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Refusal
from archbench.store.artefacts import Artefact, Facts, Found

PACKAGE_FILE = "package.pt2"


@register
class AotInductor(Engine):
    """See :class:`archbench.runtimes.runtime.Runtime`.

    A package is for one size of a batch, one device and one number of threads, which torch's
    compiler writes into the code.
    """

    name = "aotinductor"
    title = "AOTInductor"
    extra = "all"
    packages: ClassVar = {}
    which = staticmethod(shutil.which)

    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        if not hasattr(torch._inductor, "aoti_load_package"):
            return Refusal(f"torch {torch.__version__} has no packages of it; 2.6 has")
        if config.dtype == "int8":
            return Refusal(
                "it does not quantise", beside="--dtype=int8", todo="Use --runtime=openvino"
            )
        lacking = backend.lacks_compiler(self.which, self.find)
        if lacking is None:
            return None
        found, remedy = lacking
        return Refusal(found, f"Install {remedy}, or use --runtime=eager")

    def artefact_of(self, job: Job) -> Found:
        module, inputs = exportable(job, half=True)
        target = job.target
        parts = {
            **key_parts(job.spec, module, inputs, "aotinductor"),
            "batch": target.images,
            "threads": target.threads,
            "dtype": target.dtype,
            "device": [job.device.place, target.device_name, job.device.versions()],
            "processor": torch.backends.cpu.get_cpu_capability(),
        }
        return stored(
            job,
            name_of(job.spec, f"aotinductor-b{target.images}", parts),
            export_program,
            module,
            inputs,
            seconds=self.seconds,
            then=partial(_compiled, job, self.seconds),
        )

    def open(self, artefact: Artefact, job: Job) -> _Session:
        return _Session(artefact, job)


def _compiled(job: Job, seconds: float, directory: Path) -> Facts:
    """Compile an exported program in a fresh process, which may use any device.

    Raises:
        NotMeasuredError: it cannot be compiled.
    """
    target = job.target
    order = [str(directory), job.device.place, target.dtype, str(target.threads)]
    with tempfile.TemporaryDirectory(prefix="archbench-inductor-") as cache:
        variables = {"TORCHINDUCTOR_CACHE_DIR": cache}
        if not target.is_host:
            variables["CUDA_HOME"] = os.environ.get("CUDA_HOME", _cuda_home())
        try:
            facts: Facts = ask_fresh("-c", _COMPILE, *order, seconds=seconds, variables=variables)
        except FreshError as error:
            raise _not_compiled(job, error.reason(seconds)) from error
    (directory / PROGRAM_FILE).unlink()
    return facts


def _cuda_home() -> str:
    """Where the headers of CUDA are: its own place, or that of the wheels that torch comes with."""
    usual = Path("/usr/local/cuda")
    if (usual / "include" / "cuda_runtime_api.h").is_file():
        return str(usual)
    wheels = Path(torch.__file__).parents[1] / "nvidia"
    return str(next(iter(sorted(wheels.glob("cu*"))), usual))


def _not_compiled(job: Job, reason: str) -> NotMeasuredError:
    return NotMeasuredError(
        "not-compilable",
        f"{job.spec.id} cannot be compiled by AOTInductor: {reason}. Use --runtime=eager",
    )


_COMPILE = (
    "import sys; from archbench.runtimes.aotinductor import compile_package; "
    "compile_package(*sys.argv[1:])"
)


def compile_package(directory: str, place: str, dtype: str, threads: str) -> None:
    """In the fresh process: make a package of the program in a directory, and write the seconds
    that it took as the last line, in JSON.

    Args:
        directory: with the program.
        place: torch's name of the device.
        dtype: the precision; fp32 is fp32, without TF32.
        threads: of the package on a processor.
    """
    from torch.export.passes import move_to_device_pass

    torch.set_num_threads(int(threads))
    with_tf32 = dtype == "tf32"
    torch.set_float32_matmul_precision("high" if with_tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = with_tf32
    program = torch.export.load(Path(directory) / PROGRAM_FILE)
    if place != "cpu":
        program = move_to_device_pass(program, place)
    start = time.perf_counter()
    with torch.no_grad():
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(Path(directory) / PACKAGE_FILE)
        )
    answer({"compile_seconds": time.perf_counter() - start})


class _Session:
    """See :class:`archbench.runtimes.engine.Session`."""

    order: Order | None = None

    def __init__(self, artefact: Artefact, job: Job) -> None:
        place = torch.device(job.device.place)
        # torch 2.6 has no such argument.
        index = {} if place.index is None else {"device_index": place.index}
        package = str(artefact.path / PACKAGE_FILE)
        load: Callable[..., Callable[..., object]] = torch._inductor.aoti_load_package
        self._model = load(package, **index)
        metadata: dict[str, str] = getattr(self._model, "get_metadata", dict)()
        self.settings: dict[str, Json] = {
            "threads": job.target.threads,
            "device": metadata.get("AOTI_DEVICE_KEY", place.type),
            "instructions": metadata.get("AOTI_CPU_ISA", ""),
        }
        self.start = partial(self._model, *job.inputs)

    def outputs(self, raw: Any) -> list[Any]:
        return [raw]  # as the network returns it

    def run(self, inputs: Sequence[Tensor]) -> list[Any]:
        return [self._model(*inputs)]
