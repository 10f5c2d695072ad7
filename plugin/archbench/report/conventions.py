"""One network as each published table would print it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from archbench.core.complexity import Complexity
from archbench.core.convention import Convention, Style
from archbench.core.conventions import CONVENTIONS
from archbench.report.tables import Table

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


def _rows(
    complexity: Complexity, elements: Mapping[str, int], ptflops: tuple[int, int] | None
) -> Iterator[tuple[Convention, int, int, str, str]]:
    """Each convention with its operations and params, as they are and as it prints them."""
    for convention in CONVENTIONS.values():
        flops = convention.flops(complexity, elements)
        params = convention.params(complexity, elements)
        if convention.name == "ptflops" and ptflops is not None:
            # Its own count: it goes by types of modules, which operators do not show.
            params, flops = ptflops
        yield (
            convention,
            flops,
            params,
            _text(convention.flops_style or _PLAIN, flops),
            _text(convention.params_style or _PLAIN_PARAMS, params),
        )


def _text(style: Style, value: int) -> str:
    return f"{style.text(value)} {style.unit}".strip()


def conventions_table(
    complexity: Complexity,
    elements: Mapping[str, int],
    ptflops: tuple[int, int] | None = None,
) -> str:
    """One line for each convention, with its digits and units.

    Args:
        complexity: of the network.
        elements: numbers of :data:`archbench.core.convention.ELEMENTS`.
        ptflops: params and MACs that it counts itself, where it does.
    """
    macs = complexity.macs
    rows = [
        [convention.name, printed_flops, f"{flops / macs:.3f}" if macs else None, printed_params]
        for convention, flops, _, printed_flops, printed_params in _rows(
            complexity, elements, ptflops
        )
    ]
    headers = ["convention", "operations", "per MAC", "params"]
    return Table(headers, rows, ("convention",)).print_as("text")


def conventions_dict(
    complexity: Complexity,
    elements: Mapping[str, int],
    ptflops: tuple[int, int] | None = None,
) -> dict[str, object]:
    """The same in plain numbers and as printed."""
    result = {
        convention.name: {
            "operations": flops,
            "params": params,
            "printed_operations": printed_flops,
            "printed_params": printed_params,
            "formula": convention.formula,
        }
        for convention, flops, params, printed_flops, printed_params in _rows(
            complexity, elements, ptflops
        )
    }
    return {"schema": 1, "conventions": result}
