"""What the engines have in common: a network is exported for them once, and kept on the disk."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy
from torch import Tensor

from archbench.core.entries import MetricEntry
from archbench.core.errors import NotMeasuredError, is_out_of_memory, named
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.core.verdicts import Note
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.apart import SECONDS
from archbench.runtimes.deployed import Order, measured_apart
from archbench.runtimes.exported import kept, onnx_of
from archbench.runtimes.exporting import restored
from archbench.runtimes.identity import name_of
from archbench.runtimes.opening import array_of, order_of, refused_by
from archbench.runtimes.quantising import MODEL_FILES, NOTE, quantised
from archbench.runtimes.runtime import Job, Prepared, Refusal, Runtime
from archbench.store.artefacts import Artefact, Facts, Found


class Session(Protocol):
    """A network that an engine has opened.

    Attributes:
        settings: what the engine says that it does.
    """

    settings: dict[str, Json]

    @property
    def order(self) -> Order | None:
        """By which a process without torch opens the same; None where none can."""

    def start(self) -> object:
        """Run a pass on the inputs that it was opened with."""

    def outputs(self, raw: Any) -> list[Tensor]:
        """The outputs of a pass, in the graph's order, from what :meth:`start` returned."""

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of a pass on other inputs."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What an engine keeps of a network in a process.

    Attributes:
        artefact: that was opened.
        session: the engine's.
        metrics: what making and opening it cost.
        notes: what has to be said of it.
    """

    artefact: Artefact
    session: Session
    metrics: dict[str, MetricEntry]
    notes: tuple[Note, ...]


class StaleError(Exception):
    """An artefact that lay there is none that the engine can open here: it is made anew."""


PROCESSORS, NVIDIA = "processors", "NVIDIA's devices"

OTHERS = {
    "onnxruntime": ("onnxruntime-gpu",),
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12"),
}
"""Further distributions that bring the module of one."""

GRAPH_PACKAGES = {"onnx": ("onnx", "1.16"), "onnxscript": ("onnxscript", "0.2")}
"""What an engine that reads ONNX graphs needs beside itself, see :attr:`Engine.packages`."""

EXPORTING_TORCH = "2.7"
"""Least torch that writes such graphs: 2.6 has no batch normalisation for today's onnxscript."""


