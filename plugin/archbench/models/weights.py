"""Weights of a network, and how they get into the module."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.core.errors import NotMeasuredError, is_out_of_memory
from archbench.core.preprocessing import Transform
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note
from archbench.models.building import build_unfilled
from archbench.models.installed import constructors, require
from archbench.models.loading import TORCH_DTYPES, LoadedModel, finish, load
from archbench.models.networks import OwnNetwork, construct
from archbench.models.outputs import IMAGENET_CLASSES, every_exit
from archbench.models.preprocessing import transform_of
from archbench.models.timm_configs import is_bound_to_size, tags_weights, timm_config
from archbench.models.weight_files import FILLED, WeightsFile, locate_weights, read_state_dict

HEADS = (1000, 1001, 11221, 11821, 21841, 21842, 21843)
"""Numbers of classes of heads that are known, see :mod:`archbench.models.labels`."""

_MORE = 3
"""Names of keys that a message shows."""


@dataclass(slots=True)
class WeightedModel:
    """A model with real weights, in evaluation mode on its device.

    Attributes:
        loaded: the model; the batch size of its target is not used.
        transform: what the weights expect of an image.
        weights: their file; None where it has the values that are timed.
        run: how a runtime runs it: gets images and returns the class scores of each exit. None
            where it is run as it is written.
        notes: what has to be said of that.
    """

    loaded: LoadedModel
    transform: Transform
    weights: WeightsFile | None
    run: Callable[[Tensor], list[Tensor]] | None = None
    notes: tuple[Note, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self.loaded.spec

    @property
    def target(self) -> Target:
        """Where it is."""
        return self.loaded.target

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        return self.loaded.module

    @property
    def weights_name(self) -> str:
        """The start of the file's SHA-256, or ``none``."""
        return FILLED if self.weights is None else self.weights.sha256[:16]

    def scores(self, images: Tensor) -> Tensor:
        """Class scores ``(N, classes)`` of normalised images ``(N, C, H, W)``.

        To be called while the model is :meth:`~archbench.models.loading.LoadedModel.running`.

        Raises:
            ArchitectureError: it does not return a row of scores for each image.
        """
        return self.exits(images)[-1]

    def exits(self, images: Tensor) -> list[Tensor]:
        """The class scores of each exit, the last one those of :meth:`scores`.

        Raises:
            ArchitectureError: see :meth:`scores`.
        """
        if self.run is not None:
            return self.run(images)
        return every_exit(self.spec, self.module(images), len(images), any_classes=True)


def load_weighted(
    spec: ModelSpec,
    target: Target,
    asked: str,
    network: OwnNetwork | None = None,
    *,
    resize: int | None = None,
    crop: int | None = None,
) -> WeightedModel:
    """Build an architecture with real weights on the target's device, in its precision.

    Args:
        spec: of the architecture.
        target: where it is to be.
        asked: see :func:`locate_weights`.
        network: as it was built, where it is a person's own and that has been done.
        resize, crop: see :func:`archbench.models.preprocessing.transform_of`.

    Raises:
        ArchitectureError: it cannot be built.
        NotMeasuredError: weights are not to be had, or do not fit; or the architecture's library
            is not here.
        UsageError: a request for weights that is none.
    """
    start = time.perf_counter()
    require(spec)
    file = locate_weights(spec, asked)
    transform = transform_of(
        spec, resize=resize, crop=crop, config=None if file is None else file.config
    )
    if file is None:
        return WeightedModel(load(spec, target, network), transform, None)
    state = read_state_dict(file.path)
    if spec.is_own:
        network = network or construct(spec)
        state = _fitting(spec, file, network.module, state)
        loaded = load(spec, target, network, state)
    else:
        fill = _with_timm if spec.library == "timm" and tags_weights() else _with_state
        module = fill(spec, file, state)
        loaded = LoadedModel(spec, target, module, 0.0)
        module.to(torch.device(loaded.device.place), TORCH_DTYPES[target.dtype])
        finish(loaded)
    loaded.load_seconds = time.perf_counter() - start
    return WeightedModel(loaded, transform, file)


