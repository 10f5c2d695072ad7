"""A network as each published table would print it."""

from __future__ import annotations

from typing import Any

from archbench.core.complexity import Complexity
from archbench.core.convention import ELEMENTS
from archbench.core.conventions import CONVENTIONS
from archbench.report.conventions import conventions_dict, conventions_list, conventions_table

NETWORK = Complexity(
    input_shape=(1, 3, 8, 8),
    output_shape=(1, 10),
    params=2_000_000,
    trainable_params=2_000_000,
    bias_params=10_000,
    buffers=0,
    param_bytes={},
    macs=1_500_000_000,
    macs_by_kind={"convolution": 1_000_000_000, "linear": 500_000_000, "product": 0},
    activations=0,
    max_channels=0,
    operator_calls=0,
    uncounted={},
    layers=(),
)
NONE = dict.fromkeys(ELEMENTS, 0)


def test_table() -> None:
    rows = [line.split() for line in conventions_table(NETWORK, NONE).splitlines()[2:]]
    assert [row[0] for row in rows] == list(CONVENTIONS)
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["macs"] == ["1.5", "G", "1.000", "2", "M"]
    # 2 for a convolution's multiply-add, 1 for a linear layer's; params without biases.
    assert by_name["paddleclas-series"] == ["2.500", "G", "1.667", "1.990", "M"]
    assert by_name["bertmoons"] == ["3000", "M", "2.000", "2.0", "M"]
    assert by_name["bianco2018"] == ["1", "G", "0.667", "2", "M"]


def test_dict() -> None:
    document: Any = conventions_dict(NETWORK, NONE)
    series = document["conventions"]["paddleclas-series"]
    assert (series["operations"], series["params"]) == (2_500_000_000, 1_990_000)
    assert series["printed_operations"] == "2.500 G"


def test_list_has_every_convention_and_its_formula() -> None:
    text = " ".join(conventions_list().split())
    for name, convention in CONVENTIONS.items():
        assert name in text
        assert convention.formula in text
