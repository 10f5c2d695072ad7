"""Options become one frozen value, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from archbench.core.process_runs import LEAST_BASELINE
from archbench.core.run_config import Axis, RunConfig, add_value, axes
from archbench.core.shards import Shard
from archbench.devices.choosing import split_request
from archbench.metrics import measured_families
from archbench.pytest_plugin.declared import OPTIONS, QUICK_TIME_BUDGET, Settings
from archbench.pytest_plugin.options import destination, refusing
from archbench.pytest_plugin.output_files import refuse_one_for_two
from archbench.runtimes.registry import runtime_names
from archbench.store.directory import own_directory
from archbench.store.output_files import problem_of
from archbench.workers.references import Reference, parse_reference

__all__ = ["KINDS", "Settings", "settings_of"]

LARGEST = 2**31 - 1
"""Of a dimension in torch's kernels."""

_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed for one option.

    Attributes:
        name: of the option.
        texts: its values, each once; empty for none.
        here: the working directory.
        root: of the project.
    """

    name: str
    texts: tuple[str, ...]
    here: Path
    root: Path

    def refused(self, found: str, text: str | None = None) -> pytest.UsageError:
        """The error that says what was asked, what was found and what to do."""
        shown = ",".join(self.texts) if text is None else text
        return pytest.UsageError(f"--{self.name}={shown}: {found}")

    @property
    def several(self) -> str:
        """All values, with commas between; empty for none."""
        return ",".join(self.texts)

    @property
    def text(self) -> str:
        """The value, given once.

        Raises:
            pytest.UsageError: it is given several times.
        """
        if len(self.texts) > 1:
            raise pytest.UsageError(
                f"--{self.name} is given {len(self.texts)} times: {', '.join(self.texts)}. "
                "Give it once"
            )
        return self.texts[0]


def _whole_numbers(given: Given, parts: Sequence[str]) -> tuple[int, ...]:
    values: list[int] = []
    example = {"batch-size": "1,4,8", "accuracy-samples": "5000"}.get(given.name, "2")
    for part in parts:
        try:
            value = int(part)
        except ValueError:
            value = 0
        if value < 1:
            raise given.refused(
                f"{part.strip()!r} is not a whole number of at least 1. "
                f"Write for example --{given.name}={example}"
            )
        if value > LARGEST:
            raise given.refused(f"{value} is more than torch can count, {LARGEST}. Use less")
        values.append(value)
    return tuple(dict.fromkeys(values))


def _number(given: Given) -> int:
    values = _whole_numbers(given, given.text.split(","))
    if len(values) > 1:
        example = {"processes": 3, "accuracy-samples": 5000, "resize": 256, "crop": 224}[given.name]
        raise given.refused(f"one number is expected, for example --{given.name}={example}")
    return values[0]


def _seconds(given: Given) -> float:
    try:
        value = float(given.text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise given.refused(
            "not a number of seconds above 0. "
            f"Write for example --{given.name}=2, or use --quick for a glance"
        )
    return value


def _names(given: Given, noun: str, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in given.several.split(",")))
    for name in names:
        if name not in known:
            raise given.refused(
                f"{name!r} is not a {noun} that archbench knows. Use {', '.join(known)}"
            )
    return names


def _axis_values(axis: Axis, given: Given) -> tuple[Any, ...]:
    """The values of an axis in what was typed."""
    if axis.is_flag:
        return (bool(given.texts),)
    if not given.texts:
        return (axis.usual,)
    parts = (given.several if axis.several else given.text).split(",")
    if axis.values:
        known = runtime_names() if axis.name == "runtime" else axis.values
        names = _names(given, axis.noun or axis.option, known)
        for name in names:
            add_value(axis.name, name)
        return names
    if not axis.several and len(parts) > 1:
        raise given.refused("one number is expected. Run once for each")
    return tuple(
        dict.fromkeys(
            "max"
            if axis.name == "batch_size" and part.strip().lower() == "max"
            else _whole_numbers(given, (part,))[0]
            for part in parts
        )
    )


def _configs(devices: Sequence[str], values: Mapping[str, Sequence[Any]]) -> tuple[RunConfig, ...]:
    """Every combination of what is asked for."""
    return tuple(
        RunConfig(asked=device if len(devices) > 1 else "").with_values(
            dict(zip(values, one, strict=True))
        )
        for device in devices
        for one in product(*values.values())
    )


def _devices(given: Given) -> str:
    return ",".join(split_request(given.text))


def _update(given: Given) -> str:
    if given.text not in ("all", "new"):
        raise given.refused(
            f"it takes all or new, and {given.text!r} may have been meant for a path. "
            f"Write it after the paths, or with its value: --baseline-update=all {given.text}"
        )
    return given.text


def _reference(given: Given) -> Reference:
    return parse_reference(given.text, runtime_names())


def _file_or_text(given: Given) -> str:
    path = given.here / given.text
    return str(path.resolve()) if path.is_file() else given.text


def _families(given: Given) -> tuple[str, ...]:
    """Families of metrics that are measured besides, see :mod:`archbench.metrics`."""
    return _names(given, "family of metrics", tuple(measured_families()))


def _output_file(given: Given) -> Path:
    """A path that can be written, found out before anything is measured.

    A link is followed, so that the file behind it is replaced and not the link.
    """
    path = (given.here / given.text).resolve()
    problem = problem_of(given.name, path)
    if problem:
        raise given.refused(f"{problem}. Name a file in a directory that exists and is writable")
    return path


def _directory(given: Given) -> Path:
    """A directory that may have to be made."""
    path = given.here / Path(given.text).expanduser()
    if path.exists() and not path.is_dir():
        raise given.refused("that is no directory. Name another one")
    return own_directory(given.root, str(path))


KINDS: Mapping[str, Callable[[Given], Any]] = {
    "flag": lambda given: bool(given.texts),
    "text": lambda given: given.text,
    "each": lambda given: given.texts,
    "several": lambda given: given.several,
    "number": _number,
    "seconds": _seconds,
    "devices": _devices,
    "update": _update,
    "families": _families,
    "reference": _reference,
    "shard": lambda given: Shard.parse(given.text),
    "path": lambda given: (given.here / Path(given.text).expanduser()).resolve(),
    "file or text": _file_or_text,
    "output file": _output_file,
    "directory": _directory,
}
"""How the value of each kind of option is read."""


class _Rule(NamedTuple):
    """Two options that must not, or must, be given together.

    ``{0}`` and ``{1}`` in the message are their texts.
    """

    one: str
    other: str
    message: str
    needs: bool = False


_AGAINST = "--against={0} and --{other} contradict each other: --{other} {why}. Give one of them"
_GLANCE = "--quick with --{other}: a glance compares no times. Leave one of them out"
_RULES = (
    *(
        _Rule("against", other, _AGAINST.format("{0}", other=other, why=why))
        for other, why in (
            ("baseline-update", "accepts stored times, of which there are none"),
            ("quick", "is a glance that compares nothing"),
            ("processes", "is about stored baselines: a paired comparison ends by itself"),
            ("energy", "is measured of one version alone"),
            ("measure", "is measured of one version alone"),
        )
    ),
    _Rule(
        "quick",
        "time-budget",
        "--quick and --time-budget both say how long a cell may take. Give one of them",
    ),
    _Rule(
        "shard-times",
        "shard",
        "--shard-times={0}: there are no shards. Add --shard=1/4, or leave it out",
        needs=True,
    ),
    *(
        _Rule("quick", other, _GLANCE.format(other=other))
        for other in ("strict", "baseline-required")
    ),
    _Rule(
        "accuracy-samples",
        "imagenet",
        "--accuracy-samples={0}: there are no images to take a sample of. "
        "Add --imagenet=DIR, or leave it out",
        needs=True,
    ),
    _Rule(
        "baseline-reason",
        "baseline-update",
        "--baseline-reason={0}: there is nothing to give a reason for. "
        "Add --baseline-update, or leave it out",
        needs=True,
    ),
)


def _refuse_contradictions(given: Mapping[str, Given], settings: Settings) -> None:
    for rule in _RULES:
        one, other = given[rule.one], given[rule.other]
        if one.texts and bool(other.texts) != rule.needs:
            raise pytest.UsageError(rule.message.format(one.several, other.several))
    if settings.against is not None and "max" in settings.values("batch_size"):
        raise pytest.UsageError(
            f"--against={settings.against.text} and --batch-size=max contradict each other: the "
            "largest batch is looked for, and the two sides could end up with different ones. "
            "Give its size, as --batch-size=64"
        )
    resize, crop, count = settings.resize, settings.crop, settings.processes
    if resize is not None and crop is not None and resize < crop:
        raise pytest.UsageError(
            f"--resize={resize} --crop={crop}: the crop is larger than what it is cut out of. "
            "Give for example --resize=256 --crop=224"
        )
    if settings.baseline_update is not None and (count or LEAST_BASELINE) < LEAST_BASELINE:
        raise pytest.UsageError(
            f"--processes={count} with --baseline-update: a baseline needs {LEAST_BASELINE} "
            f"processes. Write --processes={LEAST_BASELINE} or leave it out"
        )


def settings_of(config: pytest.Config) -> Settings:
    """The settings of this run, made once.

    Raises:
        pytest.UsageError: a value that makes no sense; says what to type instead.
    """
    if _SETTINGS not in config.stash:
        with refusing(config):
            config.stash[_SETTINGS] = _read(config)
    return config.stash[_SETTINGS]


def _given(config: pytest.Config, name: str) -> Given:
    value = getattr(config.option, destination(name), None)
    # A worker of pytest-xdist reads its command line on top of the controller's options.
    texts = tuple(dict.fromkeys(("",) if value is True else value or ()))
    if value is not True and not all(text.strip(" ,") for text in texts):
        raise pytest.UsageError(f"--{name}=: the value is empty. Give one, or leave the option out")
    return Given(name, texts, config.invocation_params.dir, config.rootpath)


def _read(config: pytest.Config) -> Settings:
    given = {name: _given(config, name) for name in OPTIONS}
    values: dict[str, Any] = {"directory": own_directory(config.rootpath)}
    for one in fields(Settings):
        name = one.name.replace("_", "-")
        if name in given and given[name].texts:
            values[one.name] = KINDS[OPTIONS[name].kind](given[name])
    devices = values.get("gpu", "auto").split(",")
    by_axis = {axis.name: _axis_values(axis, given[axis.option]) for axis in axes()}
    settings = Settings(configs=_configs(devices, by_axis), **values)
    _refuse_contradictions(given, settings)
    outputs = (name for name, option in OPTIONS.items() if option.kind == "output file")
    refuse_one_for_two(config, {name: values.get(name.replace("-", "_")) for name in outputs})
    # pytest's own --strict is about markers and the like; who asks for it wants no leniency.
    measure = dict.fromkeys((*(("energy",) if settings.energy else ()), *settings.measure))
    return replace(
        settings,
        energy="energy" in measure,
        measure=tuple(measure),
        strict=settings.strict or "--strict" in config.invocation_params.args,
        time_budget=QUICK_TIME_BUDGET if settings.quick else settings.time_budget,
    )
