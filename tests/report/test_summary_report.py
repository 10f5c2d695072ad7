"""A summary made by hand as text, Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from archbench.core.layer_table import LayerRow, LayerTable, UnlistedParameters
from archbench.core.summary import ModuleNode, ModuleTree, Summary
from archbench.report.summary import FORMATS, SCHEMA

TABLE = LayerTable(
    input_shape=(1, 3, 512, 512),
    batch_size=None,
    rows=(
        LayerRow(1, "stem", "Conv2d", ((1, 16, 256, 256),), 1000),
        LayerRow(2, "windows", "Attention", ((64, 49, 16), (1, 8)), 0, 500),
        LayerRow(3, "heads", "ModuleList", (), 2_000_000),
    ),
    unlisted=(
        UnlistedParameters("", "Net", 96, ("a", "b", "c", "d")),
        UnlistedParameters("aux.fc", "Linear", 10, ("aux.fc.weight",)),
    ),
    trainable_params=2_001_000,
    output_elements=2**20,
)
TREE = ModuleTree(
    convention="macs",
    counter="archbench",
    root=ModuleNode(
        "", "Net", "", 2_001_106, 4_000_000_000,
        children=(
            ModuleNode("stem", "Conv2d", "3, 16, bias=False", 1000, 1_000_000_000),
            ModuleNode("again", "Conv2d", "3, 16, bias=False", 0, 0, shared_with="stem"),
            ModuleNode("body", "Block", "two\nlines", 2_000_000, 3_000_000_000,
                children=(ModuleNode("body.0", "ReLU", "", 0, 0),)),
            ModuleNode("aux", "Head", "x", 10, 0, hidden_modules=4),
        ),
    ),
    total_params=2_001_106, total_macs=4_000_000_000, exact_macs=4_000_000_000,
)  # fmt: skip
BOTH = Summary("local/net", (3, 512, 512), TABLE, TREE)
LAYERS = replace(BOTH, tree=None)
MODULES = replace(BOTH, layers=None)


def test_the_layer_table() -> None:
    # 4 bytes a number: 3 MB of input, 1 Mi outputs twice, 2,001,106 parameters.
    assert FORMATS["text"](LAYERS).splitlines() == [
        "==> local/net, input 3x512x512",
        "----------------------------------------------------------------",
        "        Layer (type)               Output Shape         Param #",
        "================================================================",
        "            Conv2d-1         [-1, 16, 256, 256]           1,000",
        "         Attention-2      [64, 49, 16], [-1, 8]              0*",
        "        ModuleList-3                          -       2,000,000",
        "----------------------------------------------------------------",
        "Parameters in no row above:",
        "  Net: a, b, c, ...                                          96",
        "  aux.fc                                                     10",
        "================================================================",
        "Total params: 2,001,106",
        "Trainable params: 2,001,000",
        "Non-trainable params: 106",
        "----------------------------------------------------------------",
        "Input size (MB): 3.00",
        "Forward/backward pass size (MB): 8.00",
        "Params size (MB): 7.63",
        "Estimated Total Size (MB): 18.63",
        "----------------------------------------------------------------",
        "* has parameters that another row counts: it was called before, or shares them.",
    ]


def test_a_batch_size_that_was_asked_for_is_shown() -> None:
    asked = replace(TABLE, batch_size=1)
    text = FORMATS["text"](replace(LAYERS, layers=asked))
    assert "[1, 16, 256, 256]" in text
    assert "-1," not in text


def test_columns_grow_with_what_is_in_them() -> None:
    long = replace(TABLE.rows[0], type="ConvolutionWithAName", name="x" * 90)
    owner = UnlistedParameters("y" * 70, "Linear", 10, ())
    table = replace(TABLE, rows=(long, *TABLE.rows[1:]), unlisted=(owner,))
    lines = FORMATS["text"](replace(LAYERS, layers=table)).splitlines()
    assert lines[4] == "ConvolutionWithAName-1         [-1, 16, 256, 256]           1,000"
    assert len(lines[1]) == len(lines[2]) == len(lines[4]) == 65
    assert lines[9] == f"  {'y' * 70} 10"


def test_the_tree() -> None:
    assert FORMATS["text"](MODULES).splitlines() == [
        "==> local/net, input 3x512x512",
        "Net(",
        "  2.001 M, 100.000% Params, 4.0 GMac, 100.000% MACs,",
        "  (stem): Conv2d(0.001 M, 0.050% Params, 1.0 GMac, 25.000% MACs, 3, 16, bias=False)",
        "  (again): Conv2d(0.0 M, 0.000% Params, 0.0 GMac, 0.000% MACs, shared with stem, 3, 16, "
        "bias=False)",
        "  (body): Block(",
        "    2.0 M, 99.945% Params, 3.0 GMac, 75.000% MACs, two",
        "    lines",
        "    (0): ReLU(0.0 M, 0.000% Params, 0.0 GMac, 0.000% MACs, )",
        "  )",
        "  (aux): Head(0.0 M, 0.000% Params, 0.0 GMac, 0.000% MACs, ...)",
        ")",
        "Computational complexity: 4.0 GMac",
        "Number of parameters: 2.0 M",
        "Multiply-adds of one image, counted exactly: 4,000,000,000",
    ]


def test_the_convention_of_ptflops_is_explained() -> None:
    tree = replace(TREE, convention="ptflops", counter="ptflops 0.7.5", exact_macs=3_999_999_999)
    lines = FORMATS["text"](replace(MODULES, tree=tree)).splitlines()
    assert lines[-3:] == [
        "ptflops 0.7.5 also counts biases, batch normalisation, activations and pooling, "
        "and counts nothing",
        "outside the types of modules that it knows.",
        "Multiply-adds of one image, counted exactly: 3,999,999,999",
    ]
    # ptflops prints every place alike.
    assert not any("shared with" in line for line in lines)


def test_both_parts() -> None:
    text = FORMATS["text"](BOTH)
    layers, tree = FORMATS["text"](LAYERS), FORMATS["text"](MODULES).partition("\n")[2]
    assert text == f"{layers}\n\n{tree}"


def test_markdown() -> None:
    barred = replace(TABLE.rows[0], name="a|b")
    summary = replace(BOTH, layers=replace(TABLE, rows=(barred, *TABLE.rows[1:])))
    lines = FORMATS["markdown"](summary).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "## local/net, input 3x512x512", "### Layers", "### Modules"
    ]  # fmt: skip
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines if " | " in line]
    assert cells[1] == ["| 1", "Conv2d", r"a\|b", "[-1, 16, 256, 256]", "1,000 |"]
    assert cells[2][-1] == r"0\* |"
    assert cells[4] == ["|", "Net", "a, b, c, d", "-", "96 |"]
    assert cells[7] == ["| Net", "", "2.001 M", "100.000%", "4.0 GMac", "100.000% |"]
    assert cells[-1][:2] == ["| Head", "aux"]
    assert "- Params size (MB): 7.63" in lines
    assert (
        r"\* has parameters that another row counts: it was called before, or shares them." in lines
    )


def test_json() -> None:
    document = json.loads(FORMATS["json"](BOTH))
    assert document["schema"] == SCHEMA == 1
    assert (document["id"], document["input_size"]) == ("local/net", [3, 512, 512])
    layers = document["layers"]
    assert layers["input_shape"] == [1, 3, 512, 512]
    assert layers["forward_backward_bytes"] == 8 * 2**20
    assert layers["estimated_total_bytes"] == 3 * 2**20 + 8 * 2**20 + 4 * 2_001_106
    assert layers["rows"][1] == {
        "index": 2, "name": "windows", "type": "Attention",
        "output_shapes": [[64, 49, 16], [1, 8]], "params": 0, "params_elsewhere": 500,
    }  # fmt: skip
    assert layers["unlisted"][1] == {
        "name": "aux.fc", "type": "Linear", "params": 10, "parameters": ["aux.fc.weight"]
    }  # fmt: skip
    tree = document["tree"]
    assert {key: value for key, value in tree.items() if key != "root"} == {
        "convention": "macs", "counter": "archbench", "total_params": 2_001_106,
        "total_macs": 4_000_000_000, "exact_macs": 4_000_000_000,
    }  # fmt: skip
    stem, again, _, aux = tree["root"]["children"]
    assert stem == {
        "name": "stem", "type": "Conv2d", "details": "3, 16, bias=False", "params": 1000,
        "params_share": 1000 / 2_001_106, "macs": 10**9, "macs_share": 0.25, "children": [],
    }  # fmt: skip
    assert again["shared_with"] == "stem"
    assert aux["hidden_modules"] == 4


@pytest.mark.parametrize(("summary", "absent"), [(LAYERS, "tree"), (MODULES, "layers")])
def test_a_part_that_was_not_asked_for_is_absent(summary: Summary, absent: str) -> None:
    assert absent not in json.loads(FORMATS["json"](summary))


def test_a_network_without_parameters_has_shares_of_zero() -> None:
    root = ModuleNode("", "Net", "", 0, 0)
    tree = replace(TREE, root=root, total_params=0, total_macs=0, exact_macs=0)
    assert (
        json.loads(FORMATS["json"](replace(MODULES, tree=tree)))["tree"]["root"]["params_share"]
        == 0
    )


def read(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_of_the_layers() -> None:
    rows = read(FORMATS["csv"](LAYERS))
    assert rows[1] == {
        "index": "2", "name": "windows", "type": "Attention", "output_shape": "64x49x16;1x8",
        "output_elements": str(64 * 49 * 16 + 8), "params": "0", "params_elsewhere": "500",
    }  # fmt: skip
    assert rows[3] == {
        "index": "", "name": "", "type": "Net", "output_shape": "", "output_elements": "",
        "params": "96", "params_elsewhere": "",
    }  # fmt: skip
    assert sum(int(row["params"]) for row in rows) == TABLE.total_params


def test_csv_of_the_tree() -> None:
    rows = read(FORMATS["csv"](MODULES))
    assert rows[1] == {
        "name": "stem", "type": "Conv2d", "level": "1", "params": "1000",
        "params_share": str(1000 / 2_001_106), "macs_per_image": "1000000000", "macs_share": "0.25",
        "shared_with": "", "hidden_modules": "0", "details": "3, 16, bias=False",
    }  # fmt: skip
    assert [(row["name"], row["level"]) for row in rows[3:5]] == [("body", "1"), ("body.0", "2")]
    assert rows[3]["details"] == "two\nlines"


def test_csv_is_one_table() -> None:
    for summary in (BOTH, replace(LAYERS, layers=None)):
        with pytest.raises(ValueError, match="one part"):
            FORMATS["csv"](summary)
