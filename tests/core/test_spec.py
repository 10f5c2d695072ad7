"""Names of models and targets."""

from __future__ import annotations

from typing import Any, cast

import pytest

from archbench import ModelSpec, Target
from archbench.core.errors import UsageError
from archbench.core.records import Record, target_key
from archbench.core.run_config import RunConfig


def my_net() -> None:
    """Stands for a constructor."""


def test_id() -> None:
    assert ModelSpec("timm", "resnet50").id == "timm/resnet50"


def test_another_size_is_part_of_the_id() -> None:
    spec = ModelSpec("timm", "resnet50").with_input_size(192)
    assert spec.id == "timm/resnet50@192"
    assert spec.input_size == (3, 192, 192)


def test_the_librarys_own_size_is_not_part_of_the_id() -> None:
    assert ModelSpec("timm", "resnet50").with_input_size(224).id == "timm/resnet50"


def test_of_takes_the_constructors_name() -> None:
    spec = ModelSpec.of(my_net, input_size=160, kwargs={"width": 2})
    assert spec.id == "local/my_net(width=2)"
    assert spec.input_size == (3, 160, 160)
    assert spec.kwargs == (("width", 2),)
    assert ModelSpec.of(my_net, name="other", input_size=(1, 28, 28)).id == "local/other"


@pytest.mark.parametrize("name", ["", " ", "a b", "a\nb", "a@64", "a*", "a/b", "a,b", "[a]"])
def test_a_name_that_cannot_be_selected_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Use letters, digits"):
        ModelSpec.of(my_net, name=name)


@pytest.mark.parametrize("size", [0, -1, 3.5, "32", (), (0, 32, 32), None, True])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(UsageError, match=r"Write input_size=160 or input_size=\(1, 28, 28\)"):
        ModelSpec.of(my_net, input_size=size)


def test_arguments_without_names_are_refused() -> None:
    with pytest.raises(UsageError, match="go by name"):
        ModelSpec.of(my_net, kwargs=cast(Any, [1]))


def test_target_names() -> None:
    target = Target("cuda:1", "Tesla V100-SXM2-16GB", "v100", dtype="fp16", batch_size=8)
    assert target.kind == "cuda"
    assert target.suffix == "fp16-b8"
    assert target.key == "v100/fp16-b8"
    assert Target("cpu", "x", "cpu-x", threads=2).suffix == "fp32-b1-t2"


def test_a_target_has_the_suffix_of_its_run_configuration() -> None:
    target = Target(
        "cuda:0", "Tesla V100", "v100", dtype="fp16", batch_size=37, memory_format="nhwc",
        runtime="cudagraph", largest_batch=True, asked="v100",
    )  # fmt: skip
    config = RunConfig(
        dtype="fp16", batch_size=None, largest_batch=True, memory_format="nhwc",
        runtime="cudagraph", asked="v100",
    )  # fmt: skip
    assert target.config == config
    assert Target("cpu", "x", "x", batch_size=4, cold_cache=True).config == RunConfig(
        batch_size=4, cold_cache=True
    )
    assert target.key == "v100/fp16-bmax-nhwc-cudagraph"
    assert target_key(target) == target.key
    assert Record("timm/a", target).test_suffix == "fp16-bmax-nhwc-cudagraph@v100"
