"""No module fails where it is the first of the package that is imported, as in a worker.

``tools/house.py`` finds modules whose statements import one another. A package also imports itself
before each of its modules, which may close a circle that no statement shows. Only a module in one
of these circles can fail, and these are imported, each in a fork that has imported nothing of ours.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.house import PLUGIN, circles, imports, sources

SCRIPT = """
import importlib, os, sys, traceback
import msgspec, pytest

for name in sys.argv[1:]:
    number = os.fork()
    if number == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, traceback.format_exc(), sep="\\n", flush=True)
        os._exit(0)
    os.waitpid(number, 0)
"""


def in_circles(plugin: Path) -> list[str]:
    """Modules that import one another at their start, their packages counted in."""
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): _start(text)
        for name, text in sources(plugin).items()
        if name.endswith(".py")
    }
    graph = {
        name: {above for one in {name, *found} for above in _with_packages(one)} - {name}
        for name, found in imports(modules).items()
    }
    return sorted(name for circle in circles(graph) for name in circle)


def _start(text: str) -> ast.Module:
    """What a module runs when it is imported: nothing inside functions."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [ast.Pass()]
    return tree


def _with_packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def failures(modules: list[str], plugin: Path) -> str:
    """The traceback of each module that cannot be the first that is imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *modules],
        env={**os.environ, "PYTHONPATH": str(plugin)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    return done.stdout


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="each is imported in a fork")


@needs_fork
def test_each_module_can_be_imported_first() -> None:
    modules = in_circles(PLUGIN)
    assert {"archbench.metrics", "archbench.metrics.metric"} <= set(modules)
    assert failures(modules, PLUGIN) == ""


@needs_fork
def test_a_circle_through_a_package_is_found(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    package.mkdir()
    # The package needs `price`, `price` needs `tax`, and `tax` needs a name of the package.
    (package / "__init__.py").write_text("from shop.price import gross\nRATE = 0.2\n")
    (package / "price.py").write_text("from shop.tax import tax\n\ngross = 1 + tax\n")
    (package / "tax.py").write_text("import shop\n\ntax = shop.RATE\n")
    (package / "plain.py").write_text("def late():\n    import shop\n")

    modules = in_circles(tmp_path)

    assert modules == ["shop", "shop.price", "shop.tax"]
    found = failures(modules, tmp_path)
    assert found.count("AttributeError") == 3
    assert "has no attribute 'RATE'" in found
