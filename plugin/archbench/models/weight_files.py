"""Files of weights: where they are, and what is in them.

No file is ever unpickled as code: safetensors holds numbers only, and what ``torch.save`` wrote is
read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from archbench.core.entries import StoredWeights
from archbench.core.errors import (
    NotMeasuredError,
    UsageError,
    is_out_of_memory,
    named,
    orders_to_end,
)
from archbench.core.spec import ModelSpec
from archbench.models.installed import constructors, named_version, pytorchcv_store
from archbench.models.timm_configs import TimmConfig, tags_weights, timm_config

FILLED = "none"
"""``--weights=none``: numbers of archbench's own, the same in every run."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weights in a repository of the hub, the one that is preferred first."""

_HUB_ID = re.compile(r"(?:hf[-_]hub:)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?")


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
    config: TimmConfig | None = None
    is_published: bool = False

    def as_dict(self) -> StoredWeights:
        """Builtin types, for a record."""
        return {
            "source": self.source,
            "file": self.path.name,
            "sha256": self.sha256,
            "bytes": self.size,
        }


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
        return _published(spec)
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


def _published(spec: ModelSpec) -> WeightsFile:
    find = _PUBLISHED.get(spec.library)
    if find is None or spec.weights is None:
        raise NotMeasuredError(
            "no-weights",
            f"no weights are published for {spec.id} that classify ImageNet-1k. "
            "Give a file: --weights=PATH",
        )
    path, source = find(spec)
    return _described(path, source, is_published=True)


def _described(
    path: Path,
    source: str,
    *,
    config: TimmConfig | None = None,
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


def _fetched(tries: Iterable[Callable[[], Any]], lacking: str, remedy: str) -> Path:
    """The file that the first of several tries fetches.

    Raises:
        NotMeasuredError: none does; has what the last one raised.
    """
    cause = "HF_HUB_OFFLINE is set"
    for fetch in () if _is_offline() else tries:
        try:
            return Path(fetch())
        except orders_to_end():  # noqa: PERF203
            raise
        except Exception as error:
            # Whatever the client or the network raised: the file is not here.
            cause = named(error)
    raise NotMeasuredError(
        "weights-not-here", f"{lacking} and could not be fetched ({cause}). {remedy}"
    )


def _from_hub(repository: str, names: Sequence[str], revision: str | None) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    for name in names:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    return _fetched(
        [partial(hf_hub_download, repository, name, revision=revision) for name in names],
        f"{names[0]} of {repository} is not in {folder}",
        f"Where there is a network: hf download {repository} {names[0]}; then copy that directory "
        "here, or the file alone and give its path: --weights=PATH",
    )


def _hub_config(repository: str, revision: str | None) -> TimmConfig | None:
    """timm's configuration in a repository; None where it has none."""
    try:
        path = _from_hub(repository, ("config.json",), revision)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (NotMeasuredError, OSError, ValueError):
        return None
    config = content.get("pretrained_cfg")
    return cast("TimmConfig", config) if isinstance(config, dict) else None


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
    models = constructors("torchvision")
    weights = models.get_model_weights(spec.name)[spec.weights]
    # The file is named after the start of its SHA-256.
    match = re.search(r"-([0-9a-f]{8,})\.", weights.url)
    return _from_url(weights.url, match[1] if match else None), f"{spec.name} {spec.weights}"


def _from_url(url: str, sha256_start: str | None) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path

    def fetch() -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), sha256_start, progress=False)
        return path

    lacking = f"{path.name} is not in {path.parent}"
    return _fetched([fetch], lacking, f"Put the file of {url} there")


def _of_pytorchcv(spec: ModelSpec) -> tuple[Path, str]:
    model_store = pytorchcv_store()
    error_value, sha1, tag = model_store.get_model_name_suffix_data(spec.name)
    name = f"{spec.name}-{error_value}-{sha1[:8]}.pth"
    path = Path("~/.torch/models").expanduser() / name
    if not path.is_file():
        url = f"{model_store.imgclsmob_repo_url}/releases/download/{tag}/{name}.zip"
        path = _fetched(
            [partial(model_store.get_model_file, spec.name)],
            f"{name} is not in {path.parent}",
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
    content = _loaded(path)
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


def _loaded(path: Path) -> object:
    """What a file of weights holds, read in a way that runs no code of it.

    Raises:
        NotMeasuredError: the file holds code, or is damaged.
    """
    is_safetensors = _is_safetensors(path)
    try:
        if is_safetensors:
            return load_file(path)
        # A path would be judged by its name.
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
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
        f"damaged ({named(error)})",
    )


def _global_of(error: Exception) -> str:
    """The name of what a pickle wanted to call, as torch's message has it."""
    match = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(
        r"Unsupported (?:global|class) ([\w.]+)", str(error)
    )
    return f"it asks for {match[1]}" if match else "not only numbers are in it"
