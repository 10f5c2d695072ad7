"""The JSON form of values: written and read in one place, by their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What JSON has a form for."""

_Value = TypeVar("_Value")
_Own = TypeVar("_Own", bound="Stored")


class Stored:
    """A dataclass with a JSON form, whose keys are its fields."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Its JSON form, in builtin types exactly: a worker's report carries nothing else.

        Raises:
            TypeError: it holds what JSON has no form for.
        """
        return dict(form_of(self))

    @classmethod
    def from_dict(cls: type[_Own], data: object) -> _Own:
        """The inverse of :meth:`as_dict`; a field that older versions did not write has its
        default, and keys that are no fields are passed over.

        Raises:
            ValueError: a field is missing or of another type; says which.
        """
        return value_of(cls, data)


def form_of(value: object) -> Any:
    """The JSON form of a value that holds dataclasses, in builtin types exactly."""
    return _with_lists(msgspec.to_builtins(value, enc_hook=builtin))


def value_of(kind: type[_Value], data: object) -> _Value:
    """A value of a type from its JSON form.

    Raises:
        ValueError: a field is missing or of another type; says which.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def builtin(value: Any) -> Any:
    """The builtin form of a numpy scalar or of a subclass of a number or a text.

    A subclass of float in a report makes a worker drop it.
    """
    if hasattr(value, "item"):
        return value.item()
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"a record holds numbers, text, lists and tables, got {type(value).__name__}")


def _with_lists(form: Any) -> Any:
    if isinstance(form, dict):
        return {key: _with_lists(value) for key, value in form.items()}
    if isinstance(form, (list, tuple)):
        return [_with_lists(value) for value in form]
    return form
