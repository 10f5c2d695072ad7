"""Requests in a word: names, arguments that are literals, sizes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archbench.core.errors import UsageError
from archbench.core.requests import (
    arguments_text,
    parse_request,
    parse_size,
    size_text,
    split_requests,
)


@pytest.mark.parametrize(
    ("text", "name", "arguments", "size"),
    [
        ("timm/resnet50", "timm/resnet50", {}, ()),
        ("timm/resnet50@192", "timm/resnet50", {}, (192,)),
        ("net.py:net(width=0.5)@64x128", "net.py:net", {"width": 0.5}, (64, 128)),
        ("net.py:net()@1x28x28", "net.py:net", {}, (1, 28, 28)),
        ("a@b/net.py:net", "a@b/net.py:net", {}, ()),
        ("dir(1)/net.py:net(width=2)", "dir(1)/net.py:net", {"width": 2}, ()),
        ("net(x=[1,2],y=(1,),z={'k':-2})", "net", {"x": [1, 2], "y": (1,), "z": {"k": -2}}, ()),
        ("net(size=small, text='a@b (c)')@32", "net", {"size": "small", "text": "a@b (c)"}, (32,)),
        ("timm/resnet[12]*(in_chans=1)", "timm/resnet[12]*", {"in_chans": 1}, ()),
    ],
)  # fmt: skip
def test_a_request_is_taken_apart(
    text: str, name: str, arguments: dict[str, Any], size: tuple[int, ...]
) -> None:
    request = parse_request(text, text)
    assert (request.name, dict(request.arguments), request.size) == (name, arguments, size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("net(0.5)", "the argument 0.5 has no name. Name each argument: "),
        ("net(**x)", "the argument ** has no name"),
        ("net(width=", "a bracket of its arguments is open"),
        ("net(width=1)b@3", "a bracket of its arguments is open"),
        ("net(width=1 2)", "its arguments are not valid Python"),
        (
            "net(width=__import__('os').system('true'))",
            "the value of width is __import__('os').system('true'), and no expression is evaluated",
        ),
        ("net(width=2*3)", "the value of width is 2 * 3, and no expression is evaluated"),
        ("net(width={1})", "the value of width is {1}, and no expression is evaluated"),
        ("net(width=[b'x'])", "the value of width is [b'x'], and no expression is evaluated"),
        ("net(width=1, width=2)", "the argument width is given twice. Give it once"),
        ("net@", "'' is not a size in pixels. Write @192 for square images"),
        ("net@64x", "'64x' is not a size in pixels"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_request(text, f"--models={text}")
    assert str(caught.value).startswith(f"--models={text}: {message}")


LITERALS = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.lists(inner, max_size=3).map(tuple)
    | some.dictionaries(some.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


@given(some.dictionaries(some.from_regex(r"[a-z_]{1,6}", fullmatch=True), LITERALS, max_size=3))
def test_arguments_in_an_id_are_read_back(arguments: dict[str, Any]) -> None:
    arguments = {f"x{name}": value for name, value in arguments.items()}  # no keyword
    text = arguments_text(arguments)
    assert dict(parse_request(f"net{text}@32", "").arguments) == arguments
    # Pasted between single quotes it is the same in every shell.
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set("' ")


def test_arguments_come_in_the_order_of_their_names() -> None:
    assert arguments_text({"width": 0.5, "depth": 2, "name": "a b"}) == (
        r'(depth=2,name="a\u0020b",width=0.5)'
    )


def test_what_is_no_literal_is_reported_by_its_name() -> None:
    assert arguments_text({"norm": dict, "fn": print}) == "(fn=print,norm=dict)"


def test_requests_are_split_at_commas_outside_of_arguments() -> None:
    assert split_requests("a, b(x=(1,2),y='c,d'),[ef]*,,g@3x4") == [
        "a",
        "b(x=(1,2),y='c,d')",
        "[ef]*",
        "g@3x4",
    ]


@pytest.mark.parametrize(
    ("size", "channels", "text"),
    [
        ((3, 96, 96), 3, "96"),
        ((3, 64, 128), 3, "64x128"),
        ((1, 28, 28), 3, "1x28x28"),
        ((1, 28, 28), 1, "28"),
        ((3, 8, 64, 64), 3, "3x8x64x64"),
        ((16, 100), 16, "16x100"),
    ],
)
def test_sizes(size: tuple[int, ...], channels: int, text: str) -> None:
    assert size_text(size, channels) == text
    assert all(side in size for side in parse_size(text, ""))