class Engine(Runtime):
    """A runtime that runs an exported copy of a network.

    Attributes:
        title: its name for people.
        packages: that it consists of, by what is imported: distribution and least version.
        extra: of pytest-archbench that brings them.
        extra_on_devices: that brings them for accelerators, where it is another one.
        only_on: what it runs on, of :data:`PROCESSORS` and :data:`NVIDIA`; empty for whatever torch
            runs on.
        seconds: that an export may take.
    """

    is_engine = True
    only_on: ClassVar[tuple[str, ...]] = ()
    title: ClassVar[str]
    packages: ClassVar[Mapping[str, tuple[str, str]]]
    extra: ClassVar[str]
    extra_on_devices: ClassVar[str] = ""
    seconds: ClassVar[float] = SECONDS

    find = staticmethod(importlib.util.find_spec)
    version = staticmethod(importlib.metadata.version)
    load = staticmethod(importlib.import_module)

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        kind = PROCESSORS if backend.is_host else NVIDIA if backend.capability() else ""
        if self.only_on and kind not in self.only_on:
            return Refusal(f"it runs on {' and '.join(self.only_on)} here, and not on {device}")
        needed = dict(self.packages)
        if "onnxscript" in needed:
            needed["torch"] = "torch", EXPORTING_TORCH
        for module, (distribution, least) in needed.items():
            extra = "" if backend.is_host else self.extra_on_devices
            lacking = self._lacks(module, distribution, least, extra)
            if lacking is not None:
                return lacking
        if config.memory_format == "nhwc":
            return Refusal(
                f"{self.title} chooses the order of activations in memory by itself",
                beside="--memory-format=nhwc",
                todo="Use --memory-format=nchw, in which images come",
            )
        if config.dtype.startswith("amp"):
            return Refusal(
                "autocast chooses precisions operator by operator while torch runs",
                beside=f"--dtype={config.dtype}",
                todo="Use --dtype=fp32",
            )
        return self._broken() or self.refuse_precision(device, backend, config)

    def _broken(self) -> Refusal | None:
        """Why its package, which is installed, cannot be used."""
        if not self.packages:
            return None
        module, (distribution, _) = next(iter(self.packages.items()))
        try:
            self.load(module)
        except Exception as error:
            return Refusal(
                f"{distribution} is installed and cannot be imported: {named(error)}",
                f"Run: python -m pip install --force-reinstall {distribution}",
            )
        return None

    def _lacks(self, module: str, distribution: str, least: str, extra: str = "") -> Refusal | None:
        install = f"Run: python -m pip install 'pytest-archbench[{extra or self.extra}]'"
        if self.find(module) is None:
            return Refusal(f"it needs {distribution}, which is not installed", install)
        for name, found in self._installed(distribution).items():
            if _numbers(found) < _numbers(least):
                return Refusal(
                    f"it needs {name} {least} or newer; {found} is installed",
                    f"Run: python -m pip install --upgrade '{name}>={least}'",
                )
        return None

    def _installed(self, distribution: str) -> dict[str, str]:
        """Versions of what is installed of a distribution and of others with the same module."""
        found = {}
        for name in (distribution, *OTHERS.get(distribution, ())):
            with suppress(importlib.metadata.PackageNotFoundError):
                found[name] = self.version(name)
        return found

    def refuse_dtype(self, config: RunConfig, dtypes: Sequence[str], where: str) -> Refusal | None:
        """Why it does not run a precision that is none of some.

        Args:
            where: that it computes in these, ``on this processor``.
        """
        if config.dtype in dtypes:
            return None
        beside = f"--dtype={config.dtype}"
        return Refusal(f"{where} it computes in {', '.join(dtypes)}", "Use --dtype=fp32", beside)

    @abstractmethod
    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        """Why it does not run a precision on a device; None where it does."""

    @abstractmethod
    def open(self, artefact: Artefact, job: Job) -> Session:
        """Make a network ready that lies on the disk.

        Raises:
            Exception: whatever the engine raises.
        """

    def artefact_of(self, job: Job) -> Found:
        """The network as this engine reads it, exported unless that was done before."""
        found = onnx_of(job, self.seconds)
        return self._in_int8(job, found) if job.target.dtype == "int8" else found

    def made_for_device(self, job: Job, exported: Found, make: Callable[[Path], Facts]) -> Found:
        """What an engine makes of an exported graph for one device, precision and size of a batch,
        unless that was done before.

        Args:
            make: writes it into a directory, and returns facts.
        """
        device, target = job.device, job.target
        parts = {
            "of": exported.artefact.path.name,
            "versions": self.versions(),
            "dtype": target.dtype,
            "device": [target.device_name, device.capability(), device.versions()],
        }
        name = name_of(job.spec, f"{self.name}-b{target.images}", parts)
        facts = exported.artefact.facts
        return kept(job, name, lambda directory: {**facts, **make(directory)}, self.seconds)

    def _in_int8(self, job: Job, exported: Found) -> Found:
        """A graph that was exported, quantised unless that was done before."""
        order = order_of(self.name, exported.artefact, job)
        images = None if job.ranges is None else array_of(job.ranges)
        ranges = None if images is None else zlib.crc32(images)
        parts = {"of": exported.artefact.path.name, "versions": self.versions(), "ranges": ranges}
        name = name_of(job.spec, f"int8-{self.name}-b{job.target.images}", parts)

        def build(directory: Path) -> Facts:
            with tempfile.TemporaryDirectory(prefix="archbench-ranges-") as place:
                given = order
                if images is not None:
                    given = replace(order, ranges=str(Path(place) / "images.npy"))
                    numpy.save(str(given.ranges), images)
                made = quantised(given, directory, job.spec.id, self.seconds)
            number = 0 if images is None else len(images)
            more: Facts = {"file": MODEL_FILES[self.name], "ranges": number}
            return {**exported.artefact.facts, **made, **more}

        return kept(job, name, build, self.seconds)

    def versions(self) -> dict[str, str]:
        names = [distribution for distribution, _ in self.packages.values()]
        return {one: version for name in names for one, version in self._installed(name).items()}

    def prepare(self, job: Job) -> Prepared:
        opened = job.artefact if isinstance(job.artefact, Opened) else self._opened(job)
        session, structure = opened.session, opened.artefact.facts.get("structure")

        def read(raw: Any) -> object:
            return restored(structure, session.outputs(raw))

        return Prepared(
            session.start,
            dict(opened.metrics),
            opened,
            read=read,
            run=lambda inputs: restored(structure, session.run(inputs)),
            settings=dict(session.settings),
            notes=opened.notes,
            deployed=None if session.order is None else partial(measured_apart, session.order),
            profile=getattr(session, "profile", None),
            nodes=getattr(session, "nodes", None),
        )

    def anew(self, artefact: object) -> object:
        return artefact.artefact if isinstance(artefact, Opened) else None

    def _opened(self, job: Job) -> Opened:
        known = job.artefact
        found = Found(known, is_new=False) if isinstance(known, Artefact) else self.artefact_of(job)
        try:
            session, seconds = self._timed_open(found.artefact, job)
        except StaleError as error:
            shutil.rmtree(found.artefact.path, ignore_errors=True)
            found = replace(self.artefact_of(job), damage=str(error))
            try:
                session, seconds = self._timed_open(found.artefact, job)
            except StaleError as again:
                raise refused_by(self.title, job.spec, again) from again
        artefact = found.artefact
        measured: MetricEntry = {"source": "measured"}
        metrics: dict[str, MetricEntry] = {
            "artefact_size": {"value": artefact.size, "unit": "B", **measured},
            "load_time": {"value": seconds, "unit": "s", **measured},
        }
        for metric, fact, unit in _FACTS:
            if (value := artefact.facts.get(fact)) is not None:
                metrics[metric] = {"value": value, "unit": unit, **measured}
        if "export_time" in metrics:
            metrics["export_time"]["is_new"] = found.is_new
        is_guessed = artefact.facts.get("quantised") and not artefact.facts.get("ranges")
        notes = [Note("synthetic-ranges", NOTE)] if is_guessed else []
        if found.damage is not None:
            text = f"the artefact that lay there was damaged ({found.damage}), and was made anew"
            notes.append(Note("damaged-artefact", text))
        notes += getattr(session, "notes", ())
        return Opened(artefact, session, metrics, tuple(notes))

    def _timed_open(self, artefact: Artefact, job: Job) -> tuple[Session, float]:
        start = job.clock()
        try:
            return self.open(artefact, job), job.clock() - start
        except (NotMeasuredError, StaleError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise refused_by(self.title, job.spec, error) from error


_FACTS: tuple[tuple[str, Literal["seconds", "compile_seconds", "nodes"], str], ...] = (
    ("export_time", "seconds", "s"),
    ("compile_time", "compile_seconds", "s"),
    ("graph_nodes", "nodes", "1"),
)
"""Metrics that are known since an artefact was made: name, fact and unit."""


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:3])
