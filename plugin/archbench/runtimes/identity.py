"""What an export of a network depends on: code, weights, settings, shapes and versions.

An artefact that is taken from the disk although one of these has changed would give the figures of
another network without a word, so whatever cannot be distinguished counts as changed.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from archbench import __version__
from archbench.core.spec import ModelSpec
from archbench.store.artefacts import file_name, key_of

EXPORTERS = ("torch", "onnx", "onnxscript")
"""What an exported graph depends on."""

_VERSIONED = frozenset({*sys.stdlib_module_names, "torch"})
"""Packages of which the version says what their code is."""

_TORCHS = frozenset(vars(nn.Module())) - {"training"}
"""Attributes that torch gives each module: what they hold that matters counts elsewhere."""


def exporters() -> dict[str, str]:
    """Versions of what exports."""
    return {"archbench": __version__, **_versions(EXPORTERS)}


def key_parts(
    spec: ModelSpec, network: nn.Module, inputs: Sequence[Tensor], form: str
) -> dict[str, object]:
    """All that an export depends on."""
    files = code_of(network)
    return {
        "id": spec.id,
        "kwargs": repr(spec.kwargs),
        "form": form,
        "inputs": [(str(one.dtype), list(one.shape[1:])) for one in inputs],
        "weights": weights_of(network),
        "settings": settings_of(network),
        "code": sorted(files.values()),
        "versions": {**exporters(), **_versions({name.partition(".")[0] for name in files})},
        "python": platform.python_version(),
    }


def name_of(spec: ModelSpec, form: str, parts: Mapping[str, object]) -> str:
    """Of the directory of an artefact."""
    return file_name(spec.id, form, key_of(parts))


def weights_of(network: nn.Module) -> list[tuple[str, str, list[int], int]]:
    """Name, precision, shape and CRC-32 of every parameter and buffer of a network."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return [(name, *_content_of(tensor)) for name, tensor in tensors]


def _content_of(tensor: Tensor) -> tuple[str, list[int], int]:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    content: Any = flat.view(torch.uint8).numpy()
    crc = zlib.crc32(content) if flat.numel() else 0
    return str(tensor.dtype), list(tensor.shape), crc


def settings_of(network: nn.Module) -> int:
    """CRC-32 of how a network is put together, and of the plain values, tensors and collections of
    both that its parts hold beside parameters and buffers."""
    value = zlib.crc32(str(network).encode())
    for name, part in network.named_modules():
        own = {key: one for key, one in vars(part).items() if key not in _TORCHS}
        held = sorted((key, repr(_held(one))) for key, one in own.items())
        value = zlib.crc32(repr((name, type(part).__qualname__, held)).encode(), value)
    return value


def _held(value: object, depth: int = 8) -> object:
    """A plain value, the content of tensors and collections, or what a function does that a part
    was given for a method; None of others, and of what lies deeper in collections."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, numpy.ndarray):
        if not value.dtype.hasobject:
            return str(value.dtype), value.shape, zlib.crc32(value.tobytes())
        value = value.tolist()
    if isinstance(value, Tensor):
        with suppress(NotImplementedError, RuntimeError):  # on meta, sparse
            return _content_of(value)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return [_held(one, depth - 1) for one in value] if depth else None
    code = getattr(value, "__code__", value)
    if not isinstance(code, CodeType):
        return None
    return code.co_code, code.co_names, [_held(one) for one in code.co_consts]


def code_of(network: nn.Module) -> dict[str, int]:
    """CRC-32 of the files whose code a network may run, by the name of the module.

    These are the files that define its parts, and what they refer to. Where they are not installed
    with a version, everything that is loaded of their package counts as well.
    """
    waiting = list(_defining(network))
    found: dict[str, int] = {}
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        python_module = sys.modules.get(name)
        file = getattr(python_module, "__file__", None)
        if name in found or top in _VERSIONED or not isinstance(file, str):
            continue
        found[name] = zlib.crc32(_content(file))
        if top == "archbench" or {"site-packages", "dist-packages"} & {*Path(file).parts}:
            continue
        waiting += [_home(value) for value in list(vars(python_module).values())]
        if "." in name:
            waiting += [other for other in list(sys.modules) if other.startswith(f"{top}.")]
    return found


def _defining(network: nn.Module) -> Iterator[str]:
    for part in network.modules():
        yield from (base.__module__ for base in type(part).__mro__)
        yield from (_home(value) for value in vars(part).values() if callable(value))


def _home(value: object) -> str:
    """The name of the module that has the code of a value; empty where that is not known."""
    if isinstance(value, ModuleType):
        return value.__name__
    of = value if isinstance(value, FunctionType | type) else type(value)
    home = of.__module__
    return home if isinstance(home, str) else ""


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        return file.encode()


def _versions(names: Sequence[str] | set[str]) -> dict[str, str]:
    return {name: version for name in sorted(names) if (version := _version(name)) is not None}


@cache
def _version(name: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None
