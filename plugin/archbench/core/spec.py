"""What is measured (:class:`ModelSpec`) and on what (:class:`Target`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from archbench.core.constructors import (
    bound_arguments,
    is_alike,
    is_same_constructor,
    own_name_of,
)
from archbench.core.errors import UsageError
from archbench.core.requests import arguments_text, size_text
from archbench.core.run_config import RunConfig

LIBRARIES = ("timm", "torchvision", "pytorchcv", "archbench", "local")
"""Where an architecture comes from; ``local`` is a person's own constructor."""

CHANNEL_ARGUMENTS = {"timm": "in_chans", "pytorchcv": "in_channels"}
"""Argument of a library's constructors that says how many channels an image has; the others take
RGB images only, or are a person's own."""

_NAME = re.compile(r"\w([\w.+-]*\w)?")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes a model's input, as the model's own library states it.

    A field is None where the library is silent; ``source`` says who was asked.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    crop_fraction: float | None
    interpolation: str | None
    source: str
    crop_mode: str | None = None
    """``center``: the shorter side is resized, the middle cut out; ``squash``: both sides are
    resized, ``border``: the longer one, the rest padded; then the middle is cut out as well."""


@dataclass(frozen=True, slots=True)
class OwnSource:
    """Where an architecture of a person's own is defined, when it is named on a command line.

    Nothing of it has been imported yet.

    Attributes:
        place: absolute path of a file, or the dotted name of a module.
        attribute: name of the function, class or network in it, possibly dotted; empty where the
            file is the network (``net.pt2``).
        root: directory of the project, from which its packages are imported.
    """

    place: str
    attribute: str
    root: str

    @property
    def is_file(self) -> bool:
        """Whether it is named by a file, not by a module."""
        return "/" in self.place or "\\" in self.place

    def __str__(self) -> str:
        return f"{self.place}:{self.attribute}" if self.attribute else self.place


Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One architecture, as its own library constructs it.

    Attributes:
        library: one of :data:`LIBRARIES`.
        name: the library's own constructor name.
        input_size: channels and sides of one image: ``(3, 224, 224)``.
        kwargs: the constructor's arguments as ``(name, value)`` pairs.
        arguments: those of them that a person chose, which are part of the id.
        architecture: a name that the same architecture shares across libraries.
        label: the name printed in the documents that a seed row comes from, else None.
        weights: the tag of the library's default pretrained weights, None where it has none.
            It says which published figures belong to the model; nothing is downloaded.
        preprocessing: None where the library states none.
        native_size: the architecture's own size where ``input_size`` is another, which is
            then part of the id; None where it is the same.
        constructor: what builds the model, for ``local`` architectures only: a callable, a network
            that is built already, or where one of these is defined.
        scores: which part of what the network returns are its class scores, see
            :func:`archbench.models.outputs.class_scores`; None for the rule.
        inputs: shapes of all inputs of one item where there are several, the image first; or a
            callable that makes them for a batch size.
    """

    library: str
    name: str
    input_size: Sizes = (3, 224, 224)
    kwargs: tuple[tuple[str, Any], ...] = ()
    architecture: str = ""
    label: str | None = None
    weights: str | None = None
    preprocessing: Preprocessing | None = None
    native_size: Sizes | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    constructor: Any = field(default=None, repr=False)
    scores: str | int | None = None
    inputs: tuple[Sizes, ...] | Callable[[int], Any] | None = None

    @property
    def id(self) -> str:
        """``timm/resnet50``; with arguments and input size where they are not the library's own:
        ``timm/resnet50(num_classes=10)@192``."""
        return f"{self.library}/{self.short_name}"

    @property
    def short_name(self) -> str:
        """The id without the library."""
        name = f"{self.name}{arguments_text(self.arguments)}"
        if self.native_size is None:
            return name
        return f"{name}@{size_text(self.input_size, self.native_size[0])}"

    @property
    def is_native_size(self) -> bool:
        """Whether images have the size that the architecture's library gives it."""
        return self.native_size is None

    @property
    def other_inputs(self) -> str | None:
        """What it takes where that is no RGB image; None where it is one."""
        if self.inputs is not None:
            return "inputs of its own"
        is_rgb = len(self.input_size) == 3 and self.input_size[0] == 3
        return None if is_rgb else f"inputs of {self.input_size}"

    @property
    def is_own(self) -> bool:
        """Whether it is a person's own, and not of a library."""
        return self.library == "local"

    @classmethod
    def of(
        cls,
        constructor: Callable[..., Any] | OwnSource,
        *,
        name: str | None = None,
        input_size: int | tuple[int, ...] = 224,
        kwargs: Mapping[str, Any] | None = None,
        preprocessing: Preprocessing | None = None,
        scores: str | int | None = None,
        inputs: Sequence[tuple[int, ...]] | Callable[[int], Any] | None = None,
    ) -> ModelSpec:
        """The spec of a person's own architecture: ``ModelSpec.of(my_net, input_size=160)``.

        Args:
            constructor: called with ``kwargs`` and returns the ``torch.nn.Module``; or a module.
            name: what to call it; by default the constructor's own name and the arguments. The id
                is ``local/NAME``.
            input_size: pixels of a square RGB image, or channels and sides: ``(1, 28, 28)``.
            kwargs: the constructor's arguments.
            preprocessing: how images become its input, for accuracies; ImageNet's habits if None.
            scores: the key, attribute or index of the class scores in what it returns, or
                ``every`` for all exits of a network that has several.
            inputs: shapes of the inputs of one item, without the batch, where there are several:
                ``[(3, 224, 224), (10,)]``; or a callable that gets a batch size and returns the
                tensors.

        Raises:
            UsageError: a name that cannot stand in a test's id, a size that is none.
        """
        if inputs is not None and not callable(inputs):
            inputs = tuple(_own_size(f"ModelSpec.of(inputs={inputs!r})", one) for one in inputs)
            input_size = inputs[0] if inputs else 0
        size = _own_size(f"ModelSpec.of(input_size={input_size!r})", input_size)
        _refuse_constructor(constructor, kwargs)
        bound, given = bound_arguments(constructor), dict(kwargs or {})
        own_name = own_name_of(constructor) if name is None else name
        if not _NAME.fullmatch(own_name):
            raise UsageError(
                f"ModelSpec.of(name={own_name!r})",
                "a name is part of a test's id and of what --models selects",
                "Use letters, digits, and . _ + - between them",
            )
        return cls(
            library="local",
            name=own_name,
            input_size=size,
            kwargs=tuple(sorted(given.items())),
            architecture=own_name,
            preprocessing=preprocessing,
            arguments=() if name is not None else tuple(sorted({**bound, **given}.items())),
            constructor=constructor,
            scores=scores,
            inputs=inputs,
        )

    def with_input_size(self, size: int | Sizes) -> ModelSpec:
        """The same architecture fed images of another size.

        Args:
            size: pixels on a side of a square image, or ``(height, width)``, or channels and sides.
        """
        sides = (size,) if isinstance(size, int) else size
        channels = self.input_size[0]
        if len(sides) == 1:
            sides = (channels, sides[0], sides[0])
        elif len(sides) == 2:
            sides = (channels, *sides)
        native = self.native_size or self.input_size
        kwargs = dict(self.kwargs)
        channel_argument = CHANNEL_ARGUMENTS.get(self.library)
        if channel_argument and sides[0] != native[0]:
            kwargs.setdefault(channel_argument, sides[0])
        return replace(
            self,
            input_size=sides,
            native_size=None if sides == native else native,
            kwargs=tuple(sorted(kwargs.items())),
            weights=self.weights if sides[0] == native[0] else None,
        )

    def with_arguments(self, arguments: Iterable[tuple[str, Any]]) -> ModelSpec:
        """The same constructor called with further arguments, which are then part of the id.

        What was published of the architecture is not of this network.
        """
        given = dict(arguments)
        if not given:
            return self
        changed = replace(
            self,
            kwargs=tuple(sorted({**dict(self.kwargs), **given}.items())),
            arguments=tuple(sorted({**dict(self.arguments), **given}.items())),
            label=None,
            weights=None,
        )
        channels = given.get(CHANNEL_ARGUMENTS.get(self.library, ""))
        if isinstance(channels, int) and channels > 0:
            changed = replace(changed, input_size=(channels, *changed.input_size[1:]))
        return changed

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelSpec):
            return NotImplemented
        return self._says_the_same(other) and is_alike(self.constructor, other.constructor)

    def __hash__(self) -> int:
        return hash(self.id)

    def is_same_network(self, other: ModelSpec) -> bool:
        """Whether both build the same network, and not merely networks of one name."""
        return self._says_the_same(other) and (
            is_same_constructor(self.constructor, other.constructor)
        )

    def _says_the_same(self, other: ModelSpec) -> bool:
        names = (one.name for one in fields(self) if one.name != "constructor")
        return all(is_alike(getattr(self, name), getattr(other, name)) for name in names)


