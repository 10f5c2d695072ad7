"""Weights of a network: where their file is, what is in it, and how they get into the module.

No file is ever unpickled as code: safetensors holds numbers only, and what ``torch.save`` wrote is
read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.core.errors import NotMeasuredError, UsageError, is_out_of_memory, orders_to_end
from archbench.core.preprocessing import Transform
from archbench.core.spec import ModelSpec, Target
from archbench.models.building import build_unfilled
from archbench.models.installed import named_version, pytorchcv_store, require
from archbench.models.loading import TORCH_DTYPES, LoadedModel, load
from archbench.models.networks import OwnNetwork, construct
from archbench.models.outputs import EVERY, IMAGENET_CLASSES, class_scores, every_exit
from archbench.models.preprocessing import transform_of
from archbench.models.timm_configs import is_bound_to_size, tags_weights, timm_config

__all__ = [
    "WeightedModel",
    "WeightsFile",
    "load_weighted",
    "locate_weights",
    "read_state_dict",
]

FILLED = "none"
"""``--weights=none``: numbers of archbench's own, the same in every run."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in a repository of the hub, the one that is preferred first."""

HEADS = (1000, 1001, 11221, 11821, 21841, 21842, 21843)
"""Numbers of classes of heads that are known, see :mod:`archbench.models.labels`."""

_HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?")
_MORE = 3
"""Names of keys that a message shows."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights.

    Attributes:
        path: where it is.
        source: what was asked for: ``timm/resnet50.a1_in1k``, ``file``.
        sha256: of its content, hexadecimal.
        size: in bytes.
        config: timm's configuration of them, where they are not the architecture's own.
        is_published: whether they are the ones that the library publishes for the architecture.
    """

    path: Path
    source: str
    sha256: str
    size: int
    config: Mapping[str, Any] | None = None
    is_published: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Builtin types, for a record."""
        return {
            "source": self.source,
            "file": self.path.name,
            "sha256": self.sha256,
            "bytes": self.size,
        }


@dataclass(slots=True)
class WeightedModel:
    """A model with real weights, in evaluation mode on its device.

    Attributes:
        loaded: the model; the batch size of its target is not used.
        transform: what the weights expect of an image.
        weights: their file; None where it has the values that are timed.
    """

    loaded: LoadedModel
    transform: Transform
    weights: WeightsFile | None

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
        return class_scores(self.spec, self.module(images), len(images), any_classes=True)

    def exits(self, images: Tensor) -> list[Tensor]:
        """The class scores of each exit, the last one those of :meth:`scores`.

        Raises:
            ArchitectureError: see :meth:`scores`.
        """
        if self.spec.scores != EVERY:
            return [self.scores(images)]
        return every_exit(self.spec, self.module(images), len(images))


def locate_weights(spec: ModelSpec, asked: str) -> WeightsFile | None:
    """The file of the weights that were asked for, fetched where it is not here yet.

    Args:
        spec: of the architecture.
        asked: ``pretrained``, ``none``, the path of a file, or the id of a repository of the hub
            (``timm/resnet50.a1_in1k``, with ``hf-hub:`` before it or not).

    Returns:
        None for ``none``.

    Raises:
        UsageError: what was asked for is neither a file nor an id.
        NotMeasuredError: nobody publishes weights for it, or they are not here and cannot be
            fetched; says which file goes where.
    """
    if asked == FILLED:
        return None
    if asked == "pretrained":
        find = _PUBLISHED.get(spec.library)
        if find is None or spec.weights is None:
            raise NotMeasuredError(
                "no-weights",
                f"no weights are published for {spec.id} that classify ImageNet-1k. "
                "Give a file: --weights=PATH",
            )
        path, source = find(spec)
        return _described(path, source, is_published=True)
    path = Path(asked).expanduser()
    if path.is_file():
        return _described(path, "file")
    match = _HUB_ID.fullmatch(asked)
    looks_like_file = path.suffix in (".safetensors", ".pth", ".pt", ".bin") or path.exists()
    if match is None or looks_like_file:
        raise UsageError(
            f"--weights={asked}",
            "there is no such file" if not path.exists() else "it is not a file",
            "Use pretrained, none, a file of weights, or an id of the hub as timm/resnet50.a1_in1k",
        )
    repository, revision = match[1], match[2]
    config = _hub_config(repository, revision)
    return _described(_from_hub(repository, HUB_FILES, revision), repository, config=config)


def _described(
    path: Path,
    source: str,
    *,
    config: Mapping[str, Any] | None = None,
    is_published: bool = False,
) -> WeightsFile:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return WeightsFile(path, source, digest.hexdigest(), path.stat().st_size, config, is_published)


# Where each library keeps its weights.


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def _from_hub(repository: str, names: Sequence[str], revision: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    for name in names:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    cause = "HF_HUB_OFFLINE is set"
    if not _is_offline():
        for name in names:
            try:
                return Path(hf_hub_download(repository, name, revision=revision))
            except orders_to_end():  # noqa: PERF203
                raise
            except Exception as error:
                # Whatever the client or the network raised: the file is not here.
                cause = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    raise NotMeasuredError(
        "weights-not-here",
        f"{names[0]} of {repository} is not in {folder} and could not be fetched ({cause}). "
        f"Where there is a network: hf download {repository} {names[0]}; then copy that directory "
        f"here, or the file alone and give its path: --weights=PATH",
    )


def _hub_config(repository: str, revision: str | None) -> Mapping[str, Any] | None:
    """timm's configuration in a repository; None where it has none."""
    import json

    try:
        path = _from_hub(repository, ("config.json",), revision)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (NotMeasuredError, OSError, ValueError):
        return None
    config = content.get("pretrained_cfg")
    return config if isinstance(config, dict) else None


