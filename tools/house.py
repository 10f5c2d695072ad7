"""How large the house is and how it hangs together: ``make house``. It reads the code and runs none
of it.

Each figure stands beside what it is to reach.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "plugin"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Goal:
    """A figure of the house.

    Attributes:
        title: what is counted.
        value: as it is.
        most: that it is to be.
        where: the worst of it, for people.
    """

    title: str
    value: float
    most: float
    where: str = ""


def sources(plugin: Path = PLUGIN) -> dict[str, str]:
    """The text of each of our files of Python and JavaScript, by its path below the directory."""
    return {
        path.relative_to(plugin).as_posix(): path.read_text("utf-8")
        for path in sorted(plugin.rglob("*"))
        if path.suffix in (".py", ".js", ".mjs") and not path.name.endswith(".min.js")
    }


def inner_imports(tree: ast.Module) -> int:
    """Import statements inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    found = {
        id(node)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    return len(found)


def imports(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """What each module imports of the others, inside functions too; not what is for types only."""
    return {name: set(_imports(name, tree, modules)) for name, tree in modules.items()}


def _imports(name: str, tree: ast.Module, known: Mapping[str, ast.Module]) -> Iterator[str]:
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [one if one in known else str(node.module) for one in inside]
        else:
            continue
        yield from (one for one in named if one in known and one != name)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another, by Tarjan's algorithm."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in numbers:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], numbers[other])
        if lowest[name] == numbers[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in numbers:
            visit(name)
    return found


def goals(texts: Mapping[str, str]) -> list[Goal]:
    """All figures, of the files of :func:`sources`."""
    trees = {name: ast.parse(text) for name, text in texts.items() if name.endswith(".py")}
    lines = {name: text.count("\n") for name, text in texts.items()}
    widths = {name: max(map(len, text.splitlines()), default=0) for name, text in texts.items()}
    lengths = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }
    over_40 = sum(length > 40 for length in lengths.values())
    inner = {name: inner_imports(tree) for name, tree in trees.items()}
    untyped = {
        name: text.count("dict[str, Any]") + text.count("Mapping[str, Any]")
        for name, text in texts.items()
    }
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): tree
        for name, tree in trees.items()
    }
    round_trips = circles(imports(modules))
    return [
        Goal("lines of Python and JavaScript", sum(lines.values()), 27_000),
        Goal("lines of the longest module", max(lines.values()), 400, _most(lines)),
        Goal("characters of the longest line", max(widths.values()), 100, _most(widths)),
        Goal("lines of the longest function", max(lengths.values()), 60, _most(lengths)),
        Goal("functions over 40 lines, %", 100 * over_40 / len(lengths), 2),
        Goal("imports inside functions", sum(inner.values()), 80, _most(inner)),
        Goal("dict[str, Any] and Mapping[str, Any]", sum(untyped.values()), 30, _most(untyped)),
        Goal(
            "circles of imports", len(round_trips), 0, "; ".join(", ".join(r) for r in round_trips)
        ),
    ]


def _most(counts: Mapping[str, int]) -> str:
    names = sorted(counts, key=lambda name: -counts[name])[:3]
    return ", ".join(f"{name} {counts[name]}" for name in names)


def main() -> int:
    """Print the figures; 1 where one is not reached."""
    found = goals(sources())
    rows = [(one.title, f"{one.value:,.4g}", f"{one.most:g}", one.where[:120]) for one in found]
    print(tabulate(rows, ["", "is", "at most", "worst"], colalign=("left", "right", "right")))
    return int(any(one.value > one.most for one in found))


if __name__ == "__main__":
    sys.exit(main())