def _refuse_constructor(constructor: object, kwargs: object) -> None:
    if not callable(constructor) and not isinstance(constructor, OwnSource):
        raise UsageError(
            f"ModelSpec.of({constructor!r})", "it cannot be called", "Give the constructor"
        )
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise UsageError(
            f"ModelSpec.of(kwargs={kwargs!r})",
            "the constructor's arguments go by name",
            "Write kwargs={'width': 2}",
        )


def _own_size(asked: str, size: Any) -> Sizes:
    sides = (3, size, size) if type(size) is int else size
    if not (
        isinstance(sides, (tuple, list))
        and sides
        and all(type(side) is int and side > 0 for side in sides)
    ):
        raise UsageError(
            asked,
            "an input size is a number of pixels above 0, or channels and sides",
            "Write input_size=160 or input_size=(1, 28, 28)",
        )
    return tuple(sides)


@dataclass(frozen=True, slots=True)
class Target(RunConfig):
    """On what a model is measured, and how. Its key, with the model's id, names the cell.

    Attributes:
        device: ``cpu``, ``cuda:0``.
        device_name: the vendor's name of it.
        slug: short name of the device for files and tables: ``cpu-amd-epyc``, ``v100``.
        uuid: of the device, where it has one.
    """

    device: str
    device_name: str
    slug: str
    uuid: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
        for name in ("slug", "dtype", "memory_format", "runtime", "asked"):
            if not getattr(self, name).isprintable():
                raise ValueError(f"its {name} is {getattr(self, name)!r}")
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"its {name} is {value!r}")

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda``, ``mps``, ``xpu``."""
        return self.device.partition(":")[0]

    @property
    def is_host(self) -> bool:
        """Whether the device is the processor that this program runs on."""
        return self.kind == "cpu"

    @property
    def identity(self) -> str:
        """What no other device of this machine has: its UUID where it has one."""
        return self.uuid or f"{self.device} {self.device_name}"

    @property
    def images(self) -> int:
        """The batch size of what has one.

        Raises:
            ValueError: it has none.
        """
        if self.batch_size is None:
            raise ValueError(f"{self.key} has no batch size")
        return self.batch_size

    @property
    def config(self) -> RunConfig:
        """How it is run, on whichever device."""
        config = RunConfig(**{one.name: getattr(self, one.name) for one in fields(RunConfig)})
        return replace(config, batch_size=None) if self.largest_batch else config

    @property
    def key(self) -> str:
        """``cpu-amd-epyc/fp32-b1``: device and suffix."""
        return f"{self.slug}/{self.suffix}"