def _of_timm(spec: ModelSpec) -> tuple[Path, str]:
    tagged = f"{spec.name}.{spec.weights}"
    if not tags_weights():
        raise NotMeasuredError(
            "no-weights",
            f"the weights of {spec.id} are those that timm calls {tagged}, and "
            f"{named_version('timm')} is installed, which has no such names. Install timm 0.9 or "
            "newer, or give a file: --weights=PATH",
        )
    config = timm_config(spec.name, spec.weights)
    if config.get("hf_hub_id"):
        file = config.get("hf_hub_filename")
        repository, _, revision = config["hf_hub_id"].partition("@")
        return _from_hub(repository, (file,) if file else HUB_FILES, revision or None), tagged
    if not config.get("url"):
        raise NotMeasuredError(
            "no-weights", f"timm says no place of the weights {tagged}. Give them: --weights=PATH"
        )
    return _from_url(config["url"], None), tagged


def _of_torchvision(spec: ModelSpec) -> tuple[Path, str]:
    from torchvision import models

    weights = models.get_model_weights(spec.name)[spec.weights]
    # The file is named after the start of its SHA-256.
    match = re.search(r"-([0-9a-f]{8,})\.", weights.url)
    return _from_url(weights.url, match[1] if match else None), f"{spec.name} {spec.weights}"


def _from_url(url: str, sha256_start: str | None) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    cause = "HF_HUB_OFFLINE is set"
    if not _is_offline():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), sha256_start, progress=False)
            return path
        except orders_to_end():
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
    raise NotMeasuredError(
        "weights-not-here",
        f"{path.name} is not in {path.parent} and could not be fetched ({cause}). "
        f"Put the file of {url} there",
    )


def _of_pytorchcv(spec: ModelSpec) -> tuple[Path, str]:
    model_store = pytorchcv_store()
    error_value, sha1, tag = model_store.get_model_name_suffix_data(spec.name)
    name = f"{spec.name}-{error_value}-{sha1[:8]}.pth"
    path = Path("~/.torch/models").expanduser() / name
    if not path.is_file():
        cause = "HF_HUB_OFFLINE is set"
        url = f"{model_store.imgclsmob_repo_url}/releases/download/{tag}/{name}.zip"
        if not _is_offline():
            try:
                return Path(model_store.get_model_file(spec.name)), f"{spec.name} {tag}"
            except orders_to_end():
                raise
            except Exception as error:
                cause = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise NotMeasuredError(
            "weights-not-here",
            f"{name} is not in {path.parent} and could not be fetched ({cause}). "
            f"Unpack {url} there",
        )
    return path, f"{spec.name} {tag}"


_PUBLISHED = {"timm": _of_timm, "torchvision": _of_torchvision, "pytorchcv": _of_pytorchcv}


# What is in a file.


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Names and numbers of a file, by its content rather than by its name.

    A training checkpoint's ``state_dict``, ``model`` or ``state_dict_ema`` is taken out of it, and
    prefixes of wrappers (``module.``, ``_orig_mod.``) are dropped.

    Raises:
        NotMeasuredError: the file holds code, is damaged, or holds no state dict.
    """
    is_safetensors = _is_safetensors(path)
    try:
        if is_safetensors:
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            # A path would be judged by its name.
            with path.open("rb") as file:
                content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        with path.open("rb") as file:
            begins = file.read(1)
        if begins not in (b"\x80", b"P", b"c"):  # a pickle of either kind, or an archive
            raise _damaged(path, error) from error
        raise NotMeasuredError(
            "weights-hold-code",
            f"{path} is a pickle that runs code or makes objects when it is read, and is refused: "
            f"{_global_of(error)}. Save the numbers alone, where the file is trusted: "
            "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')",
        ) from error
    except orders_to_end():
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _damaged(path, error) from error
    for name in ("state_dict_ema", "state_dict", "model_ema", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise NotMeasuredError(
            "weights-damaged", f"{path} holds {type(content).__name__}, expected a state dict"
        )
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise NotMeasuredError("weights-damaged", f"{path} holds no tensors")
    for prefix in ("_orig_mod.", "module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _is_safetensors(path: Path) -> bool:
    """By the first bytes: the length of a JSON header, then the header."""
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9:
        return False
    length = int.from_bytes(start[:8], "little")
    return start[8:9] == b"{" and length < path.stat().st_size


def _damaged(path: Path, error: Exception) -> NotMeasuredError:
    return NotMeasuredError(
        "weights-damaged",
        f"{path} is neither safetensors nor a state dict that torch.save wrote, or it is "
        f"damaged ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})",
    )


def _global_of(error: Exception) -> str:
    """The name of what a pickle wanted to call, as torch's message has it."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(
        r"Unsupported (?:global|class) ([\w.]+)", str(error)
    )
    return f"it asks for {match[1]}" if match else "not only numbers are in it"


# Into a module.


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
        module.eval().requires_grad_(False)
    loaded.load_seconds = time.perf_counter() - start
    return WeightedModel(loaded, transform, file)


def _with_timm(spec: ModelSpec, file: WeightsFile, state: dict[str, Tensor]) -> nn.Module:
    """By timm's own loader, which knows each family's older names and the background class."""
    import timm

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
