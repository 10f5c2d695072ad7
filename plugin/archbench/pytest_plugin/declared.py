"""Every option of archbench, and every setting of a run: a row each. Loaded in every pytest run:
light.

A row says what is typed, what it means and what it becomes. The option is the field's name with
dashes; :mod:`archbench.pytest_plugin.options` declares it to pytest, and
:mod:`archbench.pytest_plugin.settings` reads it by its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.core.run_config import Axis, RunConfig, axes, on_axis
from archbench.core.shards import Shard

if TYPE_CHECKING:
    from archbench.core.forms import Json
    from archbench.workers.references import Reference

QUICK_TIME_BUDGET = 0.3
DEFAULT_TIME_BUDGET = 2.0


@dataclass(frozen=True, slots=True)
class Option:
    """How one option is typed.

    Attributes:
        kind: how its value is read: a name in :data:`archbench.pytest_plugin.settings.KINDS`, or
            ``axis``; a ``flag`` has no value.
        help: for people.
        metavar: what stands for its value.
        const: its value where it is given without one; None where it needs one.
    """

    kind: str
    help: str
    metavar: str = ""
    const: str | None = None

    @property
    def declaration(self) -> dict[str, Any]:
        """Arguments of argparse.

        Nothing has a default, so that "given" differs from "not given", and so that the long
        and the short spelling of an option, which share a destination, do not overwrite each
        other. What is repeated is gathered, so that none is dropped silently.
        """
        if self.kind == "flag":
            return {"action": "store_true", "default": None, "help": self.help}
        optional = {} if self.const is None else {"nargs": "?", "const": self.const}
        return {"action": "append", "metavar": self.metavar, "help": self.help, **optional}


def _option(
    kind: str, help: str, metavar: str = "", *, default: Any = None, const: str | None = None
) -> Any:
    default = False if kind == "flag" else default
    return field(default=default, metadata={"option": Option(kind, help, metavar, const)})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was asked to do; None where nothing was said."""

    suite: str | None = _option(
        "several", "architectures to run, see `archbench list --suites` (default: seeds)", "NAME"
    )
    models: tuple[str, ...] = _option(
        "each",
        "architectures by id or glob (timm/resnet*, resnet50, timm/resnet50@192), or "
        "path/to/file.py:constructor for one of your own; repeatable",
        "GLOB",
        default=(),
    )
    gpu: str = _option(
        "devices",
        "auto (default: the first accelerator, else the CPU), cpu, cuda:N, mps, xpu, or part of "
        "the device's name (v100); several with commas",
        "DEVICE",
        default="auto",
    )
    configs: tuple[RunConfig, ...] = (RunConfig(),)
    """Every combination of what is asked of the axes, device by device."""
    energy: bool = _option(
        "flag",
        "measure energy per image and power too, where there is a counter: 6 s or more a cell",
    )
    measure: tuple[str, ...] = _option(
        "families",
        "what else to measure of each cell, as energy, or what an installed distribution brings; "
        "several with commas",
        "NAME",
        default=(),
    )
    shared_ok: bool = _option("flag", "measure on a device that other processes use")
    time_budget: float = _option(
        "seconds",
        f"time for warm-up and samples of a cell (default: {DEFAULT_TIME_BUDGET:g})",
        "SECONDS",
        default=DEFAULT_TIME_BUDGET,
    )
    cell_timeout: float | None = _option(
        "seconds",
        "after which a test is taken to hang (default: far more than it needs, by its network, "
        "batch and time budget)",
        "SECONDS",
    )
    quick: bool = _option(
        "flag", f"a glance: {QUICK_TIME_BUDGET:g} s a cell; not precise enough to compare"
    )
    baseline_update: str | None = _option(
        "update",
        "accept what this selection measures as the baseline: all (default) or new, which adds "
        "cells and changes none",
        "WHICH",
        const="all",
    )
    baseline_reason: str | None = _option(
        "text", "why the baseline is accepted; stands in its lines", "TEXT"
    )
    baseline_required: bool = _option("flag", "fail where there is no baseline to compare with")
    strict: bool = _option("flag", "fail where a comparison cannot tell")
    processes: int | None = _option(
        "number",
        "processes that measure each cell, one after another (default: 3 where there is a "
        "baseline to compare with, 10 to make one, else 1)",
        "N",
    )
    imagenet: Path | None = _option(
        "path",
        "labelled images to measure top-1 and top-5 on: directories of classes, the flat "
        "validation set with its ground truth, or a tar of either",
        "PATH",
    )
    weights: str | None = _option(
        "file or text",
        "for accuracies and fingerprints: pretrained (default of accuracies), none, a file "
        "(safetensors or a state dict), or an id of the hub",
        "WEIGHTS",
    )
    accuracy_samples: int | None = _option(
        "number", "images of a stratified sample, the same in every run (default: all)", "N"
    )
    resize: int | None = _option(
        "number",
        "shorter side of an image before the single central crop (default: what the weights' "
        "library does)",
        "PIXELS",
    )
    crop: int | None = _option("number", "side of the single central crop", "PIXELS")
    against: Reference | None = _option(
        "reference",
        "compare with another version, side by side and now: a git revision (without a value: "
        "the merge base with the main branch), python:/path/to/venv/bin/python, "
        "'pip:timm==1.0.20', or other flags (dtype=bf16, model=timm/resnet50d, batch-size=4)",
        "REF",
        const="merge-base",
    )
    directory: Path = _option(
        "directory",
        "where runs, and what they need meanwhile, are kept (default: .archbench in the project, "
        "or $ARCHBENCH_DIRECTORY)",
        "PATH",
        default=Path(".archbench"),
    )
    resume: str | None = _option(
        "text",
        "go on with a run that did not reach its end: the last one, or the one of this id",
        "RUN",
        const="latest",
    )
    shard: Shard | None = _option(
        "shard",
        "measure one of several parts, as 2/4, each about as long: `archbench merge` joins them",
        "I/N",
    )
    shard_times: Path | None = _option(
        "path",
        "a run whose times say how long cells take (default: their multiply-adds); the same for "
        "all shards",
        "RUN",
    )
    hosts: Path | None = _option(
        "path", "a file of hosts that measure, each reached by ssh: docs/scaling.md", "FILE"
    )
    results: Path | None = _option("output file", "write everything about the run as JSON", "FILE")
    code_quality: Path | None = _option(
        "output file",
        "write what fails and what is inconclusive as a code-quality report for GitLab",
        "FILE",
    )
    openmetrics: Path | None = _option(
        "output file", "write all figures as OpenMetrics text", "FILE"
    )

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

    def as_dict(self) -> dict[str, Json]:
        """Builtin types, for the run's header."""
        stated: dict[str, Json] = {}
        for one in fields(self):
            if one.name == "configs":
                for axis in axes():
                    values = list(self.values(axis.name))
                    stated |= {f"{axis.name}s": values} if axis.several else {axis.name: values[0]}
            elif one.metadata["option"].kind != "output file" and one.name not in _OF_NO_FIGURE:
                stated[one.name] = _builtin(getattr(self, one.name))
        return stated


_OF_NO_FIGURE = ("directory", "resume")
"""Settings that are about where a run is kept, and not about what it measures."""


def _builtin(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _of_axis(axis: Axis) -> Option:
    help = axis.help.format(values=", ".join(axis.values))
    if axis.is_flag:
        return Option("flag", help)
    several = "; several with commas" if axis.several else ""
    return Option("axis", f"{help}{several} (default: {axis.usual})", axis.metavar)


def _options() -> dict[str, Option]:
    found: dict[str, Option] = {}
    for one in fields(Settings):
        if one.name == "configs":
            found |= {axis.option: _of_axis(axis) for axis in axes()}
        else:
            found[one.name.replace("_", "-")] = one.metadata["option"]
    return found


OPTIONS = _options()
"""By name, without dashes in front, in the order in which they are shown."""


def _add_axis(axis: Axis) -> None:
    OPTIONS[axis.option] = _of_axis(axis)


on_axis(_add_axis)
