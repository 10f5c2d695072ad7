"""The library of the simulated device, built once for each source and torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest
import torch
from filelock import FileLock

__all__ = ["library"]

SOURCE = Path(__file__).with_name("sim.cpp")

# A test with pytester has another home.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "archbench-tests"


def library() -> Path:
    """The file, which takes half a minute to build where it is not there yet.

    A test that asks for it is skipped where it cannot be built, and fails with
    ``ARCHBENCH_REQUIRE_SIM=1``.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if compiler is None or not header.is_file():
        lacking = "g++" if compiler is None else str(header)
        reason = f"the simulated device is built with g++, and there is no {lacking}"
        if os.environ.get("ARCHBENCH_REQUIRE_SIM"):
            pytest.fail(reason)
        pytest.skip(reason)
    names = (torch.__version__, torch.version.git_version, sysconfig.get_config_var("SOABI"))
    content = SOURCE.read_bytes() + " ".join(map(str, names)).encode()
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"sim-{hashlib.sha256(content).hexdigest()[:16]}.so"
    with FileLock(made.with_suffix(".lock")):
        if not made.is_file():
            _build(compiler, made)
    return made


def _build(compiler: str, made: Path) -> None:
    from torch.utils.cpp_extension import include_paths, library_paths

    with tempfile.TemporaryDirectory(dir=made.parent) as directory:
        built = Path(directory, "archbench_sim.so")
        command = [
            *(compiler, "-O0", "-std=c++20", "-fPIC", "-shared", str(SOURCE), "-o", str(built)),
            *("-DTORCH_EXTENSION_NAME=archbench_sim", "-DTORCH_API_INCLUDE_EXTENSION_H"),
            f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
            *(f"-isystem{path}" for path in include_paths()),
            f"-isystem{sysconfig.get_paths()['include']}",
            *(f"-L{path}" for path in library_paths()),
            *("-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        built.replace(made)
