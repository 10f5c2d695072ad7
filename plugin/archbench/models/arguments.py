"""What is said of arguments that a constructor, or what it passes them on to, does not take."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from types import FrameType, ModuleType
from typing import Any

from archbench.core.errors import ArchitectureError, first_line
from archbench.core.requests import arguments_text
from archbench.core.spec import ModelSpec

_REFUSED = re.compile(r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'")
_REMEDY = "Name arguments that it has"


def check_arguments(spec: ModelSpec, constructor: Any, kwargs: Mapping[str, Any]) -> None:
    """Say what is wrong with the arguments before the constructor is called with them.

    Raises:
        ArchitectureError: it does not take them, or needs others.
    """
    try:
        signature = inspect.signature(constructor)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        needed = [
            name
            for name, value in signature.parameters.items()
            if value.default is value.empty
            and value.kind in (value.POSITIONAL_OR_KEYWORD, value.KEYWORD_ONLY)
            and name not in kwargs
        ]
        takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
        unknown = [] if takes_any else [one for one in kwargs if one not in signature.parameters]
        known = {one: value for one, value in kwargs.items() if one not in unknown}
        shown = arguments_text({**known, **dict.fromkeys(needed, "...")}).replace('"', "")
        without = f", and not {', '.join(unknown)}" if unknown else ""
        name = getattr(constructor, "__name__", spec.name)
        remedy = (
            f"Give what it needs: {name}{shown}{without}; where that is no literal, write a "
            "function without arguments that returns the network"
            if needed
            else _REMEDY
        )
        raise ArchitectureError(
            f"{spec.id} cannot be built: {error} of {name}{_text(signature)}. {remedy}"
        ) from None


def _text(signature: inspect.Signature) -> str:
    text = str(signature)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def refused_argument(error: BaseException, given: Collection[str]) -> str | None:
    """What is said where a constructor passed an argument on to what does not take it.

    Args:
        error: that the constructor raised.
        given: names of the arguments that a person gave.

    Returns:
        What refused it, and the nearest argument of all that had a part; None of another error.
    """
    found = _REFUSED.match(first_line(error)) if isinstance(error, TypeError) else None
    if found is None or found[2] not in given:
        return None
    function, name = found.groups()
    frames = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if not str(frame.f_globals.get("__name__")).startswith("archbench.models.")
    ]
    refusing = next(_signatures(function or "", frames[::-1]), None)
    names = {one: None for frame in frames for one in _named(frame)}
    if refusing is not None:
        names |= dict.fromkeys(refusing.parameters)
    nearest = get_close_matches(name, [one for one in names if one != name], n=1, cutoff=0.7)
    if refusing is None and not nearest:
        return None
    short = (function or "").rpartition("<locals>.")[2].removesuffix(".__init__")
    of = f" of {short}{'' if refusing is None else _text(refusing)}" if short else ""
    which = f"; the nearest is {nearest[0]}" if nearest else ""
    return f"got an unexpected keyword argument {name!r}{of}. {_REMEDY}{which}"


def _named(frame: FrameType) -> tuple[str, ...]:
    """The parameters of a function that runs, without those that take the rest."""
    code = frame.f_code
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _signatures(function: str, frames: list[FrameType]) -> Iterator[inspect.Signature]:
    """Those that may be of a function by its qualified name, as the frames that call it see it."""
    first, *rest = function.rpartition("<locals>.")[2].removesuffix(".__init__").split(".")
    for frame in frames:
        modules = [one for one in frame.f_globals.values() if isinstance(one, ModuleType)]
        for place in (frame.f_locals, frame.f_globals, *map(vars, modules)):
            found = place.get(first)
            for name in rest:
                found = getattr(found, name, None)
            try:
                signature = inspect.signature(found)  # type: ignore[arg-type]
            except (TypeError, ValueError):
                continue
            if any(one.kind is not one.VAR_KEYWORD for one in signature.parameters.values()):
                yield signature
