"""Which cells are expected, and when each has ended."""

from __future__ import annotations

import pytest

from archbench.pytest_plugin.manifest import Manifest, cell_of

COUNT = "b/test_complexity.py::test_complexity[timm/a]"
ONE = "b/test_latency.py::test_latency[timm/a-fp32-b1]"
FOUR = "b/test_latency.py::test_latency[timm/a-bf16-b4-t2]"


@pytest.mark.parametrize(
    ("nodeid", "cell"),
    [
        (COUNT, ("timm/a", "")),
        (ONE, ("timm/a", "fp32-b1")),
        (FOUR, ("timm/a", "bf16-b4-t2")),
        ("t.py::t[local/s\\xfc\\xdf-fp32-b1]", ("local/süß", "fp32-b1")),
        ("t.py::t[local/my-net-fp32-b1-b-c]", ("local/my-net", "fp32-b1")),
        ("t.py::t[a-local/my-net-fp32-b1]", ("local/my-net", "fp32-b1")),
        ("t.py::t[local/my-net]", ("local/my-net", "")),
        ("t.py::t[timm/a@192-fp16-b8]", ("timm/a@192", "fp16-b8")),
        ("t.py::t[local/my-net-fp32-b1]", ("local/my-net", "fp32-b1")),
        ("t.py::t[timm/a-amp-fp16-b1]", ("timm/a", "amp-fp16-b1")),
        (
            "t.py::t[timm/a@192-tf32-bmax-nhwc-cudagraph]",
            ("timm/a@192", "tf32-bmax-nhwc-cudagraph"),
        ),
        ("t.py::t[local/my-fp16-fp32-b1-cold@cuda:1]", ("local/my-fp16", "fp32-b1-cold@cuda:1")),
        ("t.py::t[timm/a-fp32-b1-t2@a100-40gb]", ("timm/a", "fp32-b1-t2@a100-40gb")),
        ("t.py::t[other]", None),
        ("t.py::t", None),
        ("t.py::t[a/b]", None),
    ],
)
def test_cell_of(nodeid: str, cell: tuple[str, str] | None) -> None:
    assert cell_of(nodeid) == cell


def test_a_count_belongs_to_every_cell_of_its_architecture() -> None:
    manifest = Manifest([COUNT, ONE, FOUR, "t.py::t"])
    assert manifest.cells == [("timm/a", "fp32-b1"), ("timm/a", "bf16-b4-t2")]
    assert manifest.finish(ONE) == []
    assert manifest.finish(COUNT) == [("timm/a", "fp32-b1")]
    assert manifest.missing() == [FOUR]
    assert manifest.finish(FOUR) == [("timm/a", "bf16-b4-t2")]
    assert manifest.finish(FOUR) == []
    assert manifest.done == 2
    assert manifest.missing() == []


def test_repetitions_are_of_one_test() -> None:
    counts = [f"t.py::t[local/a-{number}-3]" for number in (1, 2, 3)]
    times = [f"t.py::u[local/a-fp32-b1-{number}-3]" for number in (1, 2, 3)]
    manifest = Manifest([*counts, *times])
    assert manifest.cells == [("local/a", "fp32-b1")]
    assert {manifest.test_of(one) for one in counts} == {"t.py::t[local/a]"}
    assert {manifest.test_of(one) for one in times} == {"t.py::u[local/a-fp32-b1]"}
    ended = [manifest.finish(one) for one in (*counts, *times)]
    assert ended == [[], [], [], [], [], [("local/a", "fp32-b1")]]


@pytest.mark.parametrize("names", [["a-1-1"], ["a-1-3", "a-3-3"], ["a-0-2", "a-1-2"]])
def test_names_that_only_look_like_repetitions(names: list[str]) -> None:
    nodeids = [f"t.py::t[local/{name}]" for name in names]
    manifest = Manifest(nodeids)
    assert manifest.cells == [(f"local/{name}", "") for name in names]
    assert [manifest.test_of(one) for one in nodeids] == nodeids


def test_a_count_alone_is_a_cell() -> None:
    manifest = Manifest([COUNT])
    assert manifest.cells == [("timm/a", "")]
    assert manifest.finish(COUNT) == [("timm/a", "")]


def test_tests_of_others_are_no_cells() -> None:
    manifest = Manifest(["t.py::t"])
    assert len(manifest) == 0
    assert manifest.finish("t.py::t") == []


ACCURACY = "b/test_accuracy.py::test_accuracy[timm/a-fp32-bauto]"


def test_an_accuracy_belongs_to_every_cell_of_its_precision() -> None:
    assert cell_of(ACCURACY) == ("timm/a", "fp32-bauto")
    two = ONE.replace("-b1", "-b2")
    manifest = Manifest([ACCURACY, COUNT, ONE, two, FOUR])
    assert manifest.cells == [
        ("timm/a", "fp32-b1"), ("timm/a", "fp32-b2"), ("timm/a", "bf16-b4-t2")
    ]  # fmt: skip
    assert manifest.finish(ONE) == manifest.finish(COUNT) == []
    assert manifest.finish(ACCURACY) == [("timm/a", "fp32-b1")]
    assert manifest.finish(FOUR) == [("timm/a", "bf16-b4-t2")]


def test_an_accuracy_belongs_to_the_cells_of_its_runtime() -> None:
    through, timed = (
        ACCURACY.replace("-bauto", "-bauto-openvino"),
        ONE.replace("-b1", "-b1-openvino"),
    )
    manifest = Manifest([ACCURACY, through, ONE, timed])
    assert manifest.cells == [("timm/a", "fp32-b1"), ("timm/a", "fp32-b1-openvino")]
    assert manifest.finish(ONE) == manifest.finish(timed) == []
    assert manifest.finish(through) == [("timm/a", "fp32-b1-openvino")]
    assert manifest.finish(ACCURACY) == [("timm/a", "fp32-b1")]


def test_an_accuracy_alone_is_a_cell() -> None:
    manifest = Manifest([ACCURACY, COUNT, FOUR])
    assert manifest.cells == [("timm/a", "fp32-bauto"), ("timm/a", "bf16-b4-t2")]
    assert manifest.finish(ACCURACY) == []
    assert manifest.finish(COUNT) == [("timm/a", "fp32-bauto")]
