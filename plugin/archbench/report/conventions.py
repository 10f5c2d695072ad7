"""One network as each published table would print it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from archbench.core.complexity import Complexity
from archbench.core.conventions import CONVENTIONS, Convention, Style
from archbench.report.tables import Table

__all__ = ["conventions_dict", "conventions_list", "conventions_table"]

_PLAIN = Style("G", 10**9, significant=4)
_PLAIN_PARAMS = Style("M", 10**6, significant=4)
WIDTH = 100


def conventions_list() -> str:
    """Name, description and formula of every convention."""
    return "\n\n".join(
        f"{name}\n"
        + textwrap.fill(convention.description, WIDTH, initial_indent="  ", subsequent_indent="  ")
        + "\n"
        + textwrap.fill(
            f"operations: {convention.formula}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
        for name, convention in CONVENTIONS.items()
    )


def _printed(
    convention: Convention,
    complexity: Complexity,
    elements: Mapping[str, int],
    ptflops: tuple[int, int] | None,
) -> tuple[int, int, Style, Style]:
    flops = convention.flops(complexity, elements)
    params = convention.params(complexity, elements)
    if convention.name == "ptflops" and ptflops is not None:
        # Its own count: it goes by types of modules, which operators do not tell.
        params, flops = ptflops
    flops_style = convention.flops_style or _PLAIN
    params_style = convention.params_style or _PLAIN_PARAMS
    return flops, params, flops_style, params_style


def conventions_table(
    complexity: Complexity,
    elements: Mapping[str, int],
    ptflops: tuple[int, int] | None = None,
) -> str:
    """One line for each convention, with its digits and units.

    Args:
        complexity: of the network.
        elements: numbers of :data:`archbench.core.conventions.ELEMENTS`.
        ptflops: params and MACs that it counts itself, where it does.
    """
    rows = []
    for name, convention in CONVENTIONS.items():
        flops, params, flops_style, params_style = _printed(
            convention, complexity, elements, ptflops
        )
        relative = flops / complexity.macs if complexity.macs else 0.0
        rows.append(
            [
                name,
                f"{flops_style.text(flops)} {flops_style.unit}".strip(),
                f"{relative:.3f}" if complexity.macs else None,
                f"{params_style.text(params)} {params_style.unit}".strip(),
            ]
        )
    headers = ["convention", "operations", "per MAC", "params"]
    return Table(headers, rows, ("convention",)).print_as("text")


def conventions_dict(
    complexity: Complexity,
    elements: Mapping[str, int],
    ptflops: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The same in plain numbers and as printed."""
    result = {}
    for name, convention in CONVENTIONS.items():
        flops, params, flops_style, params_style = _printed(
            convention, complexity, elements, ptflops
        )
        result[name] = {
            "operations": flops,
            "params": params,
            "printed_operations": f"{flops_style.text(flops)} {flops_style.unit}".strip(),
            "printed_params": f"{params_style.text(params)} {params_style.unit}".strip(),
            "formula": convention.formula,
        }
    return {"schema": 1, "conventions": result}
