"""What is said where a model library is absent, broken or too old for an architecture."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

import archbench.zoo
from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.spec import ModelSpec
from archbench.models import libraries
from archbench.models.building import build, build_on_meta
from archbench.models.datasets import imagenet_synsets
from archbench.models.installed import pytorchcv_store, require
from archbench.models.libraries import discover
from archbench.models.networks import construct
from archbench.models.preprocessing import transform_of
from archbench.models.timm_configs import (
    data_config,
    is_bound_to_size,
    tags_weights,
    timm_config,
)
from archbench.models.weight_files import locate_weights
from archbench.zoo import BUILT_ON, CONSTRUCTORS


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Importing a library fails as if it were not installed."""

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
            monkeypatch.setitem(sys.modules, f"{name}.models", None)
            monkeypatch.setitem(sys.modules, f"{name}.model_provider", None)

    return hide


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A ``timm`` of these lines, of a version of one's choice, in place of the installed one."""

    def forget() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] == "timm"]
        return {name: sys.modules.pop(name) for name in names}

    def place(text: str, version: str = "0.5.4") -> None:
        (tmp_path / "timm.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        real = importlib.metadata.version
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: version if name == "timm" else real(name)
        )

    before = forget()
    yield place
    forget()
    sys.modules.update(before)


@pytest.mark.parametrize(
    ("id", "library"),
    [
        ("timm/resnet50", "timm"),
        ("torchvision/resnet18", "torchvision"),
        ("pytorchcv/fbnet_cb", "pytorchcv"),
        ("archbench/densenet264", "torchvision"),
        ("archbench/msdnet_a", "pytorchcv"),
    ],
)
def test_an_absent_library_is_named_with_what_to_install(
    id: str, library: str, without: Any
) -> None:
    without(library)
    spec = ModelSpec(id.partition("/")[0], id.partition("/")[2])
    for attempt in (build, build_on_meta):
        with pytest.raises(NotMeasuredError) as caught:
            attempt(spec)
        assert str(caught.value) == (
            f"{id} needs {library}, which is not installed here. Install it: "
            f"python -m pip install {library}"
        )
        assert caught.value.reason == "library-absent"
        assert caught.value.__cause__ is None  # no traceback: nothing has crashed


def test_the_library_that_a_library_lacks_is_named(without: Any, stub: Any) -> None:
    stub("import torchvision")
    without("torchvision")
    with pytest.raises(NotMeasuredError) as caught:
        require(ModelSpec("timm", "resnet50"))
    assert str(caught.value) == (
        "timm/resnet50 needs torchvision for timm, which is not installed here. Install it: "
        "python -m pip install torchvision"
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist\\nmore')",
            "RuntimeError: operator torchvision::nms does not exist",
        ),
        ("import yaml_of_nobody", "ModuleNotFoundError: No module named 'yaml_of_nobody'"),
        ("raise AssertionError", "AssertionError"),
    ],
)
def test_a_library_that_cannot_be_imported_is_no_crash(text: str, cause: str, stub: Any) -> None:
    stub(text, "0.6.12")
    with pytest.raises(NotMeasuredError) as caught:
        require(ModelSpec("timm", "resnet50"))
    assert str(caught.value) == (
        "timm/resnet50 needs timm 0.6.12, which is installed and cannot be imported "
        f"({cause}). Install a version of it that fits what it imports"
    )
    assert caught.value.reason == "library-broken"


def test_what_an_older_library_lacks_is_named_with_its_version(stub: Any) -> None:
    from archbench.catalog.lists import read_list

    stub("def is_model(name): return name == 'resnet50'", "0.5.4")
    require(ModelSpec("timm", "resnet50"))
    with pytest.raises(NotMeasuredError) as caught:
        require(ModelSpec("timm", "convnextv2_tiny"))
    assert str(caught.value) == (
        "timm/convnextv2_tiny: timm 0.5.4 is installed and has no convnextv2_tiny. "
        f"Install timm {read_list('timm').version}, which the catalogue was made with, or leave "
        "the architecture out"
    )
    assert caught.value.reason == "not-in-library"


@pytest.mark.parametrize("library", ["timm", "torchvision", "pytorchcv"])
def test_a_name_that_no_version_has_is_no_matter_of_versions(library: str) -> None:
    with pytest.raises(NotMeasuredError, match=r" has no resnet51\. See what the catalogue has: "):
        require(ModelSpec(library, "resnet51"))


def test_a_network_of_ones_own_needs_no_library(without: Any) -> None:
    without("timm", "torchvision", "pytorchcv")
    spec = ModelSpec.of(nn.Linear, kwargs={"in_features": 3, "out_features": 2})
    assert isinstance(construct(spec).module, nn.Linear)
    assert transform_of(spec).resize == 256
    assert isinstance(build(ModelSpec("archbench", "bn_alexnet")), nn.Module)
    assert imagenet_synsets()[::999] == ("n01440764", "n15075141")


