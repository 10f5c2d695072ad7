"""How an architecture is asked for in a word: ``net(width=0.5)@64x128``.

Arguments are literals. They are parsed, never evaluated: a request cannot run anything.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from archbench.core.errors import UsageError

Arguments = tuple[tuple[str, Any], ...]

_EXAMPLE = "net(width=0.5,pretrained=False)"
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_BARE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""A string that stands in an id without quotes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One architecture, or several by a glob, as a person asks for it.

    Attributes:
        name: what stands before arguments and size: an id, a glob, ``file.py:net``.
        arguments: of the constructor, by name and sorted; empty for none.
        size: channels and sides of an image as far as they were said: ``(96,)``, ``(64, 128)``,
            ``(1, 28, 28)``; empty for the architecture's own.
    """

    name: str
    arguments: Arguments = ()
    size: tuple[int, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether nothing but a name was said."""
        return not self.arguments and not self.size


def split_requests(text: str) -> list[str]:
    """The requests in a text that separates them by commas; those in brackets and quotes belong to
    a request: ``a(x=(1,2)),b`` is two."""
    parts, start, closing, quote = [], 0, list[str](), ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif closing and letter in "\"'":
            quote = letter
        elif letter in _BRACKETS and (closing or letter == "("):
            # A bracket of a glob is outside of arguments.
            closing.append(_BRACKETS[letter])
        elif closing and letter == closing[-1]:
            closing.pop()
        elif letter == "," and not closing:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return [part for part in map(str.strip, parts) if part]


def parse_request(text: str, asked: str) -> Request:
    """Take a request apart.

    Args:
        text: the request.
        asked: how it was typed, for messages: ``--models=net.py:net@96``.

    Raises:
        UsageError: arguments that are no literals or have no names, or a size that is none.
    """
    name, at, size = text.strip().rpartition("@")
    if not at or set(size) & set("/\\:()"):
        name, at = text.strip(), ""  # a sign in a path or in an argument asks for no size
    sides = parse_size(size, asked) if at else ()
    name, arguments = _without_arguments(name, asked)
    return Request(name, arguments, sides)


def _without_arguments(text: str, asked: str) -> tuple[str, Arguments]:
    """A name, and the arguments in brackets behind it."""
    last = max(text.rfind("/"), text.rfind("\\"), text.rfind(":"))
    if not text.endswith(")"):
        if "(" in text[last + 1 :]:
            raise UsageError(asked, "a bracket of its arguments is open", f"Write {_EXAMPLE}")
        return text, ()
    # Brackets in the names of directories are no arguments: what follows them is not a call alone.
    openings = [match.end() - 1 for match in re.finditer(r"[\w*?\]]\(", text)]
    for place in openings:
        try:
            call = ast.parse(f"_{text[place:]}", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            return text[:place], _arguments_of(call, asked)
    raise UsageError(asked, "its arguments are not valid Python", f"Write {_EXAMPLE}")


def parse_size(text: str, asked: str) -> tuple[int, ...]:
    """Sides of an image: ``96``, ``64x128`` (height, width), ``1x28x28`` (channels first).

    Raises:
        UsageError: the text is no size.
    """
    parts = text.strip().split("x")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(
            asked,
            f"{text!r} is not a size in pixels",
            "Write @192 for square images, @64x128 for height and width, @1x28x28 with channels",
        )
    return tuple(int(part) for part in parts)


def _arguments_of(call: ast.Call, asked: str) -> Arguments:
    """Arguments by name, sorted. A bare word is a string: ``(variant=small)``."""
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        first = ast.unparse(call.args[0]) if call.args else "**"
        raise UsageError(
            asked, f"the argument {first} has no name", f"Name each argument: {_EXAMPLE}"
        )
    names = [str(word.arg) for word in call.keywords]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(asked, f"the argument {name} is given twice", "Give it once")
    found = [(str(word.arg), _literal(word.value, str(word.arg), asked)) for word in call.keywords]
    return tuple(sorted(found, key=lambda pair: pair[0]))


class _WordsAsStrings(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(node.id), node)


def _literal(node: ast.expr, name: str, asked: str) -> Any:
    text = ast.unparse(node)
    try:
        value = ast.literal_eval(_WordsAsStrings().visit(node))
        if not _is_plain(value):
            raise ValueError(value)
        return value
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise UsageError(
            asked,
            f"the value of {name} is {text}, and no expression is evaluated",
            "Give a number, a string, True, False, None, or a list, a tuple or a dictionary of "
            "these; for anything else write a function without arguments",
        ) from None


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(one) for item in value.items() for one in item)
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, complex, str)) or value is None


def arguments_text(arguments: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> str:
    """The part of an id that names arguments: ``(pretrained=False,width=0.5)``; empty for none.

    Without spaces and single quotes, so that an id in single quotes can be pasted into any shell.
    """
    pairs = dict(arguments)
    if not pairs:
        return ""
    return f"({','.join(f'{name}={_value_text(pairs[name])}' for name in sorted(pairs))})"


def _value_text(value: Any) -> str:
    if isinstance(value, str):
        is_bare = _BARE.fullmatch(value) and not keyword.iskeyword(value)
        return value if is_bare else f'"{"".join(map(_letter, value))}"'
    if isinstance(value, list):
        return f"[{','.join(map(_value_text, value))}]"
    if isinstance(value, tuple):
        only = "," if len(value) == 1 else ""
        return f"({','.join(map(_value_text, value))}{only})"
    if isinstance(value, Mapping):
        entries = (f"{_value_text(key)}:{_value_text(item)}" for key, item in value.items())
        return f"{{{','.join(entries)}}}"
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    # Not a literal: it cannot be typed, but it tells one from another.
    return str(getattr(value, "__qualname__", None) or type(value).__qualname__)


def _letter(letter: str) -> str:
    """A letter of a string in quotes; one that a shell, pytest or a glob takes for a sign of its
    own is written as its number."""
    is_plain = letter.isascii() and letter.isprintable() and letter not in "\"' \\[]*?$`!"
    return (
        letter
        if is_plain
        else f"\\u{ord(letter):04x}"
        if ord(letter) < 65536
        else (f"\\U{ord(letter):08x}")
    )


def size_text(size: tuple[int, ...], channels: int) -> str:
    """What stands behind ``@`` in an id: ``96``, ``64x128``, ``1x28x28``.

    Args:
        size: channels and sides of an image.
        channels: that need not be said, being the architecture's own.
    """
    first, *sides = size
    if first == channels and len(sides) == 2:
        height, width = sides
        return str(height) if height == width else f"{height}x{width}"
    return "x".join(map(str, size))
