"""timm's configuration of an architecture, whichever version of timm since 0.5.4 has it.

Until 0.5 timm gives one value at a time of what it calls defaults; in 0.6 it gives a dict; from
0.9 on an object with one configuration for each tag of pretrained weights. Whoever needs more of
timm than :func:`timm.create_model` and its list of models asks here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, cast

from archbench.core.errors import NotMeasuredError
from archbench.models.installed import constructors, named_version

_KEYS = (
    "input_size", "test_input_size", "fixed_input_size", "interpolation", "crop_pct", "mean", "std",
    "num_classes", "classifier",
)  # fmt: skip
"""What is asked of the versions that give one value at a time."""


def tags_weights() -> bool:
    """Whether this timm distinguishes weights of one architecture by tags, as 0.9 and newer do."""
    return hasattr(constructors("timm").models, "PretrainedCfg")


class TimmConfig(TypedDict, total=False):
    """What is used of timm's configuration of an architecture's weights."""

    tag: str | None
    url: str
    file: str
    hf_hub_id: str
    hf_hub_filename: str
    num_classes: int
    classifier: str | Sequence[str] | None
    input_size: tuple[int, int, int]
    test_input_size: tuple[int, int, int] | None
    fixed_input_size: bool
    mean: Sequence[float]
    std: Sequence[float]
    crop_pct: float
    crop_mode: str
    interpolation: str


class DataConfig(TypedDict):
    """What timm makes of an image."""

    mean: Sequence[float]
    std: Sequence[float]
    crop_pct: float
    crop_mode: str
    interpolation: str


def timm_config(name: str, tag: str | None = None) -> TimmConfig:
    """The configuration of an architecture; empty where timm has none.

    Args:
        name: that timm constructs it by.
        tag: of its weights; those that timm prefers if None.

    Raises:
        NotMeasuredError: this timm has no weights of that tag.
    """
    models = constructors("timm").models
    if not hasattr(models, "get_pretrained_cfg"):
        found = {key: models.get_model_default_value(name, key) for key in _KEYS}
        return cast("TimmConfig", {key: one for key, one in found.items() if one is not None})
    if not tags_weights():
        return cast("TimmConfig", dict(models.get_pretrained_cfg(name)))
    try:
        config = models.get_pretrained_cfg(f"{name}.{tag}" if tag else name)
    except RuntimeError:
        raise NotMeasuredError(
            "not-in-library",
            f"{named_version('timm')} is installed and has no weights of {name} with the tag "
            f"{tag}. Install a newer one, or give a file: --weights=PATH",
        ) from None
    return cast("TimmConfig", {} if config is None else dict(config.to_dict()))


def is_bound_to_size(name: str) -> bool:
    """timm's own word for "the constructor takes ``img_size``, and the model is bound to it"."""
    return bool(timm_config(name).get("fixed_input_size"))


def data_config(config: TimmConfig, *, use_test_size: bool) -> DataConfig:
    """What timm makes of an image.

    Args:
        config: of an architecture or of its weights.
        use_test_size: whether it is tested at a size of its own.
    """
    resolve_data_config = constructors("timm").data.resolve_data_config
    # By place: the second argument has had two names.
    found = resolve_data_config({}, dict(config), use_test_size=use_test_size)
    # Before 0.9 there is but one mode.
    return cast("DataConfig", {"crop_mode": "center", **found})
