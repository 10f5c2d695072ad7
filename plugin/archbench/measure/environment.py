"""The environment that a measurement belongs to."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path

import psutil

from archbench import __version__
from archbench.core.constructors import file_of
from archbench.core.headers import GitState, RunEnvironment
from archbench.core.spec import ModelSpec, OwnSource
from archbench.devices.choosing import cpu_name
from archbench.measure.imports import version_of
from archbench.store.git import git_text

_PACKAGES = (
    "torch", "torchvision", "timm", "pytorchcv", "ptflops", "numpy",
    "pytest", "pytest-benchmark", "pytest-xdist",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Versions of the packages that a time may depend on, of those that are there."""
    return {name: version for name in _PACKAGES if (version := version_of(name))}


def git_state(directory: Path) -> GitState | None:
    """Commit and whether tracked files differ from it; None outside a git work tree."""
    commit = git_text(directory, "rev-parse", "HEAD", timeout=10)
    if commit is None:
        return None
    status = git_text(directory, "status", "--porcelain", "--untracked-files=no", timeout=10)
    return {"commit": commit, "dirty": bool(status) if status is not None else None}


def describe_environment(directory: Path) -> RunEnvironment:
    """Machine, load, versions and revision, as builtin types. Does not import torch.

    Args:
        directory: of the project whose revision is recorded.
    """
    memory = psutil.virtual_memory()
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "archbench": __version__,
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load_average": list(load) if load else None,
        "memory_bytes": memory.total,
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "git": git_state(directory),
    }


def provenance(library: str) -> str:
    """Where a network's code comes from: ``timm 1.0.31``; ``timm 1.1.0.dev0 (./timm)`` where it was
    imported from elsewhere than an installation; ``local`` for one of a person's own."""
    if library == "local":
        return library
    return f"{library} {__version__ if library == 'archbench' else base_version(library)}"


def provenance_of(spec: ModelSpec) -> str:
    """Where an architecture's code comes from: as :func:`provenance`, and ``./nets/small.py`` or
    ``package.module`` for one of a person's own."""
    source = spec.constructor
    if not spec.is_own or source is None:
        return provenance(spec.library)
    if isinstance(source, OwnSource) and not source.is_file:
        return source.place
    place = source.place if isinstance(source, OwnSource) else file_of(source)
    root = source.root if isinstance(source, OwnSource) else Path.cwd()
    path = Path(place or "")
    if not path.is_absolute():
        return spec.library
    return f"./{path.relative_to(root).as_posix()}" if path.is_relative_to(root) else path.name


def base_version(package: str) -> str:
    """Without the suffix that says how it was compiled."""
    version, space, place = (version_of(package) or "absent").partition(" ")
    return version if version.startswith("(") else version.partition("+")[0] + space + place
