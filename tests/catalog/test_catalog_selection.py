"""Choosing architectures: suites, ids, globs, sizes, and what is said when nothing is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from archbench.catalog import SUITES, Catalog, load_catalog
from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec


@pytest.fixture
def small() -> Catalog:
    """Six architectures in three libraries; one of them a second time at another size."""
    mobile = ModelSpec("timm", "mobilenetv1_100", label="MobileNet 1.0-224")
    specs = [
        ModelSpec("torchvision", "resnet50", label="ResNet-50"),
        ModelSpec("timm", "resnet50"),
        ModelSpec("timm", "resnet18"),
        ModelSpec("pytorchcv", "resnet50"),
        mobile,
        mobile.with_input_size(192),
        ModelSpec("timm", "darknet53", (3, 256, 256)),
    ]
    suites = {
        "seeds": ["torchvision/resnet50", "timm/mobilenetv1_100@192", "timm/mobilenetv1_100"],
        "extra": ["timm/darknet53", "torchvision/resnet50"],
    }
    return Catalog(specs, suites)


def ids(specs: tuple[ModelSpec, ...]) -> list[str]:
    return [spec.id for spec in specs]


def test_the_seed_suite_is_chosen_when_nothing_is_asked(small: Catalog) -> None:
    assert ids(small.select()) == [
        "torchvision/resnet50",
        "timm/mobilenetv1_100@192",
        "timm/mobilenetv1_100",
    ]


@pytest.mark.parametrize("suite", ["seeds,extra", ["seeds", "extra"], " seeds , extra "])
def test_several_suites_are_joined_and_each_architecture_comes_once(
    small: Catalog, suite: str | list[str]
) -> None:
    assert ids(small.select(suite)) == [
        "torchvision/resnet50",
        "timm/mobilenetv1_100@192",
        "timm/mobilenetv1_100",
        "timm/darknet53",
    ]


def test_models_without_a_suite_come_from_the_whole_catalogue_in_the_order_asked(
    small: Catalog,
) -> None:
    chosen = small.select(models="torchvision/resnet50,timm/resnet*")
    assert ids(chosen) == ["torchvision/resnet50", "timm/resnet18", "timm/resnet50"]


@pytest.mark.parametrize("models", ["timm/*,timm/resnet18", ["timm/*", "timm/resnet18"]])
def test_an_architecture_that_two_requests_match_comes_once(
    small: Catalog, models: str | list[str]
) -> None:
    assert ids(small.select(models=models)) == [
        "timm/darknet53",
        "timm/mobilenetv1_100",
        "timm/mobilenetv1_100@192",
        "timm/resnet18",
        "timm/resnet50",
    ]


def test_models_with_a_suite_filter_it_and_keep_its_order(small: Catalog) -> None:
    chosen = small.select("seeds", ["timm/mobilenetv1*", "torchvision/*"])
    assert ids(chosen) == [
        "torchvision/resnet50",
        "timm/mobilenetv1_100@192",
        "timm/mobilenetv1_100",
    ]


def test_a_name_without_a_slash_is_looked_for_in_every_library(small: Catalog) -> None:
    assert ids(small.select(models="resnet50")) == [
        "pytorchcv/resnet50",
        "timm/resnet50",
        "torchvision/resnet50",
    ]


def test_a_glob_respects_case(small: Catalog) -> None:
    with pytest.raises(UsageError):
        small.select(models="timm/ResNet*")


def test_a_size_makes_a_variant_of_any_architecture(small: Catalog) -> None:
    (spec,) = small.select(models="torchvision/resnet50@192")
    assert spec.input_size == (3, 192, 192)
    assert spec.id == "torchvision/resnet50@192"
    assert spec.label is None, "ResNet-50 is the label of the row at 224"


def test_a_size_goes_with_a_glob(small: Catalog) -> None:
    assert ids(small.select(models="timm/resnet*@160")) == [
        "timm/resnet18@160",
        "timm/resnet50@160",
    ]


def test_the_librarys_own_size_is_no_variant(small: Catalog) -> None:
    assert small.select(models="timm/resnet50@224") == small.select(models="timm/resnet50")
    assert small.get("timm/darknet53@256").id == "timm/darknet53"


def test_a_catalogued_variant_keeps_its_label(small: Catalog) -> None:
    assert small.get("timm/mobilenetv1_100@192").label == "MobileNet 1.0-224"


def test_get_takes_an_id_and_not_a_glob(small: Catalog) -> None:
    assert small.get("timm/resnet18").name == "resnet18"
    for request in ("timm/resnet1*", "resnet18"):
        with pytest.raises(UsageError):
            small.get(request)


def refusal(catalog: Catalog, suite: str = "", models: str = "") -> str:
    with pytest.raises(UsageError) as caught:
        catalog.select(suite, models)
    return str(caught.value)


def test_an_unknown_suite_is_refused_with_the_list_of_suites(small: Catalog) -> None:
    assert refusal(small, suite="seed") == (
        "suite 'seed': there is no suite of that name; the nearest is seeds. "
        "Choose from seeds, extra"
    )


def test_an_unknown_architecture_is_refused_with_the_nearest(small: Catalog) -> None:
    assert refusal(small, models="timm/resnet19") == (
        "architecture 'timm/resnet19': none of the 7 architectures of the catalogue has that "
        "name. The nearest are timm/resnet18, timm/resnet50, pytorchcv/resnet50, "
        "torchvision/resnet50"
    )


def test_a_bare_unknown_name_is_refused_with_ids(small: Catalog) -> None:
    assert refusal(small, models="darknet35").endswith("The nearest are timm/darknet53")


def test_the_right_name_in_the_wrong_library_is_found(small: Catalog) -> None:
    assert refusal(small, models="pytorchcv/darknet53").endswith("The nearest are timm/darknet53")


def test_a_name_like_no_other_is_answered_with_the_form_of_an_id(small: Catalog) -> None:
    assert refusal(small, models="zzz").endswith(
        "Write an id such as timm/resnet50, or a glob over ids such as 'timm/resnet*'"
    )


@pytest.mark.parametrize("request_", ["timm/resnet50.a1_in1k", "timm/resnet50.a1_in1k@192"])
def test_a_tag_of_weights_is_refused_as_such(small: Catalog, request_: str) -> None:
    with pytest.raises(UsageError) as caught:
        small.get(request_)
    assert str(caught.value) == (
        f"architecture {request_!r}: 'a1_in1k' is a tag of pretrained weights, and an "
        "architecture is named without one. Write timm/resnet50"
    )


def test_a_glob_without_matches_says_where_it_looked(small: Catalog) -> None:
    assert refusal(small, models="timm/vit*") == (
        "glob 'timm/vit*': it matches none of the 7 architectures of the catalogue. "
        "Write a glob over ids such as 'timm/resnet*', in quotes"
    )


def test_a_glob_that_only_the_suite_lacks_says_where_its_matches_are(small: Catalog) -> None:
    assert refusal(small, suite="seeds", models="timm/resnet*") == (
        "glob 'timm/resnet*': it matches none of the 3 architectures of suite seeds. Leave out "
        "the suite to choose from the whole catalogue, which has timm/resnet18, timm/resnet50"
    )


def test_an_architecture_that_only_the_suite_lacks_is_not_called_unknown(small: Catalog) -> None:
    assert refusal(small, suite="seeds", models="timm/resnet18").startswith(
        "architecture 'timm/resnet18': it matches none of the 3 architectures of suite seeds"
    )


@pytest.mark.parametrize("size", ["", "0", "big", "-1", "1.5"])
def test_a_size_that_is_none_is_refused(small: Catalog, size: str) -> None:
    message = (
        f"architecture 'timm/resnet50@{size}': {size!r} is not a size in pixels. Write "
        "@192 for square images, @64x128 for height and width, @1x28x28 with channels"
    )
    assert refusal(small, models=f"timm/resnet50@{size}") == message
    with pytest.raises(UsageError) as caught:
        small.get(f"timm/resnet50@{size}")
    assert str(caught.value) == message


def test_the_suites_are_those_that_are_described() -> None:
    assert list(SUITES) == [
        "seeds",
        "bertmoons",
        "canziani",
        "bianco",
        "lightweight",
        "paddleclas",
        "timm",
        "torchvision",
        "pytorchcv",
        "all",
    ]
    for suite in SUITES:
        assert load_catalog().suite(suite)


def test_all_holds_every_suite_sorted_and_once() -> None:
    catalog = load_catalog()
    everything = ids(catalog.suite("all"))
    assert everything == sorted(set(everything))
    assert set(everything) == {id for suite in SUITES for id in ids(catalog.suite(suite))}


def test_the_catalogue_is_loaded_once() -> None:
    assert load_catalog() is load_catalog()


def test_loading_the_catalogue_imports_no_heavy_module() -> None:
    program = (
        "import sys; from archbench.catalog import load_catalog, published_top1; "
        "[published_top1(spec) for spec in load_catalog().suite('seeds')]; "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    for name in ("torch", "torchvision", "timm", "pytorchcv", "numpy", "pytest"):
        assert f"'{name}'" not in run.stdout


def test_implementations_of_one_architecture() -> None:
    catalog = load_catalog()
    # pytorchcv's resnet50 is another network of that name, and its resnet50b is this one.
    assert [spec.id for spec in catalog.implementations("resnet50")] == [
        "torchvision/resnet50", "pytorchcv/resnet50", "pytorchcv/resnet50b", "timm/resnet50",
    ]  # fmt: skip
    assert catalog.implementations("timm/resnet50") == catalog.implementations("resnet50")


def test_implementations_that_are_not_there() -> None:
    catalog = load_catalog()
    with pytest.raises(UsageError, match=r"nearest are .*resnet50"):
        catalog.implementations("resnet5O")
    with pytest.raises(UsageError, match="only archbench/msdnet_a is one"):
        catalog.implementations("msdnet_a")