def _with_timm(spec: ModelSpec, file: WeightsFile, state: dict[str, Tensor]) -> nn.Module:
    """By timm's own loader, which knows each family's older names and the background class."""
    timm = constructors("timm")
    tag = spec.weights if file.is_published else None
    config = file.config or timm_config(spec.name, tag)
    classifier = config.get("classifier")
    first = classifier[0] if isinstance(classifier, (tuple, list)) and classifier else classifier
    weight = state.get(f"{first}.weight")
    classes: Any = None if weight is None else int(weight.shape[0])
    if file.config or file.is_published:
        classes = config.get("num_classes")
    if classes not in HEADS:
        classes = IMAGENET_CLASSES
    kwargs = {**dict(spec.kwargs), "num_classes": classes}
    if not spec.is_native_size and is_bound_to_size(spec.name):
        kwargs["img_size"] = spec.input_size[1:]
    overlay: dict[str, Any] = {"state_dict": state, "num_classes": classes, "custom_load": False}
    if not file.is_published:
        overlay["label_offset"] = 0
    try:
        module: nn.Module = timm.create_model(
            f"{spec.name}.{tag}" if tag else spec.name,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            **kwargs,
        )
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise _do_not_fit(spec, file, str(error)) from error
    return module


def _with_state(spec: ModelSpec, file: WeightsFile, state: dict[str, Tensor]) -> nn.Module:
    """By the module's own names; every parameter has to be in the file, and nothing else."""
    kwargs = dict(spec.kwargs)
    if file.is_published and "aux_logits" in kwargs:
        # What torchvision's constructors do with published weights of the two networks that were
        # trained on images normalised otherwise.
        kwargs["transform_input"] = True
    module = build_unfilled(replace(spec, kwargs=tuple(kwargs.items())))
    head = _other_head(module.state_dict(), state)
    if head is not None and spec.library in LISTED_LIBRARIES:
        module = build_unfilled(replace(spec, kwargs=(*kwargs.items(), ("num_classes", head))))
    fitting = _fitting(spec, file, module, state)
    module.load_state_dict(fitting, strict=False, assign=True)
    left = [name for name, value in module.named_parameters() if value.is_meta]
    if left:
        raise _do_not_fit(spec, file, f"it lacks {', '.join(left[:_MORE])}{_and_more(left)}")
    return module


def _fitting(
    spec: ModelSpec, file: WeightsFile, module: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What a file has of a module's own names.

    Raises:
        NotMeasuredError: it lacks one, or has others, or of other shapes.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not _is_counter(name)]
    extra = [name for name in state if name not in own and not _is_counter(name)]
    if file.is_published:
        # Auxiliary classifiers are for training and are not built.
        extra = [name for name in extra if not name.lower().startswith("aux")]
        extra = [] if spec.library == "pytorchcv" else extra
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    problems = [
        f"{word} {', '.join(names[:_MORE])}{_and_more(names)}"
        for word, names in (("it lacks", missing), ("it has also", extra), ("it has", shapes))
        if names
    ]
    if problems:
        raise _do_not_fit(spec, file, "; ".join(problems))
    return {name: value for name, value in state.items() if name in own}


def _other_head(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> int | None:
    """Classes of a file's head where that is all in which its shapes differ from a module's."""
    differing = [
        (tuple(value.shape), tuple(state[name].shape))
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    heads = {new[0] for old, new in differing if new and old[1:] == new[1:] and old[0] == 1000}
    is_all = all(new and old[1:] == new[1:] and old[0] == 1000 for old, new in differing)
    return heads.pop() if is_all and len(heads) == 1 and heads <= set(HEADS) else None


def _is_counter(name: str) -> bool:
    """Batch norms count the batches they were trained on; nothing reads it in evaluation."""
    return name.endswith("num_batches_tracked")


def _and_more(names: Sequence[str]) -> str:
    return f" and {len(names) - _MORE:,} more" if len(names) > _MORE else ""


def _do_not_fit(spec: ModelSpec, file: WeightsFile, why: str) -> NotMeasuredError:
    text = " ".join(why.split())
    return NotMeasuredError(
        "weights-do-not-fit",
        f"{file.path} does not fit {spec.id}: {text if len(text) < 600 else text[:600] + ' ...'}",
    )
