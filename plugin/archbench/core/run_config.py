"""How a network is run: precision, batch size, threads and so on, each declared here and once.

Options, the ids of tests, what child processes receive, the filters of commands, columns and the
keys of baselines are derived from :func:`axes`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

DTYPES = ("fp32", "tf32", "fp16", "bf16", "amp-fp16", "amp-bf16", "int8")
"""Precisions that a model can be run in. ``fp32`` is exact fp32, without TF32; the ``amp`` ones
keep fp32 weights and let torch's autocast choose by operator; ``int8`` is torch's own
quantisation."""

MEMORY_FORMATS = ("nchw", "nhwc")
"""Orders of the dimensions of images and activations in memory."""

RUNTIMES = (
    "eager", "compiled", "cudagraph", "onnxruntime", "onnxruntime-tensorrt", "openvino",
    "aotinductor", "tensorrt",
)  # fmt: skip
"""How a forward pass is run: operator by operator, by ``torch.compile``, as a CUDA graph, or by an
engine (docs/runtimes.md). Others may be registered, see :mod:`archbench.runtimes.registry`."""

RUNTIME_NAME = r"[a-z][a-z0-9]*(?:-(?!cold\b)[a-z][a-z0-9]*\b(?!=))?"
"""Of a runtime, as a regular expression: a word, or two with a hyphen between them."""

Value = str | int | bool


@dataclass(frozen=True, slots=True)
class Axis:
    """One way in which runs of a network differ.

    Attributes:
        name: of the field of :class:`RunConfig`; the option is ``--memory-format``.
        usual: what is run where nothing is said, and left out of ids: a name, a whole number, or
            False for a flag.
        help: of the option.
        metavar: of the option's value.
        noun: what messages call a value: ``precision``.
        values: the names that there are; empty for whole numbers and flags.
        id_format: of its part of an id, ``-t{}``.
        text_format: the same for people, ``{} threads``.
        off_text: for people, of the usual value of a flag where both are compared.
        several: whether one run may have several values.
        running: what holds while a network is run with a value; None where measuring knows.
    """

    name: str
    usual: Value
    help: str
    metavar: str = "VALUE"
    noun: str = ""
    values: tuple[str, ...] = ()
    id_format: str = ""
    text_format: str = "{}"
    off_text: str = ""
    several: bool = True
    running: Callable[[Any], AbstractContextManager[object]] | None = None

    @property
    def option(self) -> str:
        """Its option without dashes in front: ``memory-format``."""
        return self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return isinstance(self.usual, bool)

    def id_text(self, value: Value) -> str:
        """Its part of an id; empty for the usual value."""
        return "" if value == self.usual else self.id_format.format(value)

    def text(self, value: Value | None) -> str:
        """Its part of a setting for people; empty for the usual value, or where none is stated."""
        return "" if value in (None, self.usual) else self.text_format.format(value)

    def own_text(self, value: Value) -> str:
        """A value for people that stands by itself, the usual one too: ``nchw``, ``warm cache``."""
        return self.off_text if value is False else self.text_format.format(value)

    @property
    def pattern(self) -> str:
        """Its part of an id as a regular expression, with a group of its name."""
        before, _, behind = map(re.escape, self.id_format.partition("{}"))
        if self.is_flag:
            return f"(?P<{self.name}>{before})?"
        unusual = [value for value in self.values if value != self.usual]
        unusual.sort(key=len, reverse=True)  # one may begin with another
        value = "|".join(map(re.escape, unusual)) if unusual else r"\d+"
        return f"(?:{before}(?P<{self.name}>{value}){behind})?"

    def parse(self, text: str | None) -> Value:
        """The value of a group of :attr:`pattern`; the usual one for None."""
        if text is None:
            return self.usual
        return True if self.is_flag else int(text) if isinstance(self.usual, int) else text


_AXES = {
    axis.name: axis
    for axis in (
        Axis("dtype", "fp32", "precision: {values}", "DTYPE", "precision", DTYPES, id_format="{}"),
        Axis(
            "batch_size", 1, "images per forward pass, or max for as many as fit", "N",
            id_format="-b{}", text_format="batch {}",
        ),
        Axis(
            "threads", 1, "threads of the CPU per forward pass", "N",
            id_format="-t{}", text_format="{} threads", several=False,
        ),
        Axis(
            "memory_format", "nchw", "of images and activations: {values}", "ORDER",
            "memory format", MEMORY_FORMATS, id_format="-{}",
        ),
        Axis(
            "runtime", "eager", "how a pass is run: {values}", "HOW", "runtime", RUNTIMES,
            id_format="-{}",
        ),
        Axis(
            "cold_cache", False, "empty the caches before each timed pass",
            id_format="-cold", text_format="cold cache", off_text="warm cache", several=False,
        ),
    )
}  # fmt: skip


def axes() -> tuple[Axis, ...]:
    """All axes, in the order of ids."""
    return tuple(_AXES.values())


def axis(name: str) -> Axis:
    """One axis.

    Raises:
        KeyError: there is none.
    """
    return _AXES[name]


def further_axes() -> tuple[Axis, ...]:
    """Those beside precision, batch size and threads: how else a network is run."""
    return axes()[3:]


def add_value(name: str, value: str) -> None:
    """Add a name to those of an axis, as a runtime does that is registered."""
    known = _AXES[name]
    if value not in known.values:
        _AXES[name] = replace(known, values=(*known.values, value))


_LISTENERS: list[Callable[[Axis], None]] = []


def on_axis(listener: Callable[[Axis], None]) -> None:
    """Have a function called for each axis that is registered from now on."""
    _LISTENERS.append(listener)


def register_axis(axis: Axis) -> None:
    """Add an axis: in a project's ``conftest.py``, or in a plugin of pytest.

    Its option is declared, its value is kept in :attr:`StatedConfig.more` and entered around all
    passes (:attr:`Axis.running`). In ids it is ``-name=value``. Registering it again replaces it.

    Raises:
        ValueError: the name is one of archbench's own, or is none.
    """
    if axis.name in _FIELDS or not axis.name.isidentifier():
        raise ValueError(f"an axis {axis.name!r} cannot be added: the name is taken or is none")
    _AXES[axis.name] = replace(
        axis,
        id_format=f"-{axis.name}=" + ("on" if axis.is_flag else "{}"),
        text_format=axis.name if axis.is_flag else f"{axis.name} {{}}",
        off_text=f"no {axis.name}",
    )
    for listener in _LISTENERS:
        listener(_AXES[axis.name])


def _see(more: Iterable[tuple[str, Value]]) -> None:
    """Know the axes of a stored run, so that no two that differ in one look alike."""
    for name, value in more:
        if name not in _AXES and name not in _FIELDS and name.isidentifier():
            usual: Value = type(value)()
            register_axis(Axis(name, usual, f"{name}, of stored runs"))


Config = TypeVar("Config", bound="StatedConfig")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedConfig:
    """A run configuration as far as a source states it: None for what it does not.

    Attributes:
        dtype: one of :data:`DTYPES`.
        batch_size: images per forward pass; None as well for what depends on the precision alone,
            such as an accuracy, and where the largest batch is asked for and not found yet.
        threads: intra-operator threads on the host.
        memory_format: one of :data:`MEMORY_FORMATS`.
        runtime: one of :data:`RUNTIMES`.
        cold_cache: whether the caches are emptied before each timed pass.
        largest_batch: whether the batch size is what fits, and not asked for.
        more: unusual values of registered axes, by name and sorted.
    """

    dtype: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    memory_format: str | None = None
    runtime: str | None = None
    cold_cache: bool | None = None
    largest_batch: bool = False
    more: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        if self.more:
            _see(self.more)

    def __getitem__(self, name: str) -> Any:
        """The value of an axis, whether it is a field or was registered."""
        return getattr(self, name) if name in _FIELDS else dict(self.more).get(name, _usual(name))

    def with_values(self: Config, values: Mapping[str, Value]) -> Config:
        """The same with other values of some axes, by name; a batch size of ``max`` is the largest
        that fits."""
        more = {name: value for name, value in values.items() if name not in _FIELDS}
        given: dict[str, Any] = {name: values[name] for name in values if name in _FIELDS}
        if "batch_size" in given:
            given["largest_batch"] = given["batch_size"] == "max"
            given["batch_size"] = None if given["largest_batch"] else given["batch_size"]
        if more:
            pairs = {**dict(self.more), **more}.items()
            given["more"] = tuple(sorted(pair for pair in pairs if pair[1] != _usual(pair[0])))
        return replace(self, **given)

    @property
    def setting(self) -> str:
        """For people: ``fp32 batch 1``, ``fp16 batch 8 nhwc compiled``; empty for nothing stated.

        The largest batch that was found to fit is ``batch 37 (max)``, or ``batch max`` where its
        size is left open.
        """
        return self.setting_without()

    def setting_without(self, *names: str) -> str:
        """:attr:`setting` with some axes left out."""
        parts = [] if "dtype" in names else [self.dtype or ""]
        if "batch_size" not in names:
            parts.append(self._batch_text("largest_batch" not in names))
        rest = [one for one in axes()[2:] if one.name not in names]
        parts += [one.text(self[one.name]) for one in rest]
        return " ".join(filter(None, parts))

    def _batch_text(self, with_largest: bool) -> str:
        is_largest = self.largest_batch and with_largest
        if self.batch_size is None:
            return "batch max" if is_largest else ""
        return f"batch {self.batch_size}" + (" (max)" if is_largest else "")

    @property
    def unusual(self) -> str:
        """What is unusual beside precision, batch size and threads: ``nhwc compiled``."""
        return " ".join(filter(None, (one.text(self[one.name]) for one in further_axes())))

    def values_without(self, *names: str) -> tuple[Value | None, ...]:
        """The values of all axes but some."""
        return tuple(self[one.name] for one in axes() if one.name not in names)

    def fields_without(self, *names: str) -> dict[str, Any]:
        """What makes another one that states the same, but for some axes."""
        return {name: getattr(self, name) for name in _FIELDS if name not in names}

    def as_columns(self) -> dict[str, Value | None]:
        """A value for each axis, and ``largest_batch``: columns of tables and fields of JSON."""
        values = {one.name: self[one.name] for one in axes()}
        return {**values, "largest_batch": self.largest_batch}


_FIELDS = frozenset(field.name for field in fields(StatedConfig))


def _usual(name: str) -> Value:
    return _AXES[name].usual


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig(StatedConfig):
    """How a network is run, with everything stated: what is usual where nothing is said.

    Attributes:
        asked: what names the device, where a run has several; else empty.
    """

    dtype: str = "fp32"
    batch_size: int | None = 1
    threads: int = 1
    memory_format: str = "nchw"
    runtime: str = "eager"
    cold_cache: bool = False
    asked: str = ""

    @property
    def suffix(self) -> str:
        """The part of a cell's name that does not depend on the device.

        ``fp32-b1``, ``bf16-b8-t2``, ``fp16-bmax-nhwc-compiled``: what is usual is left out. What
        depends on precision and runtime alone, as an accuracy does, chooses its batch size by
        itself: ``fp32-bauto``, ``int8-bauto-openvino``.
        """
        if self.batch_size is None and not self.largest_batch:
            return f"{self.dtype}-bauto{self._runtime_text}"
        size = "max" if self.largest_batch else self.batch_size
        rest = (one.id_text(self[one.name]) for one in axes()[2:])
        return "".join((f"{self.dtype}-b{size}", *rest))

    @property
    def precision(self) -> str:
        """What an accuracy depends on: ``fp32``, ``int8-openvino``."""
        return f"{self.dtype}{self._runtime_text}"

    @property
    def _runtime_text(self) -> str:
        return axis("runtime").id_text(self.runtime)

    @property
    def batchless(self: Config) -> Config:
        """The same without what an accuracy does not depend on."""
        return replace(self, batch_size=None, threads=1, largest_batch=False)

    @property
    def id(self) -> str:
        """The suffix, and the device where the run has several: ``fp16-b1@v100``."""
        return f"{self.suffix}@{self.asked}" if self.asked else self.suffix

    @classmethod
    def parse(cls, text: str) -> RunConfig:
        """The inverse of :attr:`id`.

        Raises:
            ValueError: the text is none.
        """
        suffix, _, asked = text.partition("@")
        match = re.fullmatch(config_pattern(any_runtime=True), suffix)
        if match is None:
            raise ValueError(f"{text!r} names no run configuration")
        rest = {one.name: one.parse(match[one.name]) for one in axes()[2:]}
        size = match["batch_size"]
        config = cls(dtype=match["dtype"], asked=asked).with_values(rest)
        if size == "auto":
            return replace(config, batch_size=None)
        return config.with_values({"batch_size": int(size) if size.isdigit() else size})

    @contextmanager
    def held(self) -> Iterator[None]:
        """What registered axes hold while a network is run."""
        with ExitStack() as stack:
            for name, value in self.more:
                running = _AXES[name].running if name in _AXES else None
                if running is not None:
                    stack.enter_context(running(value))
            yield


def config_pattern(*, any_runtime: bool = False) -> str:
    """:attr:`RunConfig.suffix` as a regular expression, with a group for each axis.

    Args:
        any_runtime: whether runtimes may have names that nobody has registered here, as in a file
            from elsewhere.
    """
    dtypes = "|".join(sorted(DTYPES, key=len, reverse=True))
    rest = "".join(one.pattern for one in axes()[2:])
    if any_runtime:
        known = axis("runtime").pattern
        rest = rest.replace(known, rf"(?:-(?P<runtime>(?!(?:nhwc|cold)\b){RUNTIME_NAME}(?!=)\b))?")
    return rf"(?P<dtype>{dtypes})-b(?P<batch_size>\d+|max|auto){rest}"


def dtype_of(suffix: str) -> str:
    """The precision that a cell's name begins with: ``amp-fp16`` of ``amp-fp16-b1``; empty for the
    name of a cell that has none."""
    match = re.match(config_pattern(), suffix)
    return match["dtype"] if match else ""
