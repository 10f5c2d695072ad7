"""The seed rows against the documents that they come from."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
import torch

import archbench.catalog
from archbench.catalog import load_catalog
from archbench.catalog.seeds import PublishedRow, SeedRow, read_seeds
from archbench.core.spec import ModelSpec
from archbench.models.building import build_on_meta

PUBLISHED = Path(archbench.catalog.__file__).parent / "data" / "published"
SUITE_OF = {
    "bertmoons2018": "bertmoons",
    "canziani2016": "canziani",
    "bianco2018": "bianco",
    "lightweight2020": "lightweight",
}


def models_of(document: str) -> set[str]:
    """The architectures that a document lists."""
    with (PUBLISHED / f"{document}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if document == "canziani2016":
        rows = [row for row in rows if row["in_canziani_2016"] == "yes"]
    return {row["model"] for row in rows} - {"(all)"}


def seed(label: str) -> SeedRow:
    return next(row for row in read_seeds() if row.label == label)


@pytest.mark.parametrize("document", SUITE_OF)
def test_every_row_of_a_document_is_one_architecture_of_its_suite(document: str) -> None:
    mapped = Counter(
        printed.row
        for row in read_seeds()
        for printed in row.published
        if printed.document == document and SUITE_OF[document] in row.suites
    )
    assert mapped == Counter(models_of(document))


@pytest.mark.parametrize(
    ("suite", "count"),
    # 31 rows less ... are counted in the documents: BertMoons plots 30, Canziani et al. 14 and the
    # update 14 more, Bianco et al. say 44, the survey numbers its rows to 10.
    [("bertmoons", 30), ("canziani", 28), ("bianco", 44), ("lightweight", 10), ("paddleclas", 8)],
)
def test_suites_have_as_many_architectures_as_their_documents(suite: str, count: int) -> None:
    assert len(load_catalog().suite(suite)) == count


def test_the_paddleclas_suite_is_its_page_of_other_networks() -> None:
    assert [spec.label for spec in load_catalog().suite("paddleclas")] == [
        "AlexNet",
        "VGG-11",
        "VGG-13",
        "VGG-16",
        "VGG-19",
        "SqueezeNet-1.0",
        "SqueezeNet-1.1",
        "DarkNet-53",
    ]


def test_labels_and_ids_are_unique() -> None:
    rows = read_seeds()
    assert len({row.label for row in rows}) == len({row.id for row in rows}) == len(rows) == 71


def test_the_seed_suite_has_the_rows_in_their_order() -> None:
    suite = load_catalog().suite("seeds")
    assert [spec.id for spec in suite] == [row.id for row in read_seeds()]
    assert [spec.label for spec in suite] == [row.label for row in read_seeds()]


@pytest.mark.parametrize(
    ("label", "id", "input_size"),
    [
        ("MobileNet 1.0-224", "timm/mobilenetv1_100", 224),
        ("MobileNet 1.0-192", "timm/mobilenetv1_100@192", 192),
        ("MobileNet 1.0-160", "timm/mobilenetv1_100@160", 160),
        ("MobileNet 1.0-128", "timm/mobilenetv1_100@128", 128),
        ("DarkNet-53", "timm/darknet53", 256),
        ("MobileNet 0.75-224", "pytorchcv/mobilenet_w3d4", 224),
        ("NASNet-A-Large", "pytorchcv/nasnet_6a4032", 331),
        ("Inception-v3", "torchvision/inception_v3", 299),
        ("MSDNet D", "archbench/msdnet_d", 224),
        ("DenseNet-BC-264", "archbench/densenet264", 224),
    ],
)
def test_a_seed_row_is_the_architecture_of_the_library(
    label: str, id: str, input_size: int
) -> None:
    spec = load_catalog().get(id)
    assert spec.label == label
    assert spec.input_size == (3, input_size, input_size)
    assert seed(label).id == id


def test_only_three_rows_are_at_a_size_of_their_own() -> None:
    variants = [spec.id for spec in load_catalog().suite("seeds") if not spec.is_native_size]
    assert variants == [f"timm/mobilenetv1_100@{pixels}" for pixels in (192, 160, 128)]


def test_a_seed_row_shares_the_arguments_of_the_librarys_list() -> None:
    (listed,) = load_catalog().select("torchvision", "googlenet")
    (from_seeds,) = load_catalog().select("seeds", "torchvision/googlenet")
    assert listed is from_seeds
    assert dict(listed.kwargs) == {"aux_logits": False, "init_weights": False}


def test_figures_are_kept_as_printed() -> None:
    printed = {row.document: row for row in seed("AlexNet").published}
    assert printed["bertmoons2018"] == PublishedRow(
        "bertmoons2018", "AlexNet", "60.56M", "2500 Mops", "2 ops per multiply-add"
    )
    assert printed["paddleclas"] == PublishedRow(
        "paddleclas",
        "AlexNet",
        "61.09M",
        "1.370 GFLOPs",
        "2 per conv multiply-add, 1 per linear multiply-add; inferred",
    )
    assert printed["bianco2018"] == PublishedRow("bianco2018", "AlexNet")


def test_an_amount_of_operations_has_a_convention() -> None:
    for row in read_seeds():
        for printed in row.published:
            assert (printed.operations is None) == (printed.convention is None), row.label


@pytest.mark.parametrize("spec", load_catalog().suite("seeds"), ids=lambda spec: spec.id)
def test_a_seed_architecture_turns_one_image_into_1000_scores(spec: ModelSpec) -> None:
    model = build_on_meta(spec)
    with torch.no_grad():
        scores = model(torch.empty((1, *spec.input_size), device="meta"))
    assert tuple(scores.shape) == (1, 1000)
