"""Options become one frozen value, once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.launches import LEAST_BASELINE
from archbench.core.run_config import Axis, RunConfig, add_value, axes
from archbench.devices.choosing import split_request
from archbench.duet.references import Reference, parse_reference
from archbench.pytest_plugin.options import (
    DEFAULT_TIME_BUDGET,
    QUICK_TIME_BUDGET,
    destination,
    spelled,
)
from archbench.runtimes.registry import runtime_names
from archbench.store.directory import OWN, own_directory

__all__ = ["Settings", "settings_of"]


LARGEST = 2**31 - 1
"""Of a dimension in torch's kernels."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do.

    Attributes:
        suite: name of a suite; None where only ``models`` select.
        models: ids, globs, ``file.py:constructor``.
        gpu: the device as asked for; several with commas.
        configs: every combination of the axes' values, device by device.
        measure: families of metrics that are measured besides, see :mod:`archbench.metrics`.
        shared_ok: whether to measure on a device that others use.
        time_budget: seconds of warm-up and samples per cell.
        quick: whether the budget is the short one.
        baseline_update: ``all`` or ``new`` where the baseline is to be written; None to compare.
        baseline_reason: why it is accepted.
        baseline_required: whether a cell without a baseline fails.
        strict: whether a comparison that cannot tell fails.
        launches: processes that measure each cell; None for as many as the run needs.
        imagenet: labelled images; None where accuracies are not asked for.
        weights: which; None for what the test takes by itself.
        accuracy_samples: images of a sample; None for all.
        resize, crop: pixels of the single central crop; None for what the weights expect.
        against: another version that times are compared with, side by side; None for none.
        directory: where runs, and what they need meanwhile, are kept.
        results: where to write the results file, if anywhere.
        code_quality, openmetrics: the same for files that CI systems read.
    """

    suite: str | None = None
    models: tuple[str, ...] = ()
    gpu: str = "auto"
    configs: tuple[RunConfig, ...] = (RunConfig(),)
    measure: tuple[str, ...] = ()
    shared_ok: bool = False
    time_budget: float = DEFAULT_TIME_BUDGET
    quick: bool = False
    baseline_update: str | None = None
    baseline_reason: str | None = None
    baseline_required: bool = False
    strict: bool = False
    launches: int | None = None
    imagenet: Path | None = None
    weights: str | None = None
    accuracy_samples: int | None = None
    resize: int | None = None
    crop: int | None = None
    against: Reference | None = None
    directory: Path = Path(OWN)
    results: Path | None = None
    code_quality: Path | None = None
    openmetrics: Path | None = None

    @property
    def needs_baseline(self) -> bool:
        """Whether a cell without a baseline fails: where one is required and none is being made."""
        return self.baseline_required and self.baseline_update is None

    def values(self, name: str) -> tuple[Any, ...]:
        """The values of an axis that are asked for, each once; ``max`` for the largest batch."""
        return tuple(
            dict.fromkeys(
                "max" if name == "batch_size" and one.largest_batch else one[name]
                for one in self.configs
            )
        )

    @property
    def threads(self) -> int:
        """Of the CPU per forward pass, one number for a run."""
        return self.configs[0].threads

    def as_dict(self) -> dict[str, Any]:
        """Builtin types, for the run's header."""
        return {
            "suite": self.suite,
            "models": list(self.models),
            "gpu": self.gpu,
            **{
                f"{one.name}s" if one.several else one.name: (
                    list(self.values(one.name)) if one.several else self.values(one.name)[0]
                )
                for one in axes()
            },
            "energy": "energy" in self.measure,
            "measure": list(self.measure),
            "shared_ok": self.shared_ok,
            "time_budget": self.time_budget,
            "quick": self.quick,
            "baseline_update": self.baseline_update,
            "baseline_reason": self.baseline_reason,
            "baseline_required": self.baseline_required,
            "strict": self.strict,
            "launches": self.launches,
            "imagenet": None if self.imagenet is None else str(self.imagenet),
            "weights": self.weights,
            "accuracy_samples": self.accuracy_samples,
            "resize": self.resize,
            "crop": self.crop,
            "against": None if self.against is None else self.against.text,
        }


def _whole_numbers(option: str, text: str, parts: Sequence[str] | None = None) -> tuple[int, ...]:
    values: list[int] = []
    for part in text.split(",") if parts is None else parts:
        try:
            value = int(part)
        except ValueError:
            value = 0
        if value < 1:
            raise pytest.UsageError(
                f"--{option}={text}: {part.strip()!r} is not a whole number of at least 1. "
                f"Write for example --{option}={'1,4,8' if option == 'batch-size' else '2'}"
            )
        if value > LARGEST:
            raise pytest.UsageError(
                f"--{option}={text}: {value} is more than torch can count, {LARGEST}. Use less"
            )
        values.append(value)
    return tuple(dict.fromkeys(values))


