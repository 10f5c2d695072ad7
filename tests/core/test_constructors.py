"""What is known of a constructor that has not been called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archbench import ModelSpec
from archbench.core.constructors import is_alike, is_same_constructor, place_of


def net(width: int = 1, depth: int = 1) -> tuple[int, int]:
    return width, depth


class Net:
    def __init__(self, width: int) -> None:
        self.width = width


def made(width: int) -> Callable[[], Any]:
    return lambda: net(width)


@pytest.mark.parametrize(
    ("constructor", "kwargs", "id"),
    [
        (net, {}, "local/net"),
        (net, {"width": 4}, "local/net(width=4)"),
        (functools.partial(net, 4), {}, "local/net(width=4)"),
        (functools.partial(net, 4), {"depth": 2}, "local/net(depth=2,width=4)"),
        (functools.partial(Net, width=4), {}, "local/Net(width=4)"),
        (functools.partial(functools.partial(net, 4), depth=2), {}, "local/net(depth=2,width=4)"),
        (lambda: net(4), {}, "local/lambda"),
    ],
)
def test_arguments_are_part_of_the_name(constructor: Any, kwargs: dict[str, Any], id: str) -> None:
    assert ModelSpec.of(constructor, kwargs=kwargs).id == id


def test_a_name_that_is_given_is_the_name() -> None:
    assert ModelSpec.of(net, name="mine", kwargs={"width": 4}).id == "local/mine"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (net, net, True),
        (made(4), made(4), True),
        (made(4), made(64), False),
        (lambda: net(4), lambda: net(64), False),
        (functools.partial(net, 4), functools.partial(net, 4), True),
        (functools.partial(net, 4), functools.partial(net, 64), False),
        (net, Net, False),
    ],
)
def test_constructors_that_build_the_same(one: Any, other: Any, same: bool) -> None:
    assert is_same_constructor(one, other) is same
    specs = [ModelSpec.of(constructor, name="net") for constructor in (one, other)]
    assert specs[0].is_same_network(specs[1]) is same


def test_the_place_of_a_constructor() -> None:
    line = net.__code__.co_firstlineno
    assert place_of(functools.partial(net, 4)) == f"{Path(__file__)}:{line}"
    assert place_of(Net).startswith(f"{Path(__file__)}:")
    assert place_of(len) == "builtins.len"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0.0, -0.0, False),
        ([1, (2,)], [1, (2,)], True),
        ([1, (2,)], [1, (2.0,)], False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        (float("nan"), float("nan"), True),
    ],
)
def test_values_that_a_constructor_could_tell_apart(one: Any, other: Any, same: bool) -> None:
    specs = [ModelSpec.of(net, name="net", kwargs={"width": value}) for value in (one, other)]
    assert is_alike(one, other) is same
    assert (specs[0] == specs[1]) is same
    assert specs[0].is_same_network(specs[1]) is same
    assert hash(specs[0]) == hash(specs[1])
