"""Weights: where they are sought, what is refused, what ends up in the network."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from archbench.catalog import load_catalog
from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.spec import Target
from archbench.models.building import build
from archbench.models.weight_files import locate_weights, read_state_dict
from archbench.models.weights import load_weighted

CPU = Target("cpu", "any", "cpu")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is here, and nothing can be fetched."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def reason_of(path: Path) -> tuple[str, str]:
    with pytest.raises(NotMeasuredError) as error:
        read_state_dict(path)
    return error.value.reason, str(error.value)


# Reading.


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    state = {"a": torch.arange(3.0)}
    save_file(state, tmp_path / "one.pth")  # the name lies
    torch.save(state, tmp_path / "two.safetensors")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("one.pth", "two.safetensors", "old.pth"):
        assert read_state_dict(tmp_path / name)["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "state_dict_ema"])
def test_checkpoints_of_training_are_unwrapped(tmp_path: Path, wrapper: str) -> None:
    content = {"epoch": 3, wrapper: {"module.a": torch.ones(2), "module.b": torch.ones(1)}}
    torch.save(content, tmp_path / "x.pth")
    assert list(read_state_dict(tmp_path / "x.pth")) == ["a", "b"]


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["pickle", "torch.save", "whole module"])
def test_a_pickle_with_code_is_refused(tmp_path: Path, form: str) -> None:
    harmed, path = tmp_path / "harmed", tmp_path / "x.pth"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"a": Evil(harmed)}))
    elif form == "torch.save":
        torch.save({"a": torch.ones(1), "b": Evil(harmed)}, path)
    else:
        torch.save(torch.nn.Linear(2, 2), path)
    reason, said = reason_of(path)
    assert reason == "weights-hold-code"
    assert "and is refused" in said
    assert not harmed.exists()


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
@pytest.mark.parametrize(
    "content",
    [b"", b"not weights at all", b"\x08\x00\x00\x00\x00\x00\x00\x00{broken}" + b"x" * 40],
)
def test_damaged_files(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    reason, text = reason_of(path)
    assert reason == "weights-damaged"
    assert text.startswith(str(path))


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    for name, write in (("a.safetensors", save_file), ("a.pth", torch.save)):
        write({"a": torch.ones(1000)}, tmp_path / name)
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-900])
        assert reason_of(path)[0] == "weights-damaged"


def test_no_state_dict(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "x.pth")
    assert "holds list, expected a state dict" in reason_of(tmp_path / "x.pth")[1]
    torch.save({"epoch": 3}, tmp_path / "y.pth")
    assert "holds no tensors" in reason_of(tmp_path / "y.pth")[1]


# Into networks.


def saved(id: str, path: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """A file of random weights of an architecture, and what is in it."""
    torch.manual_seed(1)
    spec = load_catalog().get(id)
    module = build(replace(spec, kwargs=(*spec.kwargs, *changes.items())))
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(state, path)
    return state


@pytest.mark.parametrize(
    "id",
    [
        "timm/lcnet_050", "torchvision/squeezenet1_1", "pytorchcv/mobilenet_wd4",
        "archbench/enet_classifier", "torchvision/shufflenet_v2_x0_5",
    ],
)  # fmt: skip
def test_every_library_takes_a_file(id: str, tmp_path: Path) -> None:
    state = saved(id, tmp_path / "x.safetensors")
    model = load_weighted(load_catalog().get(id), CPU, str(tmp_path / "x.safetensors"))
    assert not model.module.training
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, state[name]), name
    content = (tmp_path / "x.safetensors").read_bytes()
    assert model.weights is not None
    assert model.weights.as_dict() == {
        "source": "file",
        "file": "x.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    with torch.inference_mode():
        size = model.spec.input_size
        assert model.scores(torch.zeros(2, *size)).shape == (2, 1000)


def test_precision(tmp_path: Path) -> None:
    saved("torchvision/squeezenet1_1", tmp_path / "x.safetensors")
    spec = load_catalog().get("torchvision/squeezenet1_1")
    model = load_weighted(
        spec, Target("cpu", "any", "cpu", dtype="bf16"), str(tmp_path / "x.safetensors")
    )
    assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("id", ["torchvision/squeezenet1_1", "timm/lcnet_050"])
def test_missing_and_extra_keys_are_named(id: str, tmp_path: Path) -> None:
    state = saved(id, tmp_path / "x.safetensors")
    first = next(name for name in state if name.endswith("weight"))
    fewer = {name: value for name, value in state.items() if name != first}
    save_file({**fewer, "stranger.weight": torch.ones(1000)}, tmp_path / "y.safetensors")
    with pytest.raises(NotMeasuredError) as error:
        load_weighted(load_catalog().get(id), CPU, str(tmp_path / "y.safetensors"))
    assert error.value.reason == "weights-do-not-fit"
    assert first in str(error.value)
    assert "stranger.weight" in str(error.value)


def test_another_shape_is_named(tmp_path: Path) -> None:
    state = saved("torchvision/squeezenet1_1", tmp_path / "x.safetensors")
    save_file({**state, "features.0.weight": torch.ones(1)}, tmp_path / "y.safetensors")
    with pytest.raises(
        NotMeasuredError, match=r"features.0.weight \(1,\) instead of \(64, 3, 3, 3\)"
    ):
        load_weighted(
            load_catalog().get("torchvision/squeezenet1_1"), CPU, str(tmp_path / "y.safetensors")
        )


@pytest.mark.parametrize(
    ("id", "classes"),
    [("torchvision/shufflenet_v2_x0_5", 1001), ("timm/lcnet_050", 21843)],
)
def test_a_head_of_another_label_space_is_kept(id: str, classes: int, tmp_path: Path) -> None:
    saved(id, tmp_path / "x.safetensors", num_classes=classes)
    model = load_weighted(load_catalog().get(id), CPU, str(tmp_path / "x.safetensors"))
    with torch.inference_mode():
        assert model.scores(torch.zeros(1, *model.spec.input_size)).shape == (1, classes)


def test_none_means_filled(tmp_path: Path) -> None:
    model = load_weighted(load_catalog().get("torchvision/squeezenet1_1"), CPU, "none")
    assert model.weights is None
    assert model.weights_name == "none"


# Published ones, from filled caches without a network.


@pytest.mark.requires("timm>=1.0.9")
def test_timms_from_a_filled_cache(empty_caches: Path) -> None:
    spec = load_catalog().get("timm/test_resnet")
    assert spec.weights is not None
    folder = empty_caches / "hub" / f"models--timm--test_resnet.{spec.weights}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc", encoding="utf-8")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    state = saved("timm/test_resnet", folder / "snapshots" / "abc" / "model.safetensors")
    model = load_weighted(spec, CPU, "pretrained")
    assert model.weights is not None
    assert model.weights.source == f"test_resnet.{spec.weights}"
    assert model.weights.is_published
    name = next(iter(state))
    assert torch.equal(model.module.state_dict()[name], state[name])
    # The same by its id on the hub, with a configuration of its own.
    config = {"pretrained_cfg": {"input_size": [3, 160, 160], "num_classes": 1000,
                                 "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "crop_pct": 1.0,
                                 "interpolation": "nearest", "classifier": "fc",
                                 "first_conv": "conv1"}}  # fmt: skip
    (folder / "snapshots" / "abc" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    other = load_weighted(spec, CPU, f"timm/test_resnet.{spec.weights}")
    assert other.weights is not None
    assert not other.weights.is_published
    assert other.transform.mean == (0.1, 0.2, 0.3)
    assert other.transform.interpolation == "nearest"


def test_torchvisions_from_a_filled_cache(empty_caches: Path) -> None:
    """With the auxiliary classifiers that are not built, and the input transformed as trained."""
    from torchvision import models

    spec = load_catalog().get("torchvision/googlenet")
    url = models.GoogLeNet_Weights.IMAGENET1K_V1.url
    path = empty_caches / "torch" / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(models.googlenet(init_weights=False, aux_logits=True).state_dict(), path)
    model = load_weighted(spec, CPU, "pretrained")
    assert model.module.transform_input
    assert model.weights is not None
    assert model.weights.source == "googlenet IMAGENET1K_V1"


def test_pytorchcvs_from_a_filled_cache(empty_caches: Path) -> None:
    spec = load_catalog().get("pytorchcv/mobilenet_wd4")
    with pytest.raises(NotMeasuredError) as error:
        locate_weights(spec, "pretrained")
    # mobilenet_wd4-2218-3185cdd2.pth: its name, its top-5 error and the start of its SHA-1.
    name = str(error.value).split()[0]
    folder = empty_caches / "home" / ".torch" / "models"
    assert f"{name} is not in {folder}" in str(error.value)
    assert f"releases/download/{spec.weights}/{name}.zip there" in str(error.value)
    folder.mkdir(parents=True)
    saved("pytorchcv/mobilenet_wd4", folder / name)
    assert load_weighted(spec, CPU, "pretrained").weights is not None


@pytest.mark.parametrize(
    ("id", "said"),
    [
        pytest.param(
            "timm/resnet50",
            "model.safetensors of timm/resnet50.a1_in1k is not in {hub}/models--timm--resnet50."
            "a1_in1k and could not be fetched (HF_HUB_OFFLINE is set). Where there is a network: "
            "hf download timm/resnet50.a1_in1k model.safetensors; then copy",
            marks=pytest.mark.requires("timm>=0.9"),
        ),
        (
            "torchvision/resnet50",
            "resnet50-11ad3fa6.pth is not in {torch}/hub/checkpoints and could not be fetched "
            "(HF_HUB_OFFLINE is set). Put the file of https://",
        ),
    ],
)
def test_an_empty_cache_says_which_file_goes_where(empty_caches: Path, id: str, said: str) -> None:
    with pytest.raises(NotMeasuredError) as error:
        locate_weights(load_catalog().get(id), "pretrained")
    assert error.value.reason == "weights-not-here"
    wanted = said.format(hub=empty_caches / "hub", torch=empty_caches / "torch")
    assert str(error.value).startswith(wanted)


def test_what_nobody_publishes() -> None:
    for id in ("archbench/bn_alexnet", "timm/mobilenetv2_035"):
        with pytest.raises(NotMeasuredError, match="no weights are published for"):
            locate_weights(load_catalog().get(id), "pretrained")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nowhere.safetensors", "there is no such file"),
        ("dir/nowhere.pth", "there is no such file"),
        ("word", "there is no such file"),
        (".", "it is not a file"),
    ],
)
def test_requests_that_are_none(asked: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        locate_weights(load_catalog().get("timm/resnet50"), asked)