def _seconds(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(
            f"--{option}={text}: not a number of seconds above 0. "
            f"Write for example --{option}=2, or use --quick for a glance"
        )
    return value


def _names(option: str, text: str, what: str, known: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    for name in names:
        if name not in known:
            raise pytest.UsageError(
                f"--{option}={text}: {name!r} is not a {what} that archbench knows. "
                f"Use {', '.join(known)}"
            )
    return names


def _values(axis: Axis, text: str) -> tuple[Any, ...]:
    """The values of an axis in what was typed."""
    if axis.values:
        known = runtime_names() if axis.name == "runtime" else axis.values
        names = _names(axis.option, text, axis.noun or axis.option, known)
        for name in names:
            add_value(axis.name, name)
        return names
    parts = [part.strip().lower() for part in text.split(",")]
    if not axis.several and len(parts) > 1:
        raise pytest.UsageError(
            f"--{axis.option}={text}: one number is expected. Run once for each"
        )
    return tuple(
        dict.fromkeys(
            part
            if part == "max" and axis.name == "batch_size"
            else _whole_numbers(axis.option, text, (part,))[0]
            for part in parts
        )
    )


def _configs(devices: Sequence[str], given: Mapping[str, Sequence[Any]]) -> tuple[RunConfig, ...]:
    """Every combination of what is asked for."""
    return tuple(
        RunConfig(asked=device if len(devices) > 1 else "").with_values(
            dict(zip(given, values, strict=True))
        )
        for device in devices
        for values in product(*given.values())
    )


def _devices(text: str) -> list[str]:
    try:
        return split_request(text)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _baseline_update(text: str | None) -> str | None:
    if text not in (None, "all", "new"):
        raise pytest.UsageError(
            f"--baseline-update={text}: it takes all or new, and {text!r} may have been meant for "
            f"a path. Write it after the paths, or with its value: --baseline-update=all {text}"
        )
    return text


_OF_ONE = "is measured of one version alone"


def _against(
    text: str | None,
    update: str | None,
    quick: bool,
    launches: str | None,
    batch_sizes: Sequence[int | str],
    measure: Sequence[str],
) -> Reference | None:
    """What times are compared with now, which leaves nothing to be said about stored ones."""
    if text is None:
        return None
    contradictions = (
        (update is not None, "--baseline-update", "accepts stored times, of which there are none"),
        (quick, "--quick", "is a glance that compares nothing"),
        (launches is not None, "--launches", "is about stored baselines: a duet ends by itself"),
        (bool(measure), f"--{'energy' if measure == ('energy',) else 'measure'}", _OF_ONE),
    )
    for given, option, why in contradictions:
        if given:
            raise pytest.UsageError(
                f"--against={text} and {option} contradict each other: {option} {why}. "
                "Give one of them"
            )
    if "max" in batch_sizes:
        raise pytest.UsageError(
            f"--against={text} and --batch-size=max contradict each other: the largest batch is "
            "looked for, and the two sides could end up with different ones. Give its size, as "
            "--batch-size=64"
        )
    try:
        return parse_reference(text, runtime_names())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def _measure(text: str, *, energy: bool) -> tuple[str, ...]:
    """Families that are asked for by either option."""
    asked = ["energy"] if energy else []
    if text:
        from archbench.metrics import measured_families

        asked += _names("measure", text, "family of metrics", tuple(measured_families()))
    return tuple(dict.fromkeys(asked))


def _writable(option: str, text: str, base: Path) -> Path:
    """A path that can be written, found out before anything is measured.

    A link is followed, so that the file behind it is replaced and not the link.
    """
    path = (base / text).resolve()
    problem = ""
    if path.exists() and not path.is_file():
        problem = "is not a regular file"
    elif not path.parent.is_dir():
        problem = f"{path.parent} does not exist"
    else:
        try:
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
                pass
        except OSError as error:
            problem = f"nothing can be written in {path.parent} ({error.strerror})"
    if problem:
        raise pytest.UsageError(
            f"--{option}={text}: {problem}. Name a file in a directory that exists and is writable"
        )
    return path


_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


def _place(option: str, text: str | None, base: Path) -> str | None:
    """A directory that may have to be made."""
    path = None if text is None else base / Path(text).expanduser()
    if path is not None and path.exists() and not path.is_dir():
        raise pytest.UsageError(f"--{option}={text}: that is no directory. Name another one")
    return None if path is None else str(path)


def settings_of(config: pytest.Config) -> Settings:
    """The settings of this run, made once.

    Raises:
        pytest.UsageError: a value that makes no sense; says what to type instead.
    """
    if _SETTINGS not in config.stash:
        try:
            config.stash[_SETTINGS] = _read(config)
        except pytest.UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return config.stash[_SETTINGS]


def _read(config: pytest.Config) -> Settings:
    def values(name: str) -> list[str]:
        # A worker of pytest-xdist reads its command line on top of the controller's options.
        given = list(dict.fromkeys(getattr(config.option, destination(name), None) or ()))
        if not all(value.strip(" ,") for value in given):
            raise pytest.UsageError(
                f"--{name}=: the value is empty. Give one, or leave the option out"
            )
        return given

    def several(name: str, default: str) -> str:
        return ",".join(values(name)) or default

    def single(name: str) -> str | None:
        given = values(name)
        if len(given) > 1:
            raise pytest.UsageError(
                f"--{name} is given {len(given)} times: {', '.join(given)}. Give it once"
            )
        return given[0] if given else None

    def flag(name: str) -> bool:
        return bool(getattr(config.option, destination(name), None))

    def of_axis(axis: Axis) -> tuple[Any, ...]:
        if axis.is_flag:
            return (flag(axis.option),)
        text = several(axis.option, "") if axis.several else single(axis.option)
        return _values(axis, text) if text else (axis.usual,)

    devices = _devices(single("gpu") or "auto")
    by_axis = {one.name: of_axis(one) for one in axes()}
    quick = flag("quick")
    time_budget = single("time-budget")
    if quick and time_budget is not None:
        raise pytest.UsageError(
            "--quick and --time-budget both say how long a cell may take. Give one of them"
        )
    default_budget = QUICK_TIME_BUDGET if quick else DEFAULT_TIME_BUDGET

    def file(name: str) -> Path | None:
        text = single(name)
        return _writable(name, text, config.invocation_params.dir) if text else None

    def number(name: str, example: int) -> int | None:
        text = single(name)
        if text is None:
            return None
        given = _whole_numbers(name, text)
        if len(given) > 1:
            raise pytest.UsageError(
                f"--{name}={text}: one number is expected, for example --{name}={example}"
            )
        return given[0]

    here = config.invocation_params.dir
    imagenet = single("imagenet")
    samples = number("accuracy-samples", 5000)
    resize, crop = number("resize", 256), number("crop", 224)
    if samples is not None and imagenet is None:
        raise pytest.UsageError(
            f"--accuracy-samples={samples}: there are no images to take a sample of. "
            "Add --imagenet=DIR, or leave it out"
        )
    if resize is not None and crop is not None and resize < crop:
        raise pytest.UsageError(
            f"--resize={resize} --crop={crop}: the crop is larger than what it is cut out of. "
            "Give for example --resize=256 --crop=224"
        )
    weights = single("weights")
    if weights is not None and (here / weights).is_file():
        weights = str((here / weights).resolve())
    launches = _whole_numbers("launches", single("launches") or "1")
    if len(launches) > 1:
        raise pytest.UsageError(
            f"--launches={single('launches')}: one number is expected, for example --launches=3"
        )
    reason, update = single("baseline-reason"), _baseline_update(single("baseline-update"))
    if reason is not None and update is None:
        raise pytest.UsageError(
            f"--baseline-reason={reason}: there is nothing to give a reason for. "
            "Add --baseline-update, or leave it out"
        )
    measure = _measure(several("measure", ""), energy=flag("energy"))
    against = _against(
        single("against"), update, quick, single("launches"), by_axis["batch_size"], measure
    )
    strict = flag("strict")
    if quick:
        for given, name in (
            (strict, "strict"),
            (flag("baseline-required"), "baseline-required"),
        ):
            if given:
                raise pytest.UsageError(
                    f"--quick with --{name}: a glance compares no times. Leave one of them out"
                )
    count = launches[0] if single("launches") else None
    if update is not None and count is not None and count < LEAST_BASELINE:
        raise pytest.UsageError(
            f"--launches={count} with --baseline-update: a baseline needs {LEAST_BASELINE} "
            f"launches. Write --launches={LEAST_BASELINE} or leave it out"
        )
    return Settings(
        suite=several("suite", "") or None,
        models=tuple(values("models")),
        gpu=",".join(devices),
        configs=_configs(devices, by_axis),
        measure=measure,
        shared_ok=flag("shared-ok"),
        time_budget=_seconds("time-budget", time_budget) if time_budget else default_budget,
        quick=quick,
        baseline_update=update,
        baseline_reason=reason,
        baseline_required=flag("baseline-required"),
        # pytest's own --strict is about markers and the like; who asks for it wants no leniency.
        strict=flag("strict") or "--strict" in config.invocation_params.args,
        launches=launches[0] if single("launches") else None,
        imagenet=None if imagenet is None else (here / Path(imagenet).expanduser()).resolve(),
        weights=weights,
        accuracy_samples=samples,
        resize=resize,
        crop=crop,
        against=against,
        directory=own_directory(config.rootpath, _place("directory", single("directory"), here)),
        results=file("results"),
        code_quality=file("code-quality"),
        openmetrics=file("openmetrics"),
    )