def test_the_zoo_says_what_it_is_built_on() -> None:
    folder = Path(archbench.zoo.__file__).parent
    found = {}
    for name, place in CONSTRUCTORS.items():
        module = place.partition(":")[0].rpartition(".")[2]
        tree = ast.parse((folder / f"{module}.py").read_text(encoding="utf-8"))
        imported = {
            str(node.module).partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        found[name] = imported & {"timm", "torchvision", "pytorchcv"}
    assert {name: {BUILT_ON[name]} if name in BUILT_ON else set() for name in found} == found


# timm's three ways to say what an architecture is configured to.

SWIN = {"input_size": (3, 224, 224), "fixed_input_size": True, "crop_pct": 0.9}
RESNET = {"input_size": (3, 224, 224), "crop_pct": 0.95, "mean": (0.5, 0.4, 0.3), "std": (1, 1, 1)}


def value_by_value(name: str, key: str) -> Any:
    return {"swin": SWIN, "resnet50": RESNET}.get(name, {}).get(key)


@pytest.fixture(params=["0.5.4", "0.6.13"])
def older(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, stub: Any) -> str:
    """A timm without tags."""
    version: str = request.param
    stub("def is_model(name): return True", version)
    models = ModuleType("timm.models")
    if version == "0.5.4":
        models.get_model_default_value = value_by_value  # type: ignore[attr-defined]
    else:
        models.get_pretrained_cfg = {"swin": SWIN, "resnet50": RESNET}.get  # type: ignore[attr-defined]
    import timm

    timm.models = models
    monkeypatch.setitem(sys.modules, "timm.models", models)
    data = SimpleNamespace(
        # Its signature there, and no crop_mode.
        resolve_data_config=lambda args, default_cfg=None, model=None, use_test_size=False: (
            {key: default_cfg[key] for key in ("crop_pct", "mean", "std")}
            | {"interpolation": "bicubic"}
        )
    )
    timm.data = data
    monkeypatch.setitem(sys.modules, "timm.data", data)
    return version


def test_configurations_of_a_timm_without_tags(older: str) -> None:
    assert not tags_weights()
    assert is_bound_to_size("swin")
    assert not is_bound_to_size("resnet50")
    assert timm_config("resnet50") == timm_config("resnet50", "a1_in1k") == RESNET
    assert data_config(RESNET, use_test_size=False)["crop_mode"] == "center"
    transform = transform_of(ModelSpec("timm", "resnet50", weights="a1_in1k"))
    assert (transform.resize, transform.mean) == (235, (0.5, 0.4, 0.3))


def test_published_weights_need_a_timm_with_tags(older: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        locate_weights(ModelSpec("timm", "resnet50", weights="a1_in1k"), "pretrained")
    assert str(caught.value) == (
        "the weights of timm/resnet50 are those that timm calls resnet50.a1_in1k, and timm "
        f"{older} is installed, which has no such names. Install timm 0.9 or newer, or give a "
        "file: --weights=PATH"
    )


def test_no_list_is_made_of_a_library_that_says_too_little(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as caught:
        discover("timm")
    assert str(caught.value) == (
        f"the list of timm: timm {older} does not say enough about its weights. "
        "Install timm 0.9 or newer"
    )
    monkeypatch.setattr(libraries, "pytorchcv_store", SimpleNamespace)
    with pytest.raises(UsageError, match=r"Install pytorchcv 0\.0\.68 or newer$"):
        discover("pytorchcv")


def test_other_label_spaces_need_a_timm_that_has_them(older: str) -> None:
    imagenet_synsets.cache_clear()
    with pytest.raises(NotMeasuredError) as caught:
        imagenet_synsets("imagenet-12k")
    assert str(caught.value) == (
        f"the label space imagenet-12k is in newer versions of timm, and timm {older} is "
        "installed. Install a newer one, or use weights of 1,000 classes"
    )


def test_a_tag_that_an_older_timm_lacks_is_named() -> None:
    if not tags_weights():
        pytest.skip("this timm has no tags")
    with pytest.raises(NotMeasuredError) as caught:
        timm_config("resnet50", "z9_in1k")
    version = importlib.metadata.version("timm")
    assert str(caught.value) == (
        f"timm {version} is installed and has no weights of resnet50 with the tag z9_in1k. "
        "Install a newer one, or give a file: --weights=PATH"
    )
    # Weights of one's own, or none: what timm would prefer.
    spec = ModelSpec("timm", "resnet50", weights="z9_in1k")
    assert transform_of(spec).crop == (224, 224)


def test_pytorchcvs_store_lies_in_two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(pytorchcv_store().get_model_name_suffix_data)
    for name in ("common", "common.model_store"):
        monkeypatch.setitem(sys.modules, f"pytorchcv.models.{name}", None)
    old = ModuleType("pytorchcv.models.model_store")
    monkeypatch.setitem(sys.modules, "pytorchcv.models.model_store", old)
    assert pytorchcv_store() is old


def test_the_synsets_are_timms() -> None:
    if not tags_weights():
        pytest.skip("this timm has no list of synsets")
    from timm.data import ImageNetInfo

    assert imagenet_synsets() == tuple(ImageNetInfo("imagenet-1k").label_names())
