"""Architectures, tolerances and budgets from ``pyproject.toml`` or ``archbench.toml``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from archbench.core.budgets import Budget, parse_budget_limit
from archbench.core.errors import UsageError
from archbench.core.selectors import Selector, refuse_unknown
from archbench.core.tolerances import (
    PAIRED_KEYS,
    PAIRED_REPORTS,
    Override,
    PairedOverride,
    Rules,
    first_repeated,
    parse_override,
    parse_paired,
)
from archbench.store.atomic import regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SELECTOR = ("architecture", "device", "dtype")
_LISTS = ("tolerance", "budget", "paired", "models")


class _Table(TypedDict, total=False):
    """The outermost table."""

    preset: str
    models: list[str]
    store: str
    tolerance: list[object]
    budget: list[object]
    paired: list[object]


class _Entry(TypedDict, total=False):
    """An entry of any of the arrays; which keys each may have :data:`_TYPES` says."""

    architecture: str
    device: str
    dtype: str
    metric: str
    relative: str
    confidence: float
    absolute: str
    limit: str
    batch_size: int
    threads: int
    clock: str


_TYPES: dict[str, dict[str, type]] = {
    "": {**dict.fromkeys(("preset", "store"), str), **dict.fromkeys(_LISTS, list)},
    "tolerance": {
        "metric": str,
        **dict.fromkeys(_SELECTOR, str),
        "relative": str,
        "confidence": float,
        "absolute": str,
    },
    "paired": {
        **dict.fromkeys(_SELECTOR, str),
        "clock": str,
        "tolerated_change": str,
        "equivalence_margin": str,
        "alpha": float,
        "beta": float,
        "rounds": int,
        "process_runs": int,
        "most_process_runs": int,
        **dict.fromkeys(PAIRED_REPORTS, str),
    },
    "budget": {
        "limit": str,
        **dict.fromkeys(_SELECTOR, str),
        "batch_size": int,
        "threads": int,
    },
}
"""For each table its keys, with the type of their values; the outermost has no name."""

_TYPE_NAMES = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}

_EXAMPLES = {
    "models": '["net.py:my_net"]',
    "store": '"s3://bucket/archbench"',
    "preset": '"default"',
    "metric": '"latency"',
    "architecture": '"timm/resnet*"',
    "device": '"cpu*"',
    "dtype": '"fp32"',
    "relative": '"5 %"',
    "confidence": "0.999",
    "absolute": '"16 MiB"',
    "limit": '"latency_p95 <= 10 ms"',
    "batch_size": "1",
    "threads": "1",
    "clock": '"cpu"',
    "tolerated_change": '"1 %"',
    "equivalence_margin": '"3.5 %"',
    "alpha": "1e-5",
    "beta": "1e-3",
    "rounds": "6",
    "process_runs": "4",
    "most_process_runs": "8",
    **dict.fromkeys(PAIRED_REPORTS, '"report"'),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a project asks for.

    Attributes:
        rules: the tolerances.
        budgets: the absolute limits, in their order.
        path: the file that they stand in; None where there are none.
        models: the architectures that a run is about which names none, as ``--models`` has them.
        store: URL of the store that the team shares; empty where there is none.
    """

    rules: Rules = field(default_factory=Rules)
    budgets: tuple[Budget, ...] = ()
    path: Path | None = None
    models: tuple[str, ...] = ()
    store: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    prefix: str
    """What stands before the names of our tables."""

    def header(self, name: str) -> str:
        """``[[tool.archbench.budget]]``."""
        return f"[[{self.prefix}{name}]]"

    def refuse(self, place: str, error: UsageError) -> UsageError:
        """The same refusal, with where it stands."""
        return UsageError(f"{self.path}{place}: {error.asked}", error.found, error.todo)


