"""The packaged published tables as rows."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from archbench.catalog.counts import FILE, counted_figures
from archbench.catalog.seeds import read_seeds
from archbench.catalog.tables import PUBLISHED, published_table
from archbench.core.choosing import best_by_limits, borrow_memory
from archbench.core.errors import UsageError
from archbench.core.pareto import upper_bound
from archbench.core.rows import Row
from archbench.metrics import METRICS

ROOT = Path(__file__).parents[2]


def at_batch_1(device: str) -> list[Row]:
    return [
        row for row in published_table("bianco2018") if row.device == device and row.batch_size == 1
    ]


def named(rows: list[Row], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def test_bianco_in_si_units() -> None:
    row = named(at_batch_1("titan-xp"), "AlexNet")  # prints 1.28 ms and 0.82 GB
    assert row.id == "torchvision/alexnet"
    assert row.family == "AlexNet"
    assert row.value("latency") == 0.00128
    assert row.value("throughput") == pytest.approx(1000 / 1.28)
    assert row.value("peak_memory") == 0.82e9
    assert row.values["latency"].kind == "published"
    assert "Table 1(a)" in row.values["latency"].source
    assert "Table 2" in row.values["peak_memory"].source
    assert (row.value("params"), row.values["params"].kind) == (61_100_840, "counted")


def test_bianco_prints_the_time_of_an_image() -> None:
    row = next(
        row
        for row in published_table("bianco2018")
        if (row.name, row.device, row.batch_size) == ("AlexNet", "titan-xp", 4)
    )  # prints 0.48 ms per image at batch 4
    assert row.value("latency_per_image") == 0.00048
    assert row.value("latency") == 0.00192
    assert row.value("throughput") == pytest.approx(1000 / 0.48)


def test_bianco_has_44_architectures_of_the_seeds() -> None:
    for device in ("titan-xp", "jetson-tx1"):
        rows = at_batch_1(device)
        assert len(rows) == 44
        assert all("top1" in row.values for row in rows)
        assert not any(row.id.startswith("published/") for row in rows)
    suite = {seed.id for seed in read_seeds() if "bianco" in seed.suites}
    assert {row.id for row in at_batch_1("titan-xp")} == suite


def test_a_top1_that_the_paper_does_not_print_says_whose_it_is() -> None:
    rows = at_batch_1("titan-xp")
    printed = named(rows, "ResNet-50").values["top1"]
    assert (printed.value, "Table 3" in printed.source) == (76.01, True)
    port = named(rows, "SE-ResNet-152").values["top1"]
    assert port.value == 78.658
    assert "(Our porting), the weights that ran" in port.source
    library = named(rows, "DenseNet-161 (k=48)").values["top1"]
    assert library.value == 77.138
    assert library.source.startswith("torchvision ")


TITAN_XP = {
    (0.7e9, 15): "DPN-68, DenseNet-121 (k=32), NASNet-A-Mobile, BN-Inception, MobileNet-v2",
    (0.7e9, 30): "DPN-68, DenseNet-121 (k=32), NASNet-A-Mobile, BN-Inception, MobileNet-v2",
    (0.7e9, 60): "DPN-68, DenseNet-121 (k=32), BN-Inception, MobileNet-v2, ResNet-18",
    (1e9, 15): "Inception-ResNet-v2, Inception-v4, DPN-131, DPN-98, SE-ResNeXt-50 (32x4d)",
    (1e9, 30): "Inception-ResNet-v2, Inception-v4, DPN-131, DPN-98, SE-ResNeXt-50 (32x4d)",
    (1e9, 60): "SE-ResNeXt-50 (32x4d), ResNet-152, Inception-v3, FBResNet-152, ResNet-101",
    (1.4e9, 15): "NASNet-A-Large, SENet-154, SE-ResNeXt-101 (32x4d), Inception-ResNet-v2, "
    "Inception-v4",
    (1.4e9, 30): "NASNet-A-Large, SE-ResNeXt-101 (32x4d), Inception-ResNet-v2, Inception-v4, "
    "DPN-131",
    (1.4e9, 60): "SE-ResNeXt-50 (32x4d), Xception, SE-ResNet-101, ResNet-152, SE-ResNet-50",
}
JETSON_TX1 = {
    (0.7e9, 15): "DenseNet-121 (k=32), BN-Inception, MobileNet-v2, ResNet-18, MobileNet-v1",
    (0.7e9, 30): "MobileNet-v2, ResNet-18, MobileNet-v1, GoogLeNet",
    (0.7e9, 60): "MobileNet-v1",
    (1e9, 15): "ResNet-50, DenseNet-121 (k=32), BN-Inception, ResNet-34, MobileNet-v2",
    (1e9, 30): "MobileNet-v2, ResNet-18, MobileNet-v1, GoogLeNet, SqueezeNet-v1.1",
    (1e9, 60): "MobileNet-v1, SqueezeNet-v1.1",
    (1.4e9, 15): "ResNet-50, DenseNet-121 (k=32), BN-Inception, ResNet-34, MobileNet-v2",
    (1.4e9, 30): "MobileNet-v2, ResNet-18, MobileNet-v1, GoogLeNet, SqueezeNet-v1.1",
    (1.4e9, 60): "MobileNet-v1, SqueezeNet-v1.1",
}
"""Table 3 of Bianco et al. 2018, by memory limit and frame rate. SE-ResNeXt-101 and
Inception-ResNet-v2 have one accuracy, 80.28 %; here the faster stands first."""


def test_the_table_of_bianco() -> None:
    rows, lent = borrow_memory(published_table("bianco2018"))
    assert lent == {"jetson-tx1": "titan-xp"}
    tables = {
        table.device: {
            pair: ", ".join(row.name for row in choice.best) for pair, choice in table.cells.items()
        }
        for table in best_by_limits(rows)
    }
    assert tables == {"titan-xp": TITAN_XP, "jetson-tx1": JETSON_TX1}


def test_the_table_holds_the_architectures_whose_accuracy_it_prints() -> None:
    """The paper prints an exact top-1 for what stands in its table 3, and for nothing else."""
    rows, _ = borrow_memory(published_table("bianco2018"))
    chosen = {
        row.name
        for table in best_by_limits(rows)
        for choice in table.cells.values()
        for row in choice.best
    }
    printed = {row.name for row in rows if "Table 3" in row.values["top1"].source}
    assert len(printed) == 26
    assert chosen == printed


@pytest.mark.parametrize(
    ("device", "intercept", "slope"),
    [("titan-xp", 83.3, -0.0244), ("jetson-tx1", 83.0, -0.2025)],
)
def test_the_upper_bounds_of_bianco(device: str, intercept: float, slope: float) -> None:
    """Section V-D prints both lines, to as many digits."""
    line = upper_bound(at_batch_1(device))
    assert line is not None
    assert (round(line.intercept, 1), round(line.slope, 4)) == (intercept, slope)


def test_bertmoons_operations_are_halved() -> None:
    rows = published_table("bertmoons2018")
    assert len(rows) == 29  # 30 rows, of which the source comments one out
    row = named(rows, "1.0 MobNet-128")  # prints 372 Mops and 4.2 M
    assert row.id == "timm/mobilenetv1_100@128"
    assert (row.value("macs"), row.value("params")) == (186e6, 4.2e6)
    msd = named(rows, "MSD-A")  # prints no params
    assert msd.values["params"].kind == "counted"


def test_paddleclas_latency_of_a_batch() -> None:
    rows = published_table("paddleclas_latency")
    assert {row.device for row in rows} == {"v100", "t4"}
    row = named(rows, "DenseNet121")  # V100, FP32, batch 1: 4.371 ms
    assert (row.device, row.dtype, row.batch_size) == ("v100", "fp32", 1)
    assert row.value("latency") == 0.004371
    assert row.value("top1") == 75.7
    assert row.value("macs") == 2.845e9  # prints 5.690 G, 2 for a multiply-add
    assert row.values["macs"].source.endswith(": DenseNet121, operations halved")
    unstated = [row for row in rows if row.batch_size is None]
    assert len(unstated) == 21
    assert not any("throughput" in row.values for row in unstated)


def test_lightweight_figures_as_printed() -> None:
    row = named(published_table("lightweight2020"), "mixnet_s")
    assert row.id == "pytorchcv/mixnet_s"
    assert (row.value("params"), row.value("top1")) == (4_134_606, 75.99)
    assert row.value("max_channels") == 1536


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_table_reads(name: str) -> None:
    rows = published_table(name)
    assert rows
    for row in rows:
        assert row.values.keys() <= METRICS.keys()
        assert all(figure.source for figure in row.values.values())
        # What archbench counted is no figure of the document.
        for metric, figure in row.values.items():
            assert figure.kind in ("published", "counted", "derived"), metric
    json.dumps([row.as_dict() for row in rows], allow_nan=False)


def test_an_unknown_table() -> None:
    with pytest.raises(UsageError, match=r"published:nobody: there is no published table of that"):
        published_table("nobody")


def test_packaged_counts_are_the_accepted_ones() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "packaged_counts.py"))
    assert FILE.read_text(encoding="utf-8") == tool["document"]()
    assert counted_figures("nobody/nothing") == {}
