"""The house's rules: imports point down, and the plugin starts without heavy modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin" / "archbench"

# What each part may import of the others; every part may import itself.
ALLOWED = {
    "metrics": set(),
    "core": set(),
    "zoo": {"core"},
    "catalog": {"core"},
    "devices": {"core"},
    "runtimes": {"core", "devices", "store"},
    "store": {"core"},
    "report": {"core"},
    "models": {"core", "catalog", "devices", "runtimes", "zoo"},
    "measure": {"core", "catalog", "devices", "runtimes", "store", "report", "zoo", "models"},
    "gates": {"core", "store"},
    "pytest_plugin": {
        "core",
        "gates",
        "catalog",
        "devices",
        "runtimes",
        "store",
        "report",
        "measure",
        "workers",
        "models",
    },
    "workers": {"core", "store"},
    "selftest": {"core", "store"},
    "replay": {"core", "selftest"},
    "cli": {
        "core",
        "catalog",
        "devices",
        "runtimes",
        "store",
        "report",
        "measure",
        "models",
        "selftest",
        "replay",
    },
}
HEAVY = {"torch", "torchvision", "timm", "pytorchcv", "ptflops", "numpy", "scipy", "fsspec"}
HOMES_OF_TORCH = {"measure", "models", "zoo"}
# The kinds of devices and the runtimes need torch; what knows them by name does not.
FILES_WITH_TORCH = {
    *(PACKAGE / "devices" / f"{name}.py" for name in ("accelerator", "cpu", "cuda", "mps", "xpu")),
    *(
        PACKAGE / "runtimes" / f"{name}.py"
        for name in (
            "aotinductor",
            "apart",
            "compiled",
            "engine",
            "exported",
            "exporting",
            "identity",
            "onnxruntime",
            "onnxruntime_cuda",
            "onnxruntime_tensorrt",
            "opening",
            "openvino",
            "tensorrt",
        )
    ),
}
# What a process runs that has an engine and no torch.
FILES_OF_BARE_PROCESSES = {
    PACKAGE / "runtimes" / f"{name}.py" for name in ("deployed", "quantiser")
}
# Imported by who asks for change points, which are found with arrays, or for a shared store.
HOMES_OF_LATE_IMPORTS = {
    PACKAGE / "report" / "change_points.py": {"numpy"},
    PACKAGE / "store" / "objects.py": {"fsspec"},
}

FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path, *, lazily: bool = True) -> set[str]:
    """Full names of the modules a file imports; only those at its start unless ``lazily``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if lazily else tree.body
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    parts = {name.split(".")[1] for name in imported(path) if name.startswith("archbench.")} - {
        "__version__",
        "ModelSpec",
        "Preprocessing",
        "Target",
    }
    # The table of metrics is below all others.
    assert parts <= ALLOWED[part] | {part, *(["metrics"] if part != "metrics" else [])}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_lives_in_measure_models_and_zoo(path: Path) -> None:
    if part_of(path) in HOMES_OF_TORCH or path in FILES_WITH_TORCH:
        return
    at_start = {"numpy"} if path in FILES_OF_BARE_PROCESSES else set()
    allowed = HOMES_OF_LATE_IMPORTS.get(path, at_start)
    assert {name.split(".")[0] for name in imported(path)} & HEAVY <= allowed
    assert {name.split(".")[0] for name in imported(path, lazily=False)} & HEAVY <= at_start


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_devices_ask_torch_about_accelerators(path: Path) -> None:
    if part_of(path) == "devices":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    }
    assert not asked & {"cuda", "xpu", "mps", "accelerator", "hpu"}
    compared = {
        constant.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant)
    }
    assert not compared & {"cuda", "xpu", "mps"}


def test_core_knows_no_files_and_no_clock() -> None:
    for path in (PACKAGE / "core").glob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"pytest", "os", "pathlib", "time", "subprocess", "io"}, path


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, pytest, pytest_benchmark.plugin\n"
        "before = set(sys.modules)\n"
        "import archbench.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=900
    )
    new = done.stdout.split()
    late = HEAVY | {"psutil", "tabulate", "filelock", "msgspec"}
    assert "archbench.pytest_plugin" in new
    assert not {name.split(".")[0] for name in new} & late
    assert not any(
        name.startswith(("archbench.measure", "archbench.models", "archbench.catalog"))
        for name in new
    )


def test_no_modules_import_one_another_in_a_circle() -> None:
    done = subprocess.run(
        [sys.executable, "tools/house.py"],
        cwd=PACKAGE.parents[1],
        capture_output=True,
        text=True,
        timeout=900,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("circles of imports")]
    assert line.split() == ["circles", "of", "imports", "0", "0"]