def read_configuration(root: Path) -> Configuration:
    """Read what a project asks for.

    They stand in ``[tool.archbench]`` of ``pyproject.toml``, or at the top level of
    ``archbench.toml``; a project without either has the preset ``default`` and no budgets.

    Raises:
        UsageError: a file that cannot be read, rules in both files, an unknown key, metric or
            preset, a value that makes no sense: names file and entry, what stands there, and what
            to write instead.
    """
    pyproject = _File(root / "pyproject.toml", "tool.archbench.")
    own = _File(root / "archbench.toml", "")
    tool = read_toml(pyproject.path).get("tool", {})
    project_rules = tool.get("archbench", {}) if isinstance(tool, dict) else {}
    own_rules = read_toml(own.path)
    if project_rules and own_rules:
        raise UsageError(
            f"{own.path} and [tool.archbench] of {pyproject.path}",
            "both hold rules",
            "Keep them in one of the two",
        )
    if own_rules:
        return _configuration(own, own_rules)
    if project_rules:
        return _configuration(pyproject, project_rules)
    return Configuration()


def added_models(old: str, models: Sequence[str]) -> str | None:
    """What makes a run be about some architectures, at the end of the text of ``pyproject.toml``.

    None where nothing at its end does: the table is there already, or ``tool`` is closed.

    Args:
        old: the text.
        models: as ``--models`` has them.
    """
    end = "\r\n" if "\r\n" in old else "\n"
    before = "" if not old else end if old.endswith("\n") else end * 2
    listed = ", ".join(json.dumps(one, ensure_ascii=False) for one in models)
    added = f"{before}[tool.archbench]{end}models = [{listed}]{end}"
    try:
        table = tomllib.loads(old + added)["tool"]["archbench"]
    except (ValueError, TypeError):
        return None
    return added if table["models"] == list(models) else None


