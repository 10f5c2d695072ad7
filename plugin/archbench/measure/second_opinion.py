"""What another tool counts."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import Tensor, nn

from archbench.core.complexity import BIASES, SecondOpinion
from archbench.core.errors import orders_to_end
from archbench.measure.ledger import Ledger
from archbench.measure.operators import name_of

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm")
_ITS_OWN = ("convolution", "mm", "addmm", "bmm")
"""What it has a formula for."""


def second_opinion_of(
    model: nn.Module,
    inputs: Sequence[Tensor],
    ledger: Ledger,
    shapes: AbstractContextManager[object],
) -> SecondOpinion | None:
    """What ptflops counts by its ``aten`` backend; None where it fails on the network."""
    from ptflops.aten_engine import FlopCounterMode as PtflopsMode

    counter = PtflopsMode()
    try:
        with shapes, counter:
            model(*inputs)
    except orders_to_end():
        raise
    except Exception:
        # Its formulas expect arguments in fixed places; a network that defeats them has no second
        # opinion, which its record says.
        return None
    theirs = {name_of(packet): int(n) for packet, n in counter.flop_counts["Global"].items()}
    macs = ledger.macs_by_operator
    differences = {name: theirs.get(name, 0) - macs[name] for name in sorted({*theirs, *macs})}
    operators = {name: difference for name, difference in differences.items() if difference}
    # What we see whole, ptflops was given in parts: products.
    whole = {name for name in macs if "attention" in name or "rnn_layer" in name}
    parts = {name for name in operators if operators[name] > 0 and name in _PRODUCTS}
    if whole & operators.keys() and not sum(operators[name] for name in whole | parts):
        operators = {n: difference for n, difference in operators.items() if n not in whole | parts}
    reasons = {}
    for name, difference in operators.items():
        if name not in theirs and name not in _ITS_OWN:
            reasons[name] = "ptflops has no formula for it"
        elif difference == ledger.biases[name]:
            reasons[name] = BIASES
        elif whole & operators.keys() and name in parts:
            reasons[name] = "parts of a fused operator, and biases"
        elif ledger.uses_threads:
            reasons[name] = "ptflops does not see what runs in other threads"
        elif name not in theirs:
            reasons[name] = "ptflops does not see what runs in inference mode"
    version = importlib.metadata.version("ptflops")
    return SecondOpinion(f"ptflops {version} (aten)", sum(theirs.values()), operators, reasons)
