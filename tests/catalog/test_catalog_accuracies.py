"""Every published accuracy of an architecture, as its document prints it."""

from __future__ import annotations

import json
from pathlib import Path

from archbench.catalog import load_catalog
from archbench.catalog.accuracies import DocumentAccuracy, accuracies_in_documents
from archbench.catalog.documents import published_rows
from archbench.catalog.lists import DATA
from archbench.catalog.published import published_accuracies


def found(id: str) -> dict[tuple[str, str, str | None], float]:
    """By metric, start of the source and remark."""
    return {
        (a.metric, a.source.split()[0].rstrip(":"), a.remark): a.value
        for a in accuracies_in_documents(load_catalog().get(id))
    }


def test_resnet50_has_the_librarys_own_and_those_of_documents() -> None:
    all_of_it = accuracies_in_documents(load_catalog().get("torchvision/resnet50"))
    # torchvision's documentation of ResNet50_Weights.IMAGENET1K_V2: 80.858 and 95.434.
    assert all_of_it[0].value == 80.858
    assert all_of_it[1] == DocumentAccuracy("top5", 95.434, all_of_it[1].source, "IMAGENET1K_V2")
    by = found("torchvision/resnet50")
    # Canziani's validation table: ResNet-50 75.76.
    assert by["top1", "szagoruyko/imagenet-validation.torch", None] == 75.76
    assert ("top1", "Bianco", None) in by
    assert all(a.weights is None for a in all_of_it[2:])


def test_errors_become_accuracies() -> None:
    # Canziani et al., section 2: VGG-16 has a top-5 error of 8.70 % with the central crop.
    by = found("torchvision/vgg16")
    assert by["top5", "quoted", "printed as an error of 8.70 %"] == 91.3


def test_paddleclas_prints_its_own_and_the_references() -> None:
    # ResNet_and_vd_en.md: ResNet50 76.5 and 93.0, reference 0.760 and 0.930.
    by = found("torchvision/resnet50")
    wanted = {
        ("top1", "PaddleClas", None): 76.5,
        ("top5", "PaddleClas", None): 93.0,
        ("top1", "PaddleClas", "reference"): 76.0,
        ("top5", "PaddleClas", "reference"): 93.0,
    }
    assert wanted.items() <= by.items()


def test_references_in_percent() -> None:
    # MixNet_en.md: MixNet_S 76.28, reference 75.8.
    assert found("pytorchcv/mixnet_s")["top1", "PaddleClas", "reference"] == 75.8


def test_the_lightweight_table() -> None:
    # mixnet_l: 78.88 there, and an error of 21.54 % in pytorchcv's own table of later weights.
    by = found("pytorchcv/mixnet_l")
    assert by["top1", "seed", None] == 78.88 or 78.88 in by.values()
    assert 78.46 in by.values()


def test_ports_are_reported_from_originals() -> None:
    by = found("archbench/fbresnet152")
    assert by["top1", "Cadene/pretrained-models.pytorch", "Our porting"] == 77.386


def test_one_architecture_of_two_libraries_has_the_same_documents() -> None:
    of_torchvision = accuracies_in_documents(load_catalog().get("torchvision/resnet50"))
    of_timm = accuracies_in_documents(load_catalog().get("timm/resnet50"))
    assert of_torchvision[2:] == of_timm[2:]
    assert of_timm[0].weights == "a1_in1k"


def test_another_size_has_other_figures() -> None:
    assert found("timm/mobilenetv1_100@192") != found("timm/mobilenetv1_100")
    assert {a.metric for a in accuracies_in_documents(load_catalog().get("timm/resnet50@288"))} == {
        "top1", "top5"
    }  # fmt: skip


def test_every_seed_has_some_and_all_are_percentages() -> None:
    for spec in load_catalog().suite("seeds"):
        figures = accuracies_in_documents(spec)
        assert figures, spec.id
        assert all(40 < figure.value < 100 for figure in figures), spec.id


def test_top5_of_the_libraries() -> None:
    catalog = load_catalog()
    figures = published_accuracies(catalog.get("timm/resnet50"))
    assert figures["top5"].kind == "published"
    assert "top5" in published_accuracies(catalog.get("pytorchcv/efficientnet_b0"))
    counts = {
        library: sum("top5" in published_accuracies(s) for s in catalog.suite(library))
        for library in ("torchvision", "pytorchcv")
    }
    assert counts == {"torchvision": 80, "pytorchcv": 323}


def test_rows_of_paddleclas_are_of_networks_with_as_many_params() -> None:
    accepted = Path(__file__).parents[2] / "baselines" / "complexity.jsonl"
    lines = [json.loads(line) for line in accepted.read_text(encoding="utf-8").splitlines()[1:]]
    params = {line["id"]: line["params"] for line in lines}
    printed: dict[str, list[float]] = {}
    for row in published_rows("paddleclas"):
        if row["params_m"]:
            printed.setdefault(row["model"], []).append(float(row["params_m"]) * 1e6)
    joined = json.loads((DATA / "paddleclas_rows.json").read_bytes())["rows"]
    assert len(joined) == 55
    for name, ids in joined.items():
        for id in ids:
            assert min(abs(params[id] / value - 1) for value in printed[name]) < 0.02, (name, id)


def test_a_row_of_another_network_of_the_same_name_is_not_joined() -> None:
    # PaddleClas' ViT_small_patch16_224 has 48.6 million params, timm's 22.
    assert not any(
        "PaddleClas" in figure.source
        for figure in accuracies_in_documents(load_catalog().get("timm/vit_small_patch16_224"))
    )