def read_toml(path: Path) -> dict[str, object]:
    """A file of TOML; empty where there is none.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        return dict(tomllib.loads(regular(path).read_bytes().decode("utf-8")))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(
            str(path), f"it cannot be read ({error.strerror})", "Make it a readable file"
        ) from error
    except ValueError as error:
        # Both a broken encoding and broken TOML.
        raise UsageError(str(path), f"it is not TOML: {error}", "Correct it there") from error


def _configuration(file: _File, content: Any) -> Configuration:
    table: _Table = _checked(file, "", "", content)
    overrides = []
    for place, entry in _entries(file, "tolerance", table.get("tolerance", [])):
        overrides.append(_override(file, place, entry))
    repeated = first_repeated(overrides)
    if repeated is not None:
        earlier, later = (place + 1 for place in repeated)
        raise UsageError(
            f"{file.path}, tolerance {later}",
            f"tolerance {earlier} gives the same value for the same metric and cells",
            "Delete one of them",
        )
    budgets = [
        _budget(file, place, entry)
        for place, entry in _entries(file, "budget", table.get("budget", []))
    ]
    paired = [
        _paired(file, place, entry)
        for place, entry in _entries(file, "paired", table.get("paired", []))
    ]
    _refuse_repeated_paired(file, paired)
    try:
        rules = Rules(table.get("preset", "default"), tuple(overrides), tuple(paired))
    except UsageError as error:
        raise file.refuse("", error) from None
    store = table.get("store", "")
    return Configuration(rules, tuple(budgets), file.path, _models(file, table), store)


def _models(file: _File, table: _Table) -> tuple[str, ...]:
    found = table.get("models", [])
    if "models" in table and not found:
        raise UsageError(
            f"{file.path}: models",
            "it is empty, and without it the seed suite is measured",
            f"Write for example models = {_EXAMPLES['models']}, or leave it out",
        )
    for one in found:
        if not isinstance(one, str) or not one.strip(" ,"):
            shown = "an empty text" if isinstance(one, str) else _named(one)
            raise UsageError(
                f"{file.path}: models",
                f"texts are expected in it, found {shown}",
                f"Write for example models = {_EXAMPLES['models']}",
            )
    return tuple(found)


def _entries(file: _File, name: str, entries: Sequence[object]) -> Iterable[tuple[str, _Entry]]:
    """Each entry of an array of tables, checked, with its place: ``, budget 2``."""
    for number, entry in enumerate(entries, 1):
        place = f", {name} {number}"
        yield place, _checked(file, name, place, entry)


def _checked(file: _File, name: str, place: str, content: Any) -> Any:
    """A table whose keys are known and whose values have the right types."""
    where = f"{file.path}{place}"
    if not isinstance(content, dict):
        header = file.header(name) if name else f"[{file.prefix.rstrip('.')}]"
        raise UsageError(where, f"a table is expected, found {_named(content)}", f"Write {header}")
    types = _TYPES[name]
    for key, value in content.items():
        if key == "tool" and not name:
            raise UsageError(
                f"{where}: [tool]",
                "the rules of archbench.toml stand at its top level",
                "Leave 'tool.archbench' out of the names of its tables",
            )
        refuse_unknown(f"{where}: {key}", key, types, "key")
        _check_type(file, where, key, value, types[key])
    return content


def _check_type(file: _File, where: str, key: str, value: Any, expected: type) -> None:
    # In TOML as here true is no number, and a whole number is one.
    is_number = expected is float and type(value) is int
    if type(value) is expected or is_number:
        if expected is int and value < 1:
            raise UsageError(f"{where}: {key} = {value}", "it is at least 1", f"Write {key} = 1")
        return
    found = f"{_TYPE_NAMES[expected]} is expected, found {_named(value)}"
    if expected is list and key != "models":
        todo = f"Write the header of each entry as {file.header(key)}"
    else:
        todo = f"Write for example {key} = {_EXAMPLES[key]}"
    raise UsageError(f"{where}: {_shown(key, value)}", found, todo)


def _shown(key: str, value: Any) -> str:
    """A scalar as TOML has it; a table or an array is too long to show."""
    if isinstance(value, (dict, list)):
        return key
    return f"{key} = {value!r}" if isinstance(value, str) else f"{key} = {value}".lower()


def _named(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "a date or time")


def _required(file: _File, place: str, entry: _Entry, key: Literal["metric", "limit"]) -> str:
    if key not in entry:
        raise UsageError(
            f"{file.path}{place}", f"it has no {key}", f"Add for example {key} = {_EXAMPLES[key]}"
        )
    return str(entry[key])


def _selector(entry: _Entry) -> Selector:
    usual = Selector()
    return Selector(
        entry.get("architecture", usual.architecture),
        entry.get("device", usual.device),
        entry.get("dtype", usual.dtype),
    )


def _override(file: _File, place: str, entry: _Entry) -> Override:
    metric = _required(file, place, entry, "metric")
    try:
        return parse_override(
            metric,
            _selector(entry),
            relative=entry.get("relative"),
            confidence=entry.get("confidence"),
            absolute=entry.get("absolute"),
        )
    except UsageError as error:
        raise file.refuse(place, error) from None


def _paired(file: _File, place: str, entry: _Entry) -> PairedOverride:
    known = (*PAIRED_KEYS, *PAIRED_REPORTS)
    stated = cast("dict[str, str | float]", entry)
    given = {key: stated[key] for key in known if key in stated}
    try:
        return parse_paired(_selector(entry), entry.get("clock"), given)
    except UsageError as error:
        raise file.refuse(place, error) from None


def _refuse_repeated_paired(file: _File, paired: Iterable[PairedOverride]) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for number, one in enumerate(paired, 1):
        for name in one.given:
            earlier = seen.setdefault((one.selector, one.clock, name), number)
            if earlier != number:
                raise UsageError(
                    f"{file.path}, paired {number}",
                    f"paired {earlier} gives the same value for the same clock and cells",
                    "Delete one of them",
                )


def _budget(file: _File, place: str, entry: _Entry) -> Budget:
    text = _required(file, place, entry, "limit")
    try:
        limit = parse_budget_limit(text)
    except UsageError as error:
        raise UsageError(f"{file.path}{place}: limit = {text!r}", error.found, error.todo) from None
    try:
        return Budget(
            limit,
            _selector(entry),
            entry.get("batch_size"),
            entry.get("threads"),
            f"{file.path.name}{place}",
        )
    except UsageError as error:
        raise file.refuse(place, error) from None
