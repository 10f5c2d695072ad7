"""Which architectures of different libraries are the same network."""

from __future__ import annotations

import json

import pytest

from archbench.catalog import load_catalog
from archbench.catalog.lists import DATA
from archbench.measure.complexity import count


def named(architecture: str) -> list[str]:
    catalog = load_catalog().suite("all")
    return [spec.id for spec in catalog if spec.architecture == architecture]


def cost(id: str) -> tuple[int, int]:
    counted = count(load_catalog().get(id))
    return counted.params, counted.macs


def test_resnet50_is_one_network_in_three_libraries() -> None:
    assert named("resnet50") == ["pytorchcv/resnet50b", "timm/resnet50", "torchvision/resnet50"]


def test_a_network_that_only_shares_the_name_is_called_by_its_id() -> None:
    assert load_catalog().get("pytorchcv/resnet50").architecture == "pytorchcv/resnet50"


@pytest.mark.parametrize(
    "architecture",
    ["alexnet", "mobilenet_v2", "mnasnet_b1", "squeezenet1_1", "xception", "fbnet_c", "vgg11_bn"],
)
def test_the_same_network_costs_the_same_in_every_library(architecture: str) -> None:
    ids = named(architecture)
    assert len({id.partition("/")[0] for id in ids}) > 1
    assert len({cost(id) for id in ids}) == 1


@pytest.mark.parametrize("name", ["alexnet", "resnet50"])
def test_a_network_that_only_shares_the_name_costs_something_else(name: str) -> None:
    assert cost(f"pytorchcv/{name}") != cost(f"torchvision/{name}")


def test_another_input_size_is_the_same_architecture() -> None:
    catalog = load_catalog()
    at_192 = catalog.get("timm/mobilenetv1_100@192")
    assert at_192.architecture == catalog.get("timm/mobilenetv1_100").architecture == "mobilenet_v1"


def test_the_file_names_catalogued_architectures_each_once() -> None:
    content = json.loads((DATA / "architectures.json").read_text(encoding="utf-8"))
    ids = [id for group in content["shared"].values() for id in group] + content["distinct"]
    assert len(set(ids)) == len(ids)
    for id in ids:
        assert load_catalog().get(id).id == id


def test_a_name_that_is_shared_is_no_other_networks_name_in_the_same_library() -> None:
    content = json.loads((DATA / "architectures.json").read_text(encoding="utf-8"))
    for name, ids in content["shared"].items():
        libraries = {id.partition("/")[0] for id in ids}
        others = {id for id in named(name) if "@" not in id} - set(ids)
        assert not {id.partition("/")[0] for id in others} & libraries, name
