"""From what a person types (``--gpu=v100``) to one of the devices that are there."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import UsageError

_VENDOR_WORDS = {
    "r", "tm", "data", "center", "gpu", "nvidia", "tesla", "geforce", "quadro", "amd", "radeon",
    "intel", "instinct", "graphics", "generation", "edition",
}  # fmt: skip
"""Parts of a device's name that distinguish no two devices."""

_CPU_NOISE = re.compile(
    r"\((?:r|tm)\)|@.*$|\b(?:cpu|processor|with .*|\d+-core(?: processor)?)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that models can run on.

    Attributes:
        name: torch's name for it: ``cpu``, ``cuda:0``.
        vendor_name: what its maker calls it: ``Tesla V100-SXM2-16GB``. A MIG instance has
            its profile at the end: ``NVIDIA A100-SXM4-40GB MIG 1g.5gb``.
        uuid: without prefix; None where the device has none.
    """

    name: str
    vendor_name: str
    uuid: str | None = None

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda`` (ROCm as well), ``mps``, ``xpu``."""
        return self.name.partition(":")[0]

    @property
    def slug(self) -> str:
        """Short name for files and tables: ``v100-sxm2-16gb``, ``cpu-amd-epyc``."""
        return device_slug(self.kind, self.vendor_name)

    def __str__(self) -> str:
        return f"{self.name} ({self.vendor_name})"


def device_slug(kind: str, vendor_name: str) -> str:
    """A short, stable name, another one for each name of a maker's.

    ``Tesla V100-SXM2-16GB`` is ``v100-sxm2-16gb``, ``NVIDIA GeForce RTX 4090`` is ``rtx4090``, an
    ``AMD EPYC 7763 64-Core Processor`` is ``cpu-amd-epyc-7763``.
    """
    if kind == "cpu":
        words: list[str] = re.findall(r"[a-z0-9.]+", _CPU_NOISE.sub(" ", vendor_name).lower())
        return "-".join(["cpu", *words]) if words else "cpu"
    whole, _, instance = vendor_name.lower().partition(" mig ")
    every: list[str] = re.findall(r"[a-z0-9]+", whole)
    words = [word for word in every if word not in _VENDOR_WORDS] or every[-1:]
    if not words:
        return kind
    # "rtx 4090", "max 1550": letters alone belong to the number that follows.
    slug = re.sub(r"\b([a-z]+)-(?=[0-9]+(?:-|$))", r"\1", "-".join(words))
    # A slice of a device is not the device.
    return f"{slug}-mig-{instance.strip().replace(' ', '-')}" if instance else slug


def cpu_name() -> str:
    """The maker's name of this machine's processor."""
    return _cpuinfo().get("model name") or (
        platform.processor() or platform.machine() or "unknown processor"
    )


def cpu_model() -> str | None:
    """Family and model of the processor, ``26.2``: virtual machines hide the maker's name of it.

    None where the system does not say.
    """
    found = _cpuinfo()
    parts = [found.get("cpu family"), found.get("model")]
    return ".".join(part for part in parts if part) or None


def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first processor; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    fields = (line.partition(":") for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _matches(device: Device, request: str) -> bool:
    """Whether every part of a request stands in the maker's name, with or without separators.

    A part begins where a word or number does, and one with a number in it ends where a word
    does: ``t4`` is no T400, ``v100`` no GV100 and no V100S, ``a10`` no A10G.
    """
    name = device.vendor_name.lower()
    return all(_part(_letters(part)).search(name) for part in re.split(r"[-\s]+", request) if part)


def _part(letters: str) -> re.Pattern[str]:
    if not letters:
        return re.compile("(?!)")
    kind = "[0-9]" if letters[0].isdigit() else "[a-z]"
    end = "(?![0-9a-z])" if re.search("[0-9]", letters) else ""
    return re.compile(f"(?<!{kind}){'[^a-z0-9]*'.join(letters)}{end}")


def split_request(request: str) -> list[str]:
    """The parts of a request for devices: ``v100, T4`` asks for ``v100`` and ``t4``.

    Raises:
        UsageError: one of them is empty.
    """
    parts = [re.sub(r"\s+", "-", part.strip().lower()) for part in request.split(",")]
    if "" in parts and len(parts) > 1:
        raise UsageError(
            f"--gpu={request}",
            "a name between the commas is empty",
            "Write for example --gpu=v100,t4",
        )
    return list(dict.fromkeys(parts))


def choose_device(
    request: str, devices: Sequence[Device], *, worker: int = 0, remark: str = ""
) -> Device:
    """The device that a request names.

    Args:
        request: ``auto`` (the first accelerator, else the CPU), a kind (``cpu``, ``cuda``,
            ``mps``, ``xpu``), one of a kind (``cuda:1``), or any part of the maker's name in any
            case (``v100``, ``a100-40gb``).
        devices: what is there, accelerators in their own order.
        worker: of several that measure side by side: where more than one device of the same name
            answers to ``auto``, to a kind or to a name, each takes another in turn.
        remark: why there is no accelerator, where that is known.

    Raises:
        UsageError: nothing, or several different devices, answer to the request. There is no
            fall-back: whoever asks for a V100 gets a V100.
    """
    asked = f"--gpu={request}"
    wanted = request.strip().lower()
    accelerators = [device for device in devices if device.kind != "cpu"]
    if wanted == "auto":
        found = accelerators or list(devices)
    elif wanted.partition(":")[0] in {device.kind for device in devices}:
        found = [device for device in devices if wanted in (device.name, device.kind)]
    else:
        found = [device for device in accelerators if _letters(wanted) and _matches(device, wanted)]
        # A name that is another one's beginning can be said too: rtx4090 beside rtx4090-d.
        asked_slug = re.sub(r"\s+", "-", wanted)
        found = [device for device in found if device.slug == asked_slug] or found
        if len({device.vendor_name for device in found}) > 1:
            names = ", ".join(str(device) for device in found)
            raise UsageError(
                asked,
                f"matches several devices: {names}",
                f"Write more of the name, or --gpu={found[0].kind}:N",
            )
    if found:
        alike = [device for device in found if device.vendor_name == found[0].vendor_name]
        return alike[worker % len(alike)]
    raise _no_such_device(asked, wanted, devices, remark)


def _no_such_device(asked: str, wanted: str, devices: Sequence[Device], remark: str) -> UsageError:
    accelerators = [device for device in devices if device.kind != "cpu"]
    there = ", ".join(str(device) for device in devices)
    todo = "Use --gpu=auto for the best device here"
    if accelerators and re.search(r"\bmig\b|\b\dg\b", wanted):
        todo += (
            "; a MIG instance is seen where CUDA_VISIBLE_DEVICES has its UUID, which "
            "`nvidia-smi -L` lists"
        )
    if not accelerators:
        todo += f", which is the CPU; {remark or 'no accelerator is visible to torch'}"
    elif remark:
        todo += f"; {remark}"
    return UsageError(asked, f"no such device; this machine has {there}", todo)


def choose_devices(request: str, devices: Sequence[Device], *, remark: str = "") -> list[Device]:
    """The devices of a request that may name several with commas, in its order.

    Raises:
        UsageError: as :func:`choose_device`; or two of them have one name, so that their cells
            would be the same.
    """
    chosen: list[Device] = []
    for part in split_request(request):
        device = choose_device(part, devices, remark=remark)
        twin = next((other for other in chosen if other.slug == device.slug), None)
        if twin == device:
            raise UsageError(
                f"--gpu={request}",
                f"two of these names are of one device, {device}",
                "Name it once",
            )
        if twin is not None:
            raise UsageError(
                f"--gpu={request}",
                f"{twin} and {device} are both {device.slug} in tables and files",
                "Name one of them; `-n 2` shares the work between two devices of the same name",
            )
        chosen.append(device)
    return chosen
