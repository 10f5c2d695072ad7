"""Evaluation on real files against numpy."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from archbench.catalog.catalog import load_catalog
from archbench.core.accuracy import Outcomes
from archbench.core.errors import NotMeasuredError
from archbench.core.images import digest_of
from archbench.core.spec import ModelSpec, Target
from archbench.devices.backend import Backend
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.measure.accuracy import (
    Evaluation,
    Workers,
    evaluate,
    loaders_that_fit,
)
from archbench.measure.fingerprints import evaluation_key, fingerprint_of
from archbench.models.datasets import open_images
from archbench.models.loading import load
from archbench.models.quantizing import quantized_layers
from archbench.models.weights import WeightedModel, load_weighted
from tests.devices.virtual_cuda import virtual_cuda

HERE = Workers(loading=0, threads=1)


def weighted(spec: Any, path: Path, dtype: str = "fp32", **sizes: int) -> WeightedModel:
    return load_weighted(spec, Target("cpu", "any", "cpu", dtype=dtype), str(path), None, **sizes)


def evaluated(model: WeightedModel, images: Path, **how: Any) -> Evaluation:
    return evaluate(model, open_images(images), **{"workers": HERE, **how})


@pytest.mark.parametrize("loading", [0, 2])
@pytest.mark.parametrize("file", ["safetensors", "state_dict"])
def test_counts_are_those_of_numpy(digits: Any, digits_spec: Any, file: str, loading: int) -> None:
    model = weighted(digits_spec(), getattr(digits, file))
    found = evaluated(
        model, digits.images, batch_size=64, workers=Workers(loading=loading, threads=1)
    )
    digest = digest_of(open_images(digits.images).images)
    assert found.top1 == Outcomes.of(digits.right[0].tolist(), digest)
    assert found.top5 == Outcomes.of(digits.right[1].tolist(), digest)
    assert found.unreadable == ()
    assert found.images_per_second > 0
    assert 0 <= found.waited <= found.seconds


def test_batches_do_not_change_the_counts(digits: Any, digits_spec: Any) -> None:
    model = weighted(digits_spec(), digits.safetensors)
    whole = evaluated(model, digits.images, batch_size=500)
    parts = evaluated(model, digits.images, batch_size=7)
    assert whole.top1 == parts.top1
    chosen = evaluated(model, digits.images)
    assert 1 <= chosen.batch_size <= 32
    assert chosen.top1 == whole.top1


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_other_precisions_flip_few(digits: Any, digits_spec: Any, dtype: str) -> None:
    found = evaluated(weighted(digits_spec(), digits.safetensors, dtype), digits.images)
    flips = np.abs(found.top1.right - digits.right[0].sum())
    assert flips <= 3


def test_a_smaller_batch_where_memory_runs_out(digits: Any, digits_spec: Any) -> None:
    model = weighted(digits_spec(), digits.safetensors)
    seen: list[int] = []
    inner = model.module

    class Tight(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            seen.append(len(x))
            if len(x) > 20:
                raise MemoryError("no room")
            return inner(x)

    model.loaded.module = Tight()
    found = evaluated(model, digits.images, batch_size=64)
    assert found.batch_size == 16
    assert max(seen) == 64
    assert found.top1.right == digits.right[0].sum()


def test_memory_for_not_even_one_image(digits: Any, digits_spec: Any) -> None:
    model = weighted(digits_spec(), digits.safetensors)

    class Full(torch.nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> Any:
            self.calls += 1
            if self.calls > 1:  # the first is the probe
                raise MemoryError("no room")
            return torch.zeros(len(x), 10)

    model.loaded.module = Full()
    with pytest.raises(MemoryError):
        evaluated(model, digits.images, batch_size=8)


def test_flipped_labels_are_found_exactly(digits: Any, digits_spec: Any, tmp_path: Path) -> None:
    shutil.copytree(digits.images, tmp_path / "val")
    # Images that the network is right about become wrong, by moving them to the next class.
    moved = np.flatnonzero(digits.right[0])[:13]
    for place in moved:
        (path,) = (tmp_path / "val").glob(f"*/{place:04d}.*")
        path.rename(tmp_path / "val" / str((int(path.parent.name) + 1) % 10) / path.name)
    model = weighted(digits_spec(), digits.safetensors)
    found = evaluated(model, tmp_path / "val")
    assert found.top1.right == digits.right[0].sum() - 13


def test_progress_tells_how_far_it_is(digits: Any, digits_spec: Any) -> None:
    said: list[tuple[int, int]] = []
    model = weighted(digits_spec(), digits.safetensors)
    evaluated(model, digits.images, batch_size=200, progress=lambda d, n, s: said.append((d, n)))
    assert said == [(200, 500), (400, 500), (500, 500)]


def test_five_classes_have_no_top5(digits: Any, digits_spec: Any, tmp_path: Path) -> None:
    class Five(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 5)

    for digit in range(5):
        shutil.copytree(digits.images / str(digit), tmp_path / str(digit))
    model = weighted(digits_spec(), digits.safetensors)
    model.loaded.module = Five()
    found = evaluated(model, tmp_path)
    assert found.top5 is None


def test_other_classes_are_refused(digits: Any, digits_spec: Any, tmp_path: Path) -> None:
    for digit in (3, 4, 5):
        shutil.copytree(digits.images / str(digit), tmp_path / str(digit))
    with pytest.raises(NotMeasuredError, match=r"scores of 10 classes, and the images of .* of 3"):
        evaluated(weighted(digits_spec(), digits.safetensors), tmp_path)


def test_scores_that_are_not_finite(digits: Any, digits_spec: Any) -> None:
    model = weighted(digits_spec(), digits.safetensors)
    model.module[5].bias.data.fill_(torch.inf)  # type: ignore[index]
    with pytest.raises(NotMeasuredError, match="not finite in fp32"):
        evaluated(model, digits.images)


def test_cores_are_shared() -> None:
    cpu, cuda = Target("cpu", "any", "cpu"), Target("cuda:0", "any", "any")
    assert Workers.of(cpu, 1) == Workers(0, 1)
    assert Workers.of(cpu, 2) == Workers(1, 1)
    assert Workers.of(cpu, 16) == Workers(4, 12)
    assert Workers.of(cuda, 16) == Workers(15, 1)
    assert Workers.of(cuda, 1) == Workers(1, 1)


# Bad images.


@pytest.fixture
def few(digits: Any, tmp_path: Path) -> Path:
    """Two images of each class."""
    for directory in digits.images.iterdir():
        (tmp_path / "few" / directory.name).mkdir(parents=True)
        for path in sorted(directory.iterdir())[:2]:
            shutil.copy(path, tmp_path / "few" / directory.name)
    return tmp_path / "few"


def test_unreadable_images_are_named_and_left_out(digits: Any, digits_spec: Any, few: Path) -> None:
    whole = evaluated(weighted(digits_spec(), digits.safetensors), few)
    jpeg = next((few / "1").iterdir())
    jpeg.write_bytes(jpeg.read_bytes()[:-200])  # cut off
    png = next((few / "2").iterdir())
    png.write_bytes(b"no image at all")
    (few / "3" / "9999.png").write_bytes(b"")
    found = evaluated(weighted(digits_spec(), digits.safetensors), few)
    assert [name for name, _ in found.unreadable] == sorted(
        [f"1/{jpeg.name}", f"2/{png.name}", "3/9999.png"], key=lambda name: name.rpartition("/")[2]
    )
    causes = dict(found.unreadable)
    assert "truncated" in causes[f"1/{jpeg.name}"]
    assert "cannot identify image file" in causes[f"2/{png.name}"]
    assert found.unreadable_count == 3
    assert found.top1.images == 18
    assert found.top1.digest != whole.top1.digest


def test_nothing_that_can_be_read(digits: Any, digits_spec: Any, few: Path) -> None:
    for path in few.glob("*/*"):
        path.write_bytes(b"no")
    with pytest.raises(NotMeasuredError, match=r"none of 20 images of .* can be read"):
        evaluated(weighted(digits_spec(), digits.safetensors), few)


def test_every_mode_of_colour_counts(digits: Any, digits_spec: Any, few: Path) -> None:
    """Grey, palette, CMYK, 16 bits, transparent: all become RGB."""
    from PIL import Image

    spec = digits_spec()
    before = evaluated(weighted(spec, digits.safetensors), few)
    for path, mode in zip(sorted(few.glob("*/*.png")), ("L", "P", "RGBA", "LA", "1"), strict=False):
        Image.open(path).convert(mode).save(path)
    jpegs = sorted(few.glob("*/*.jpg"))
    Image.open(jpegs[0]).convert("RGB").convert("CMYK").save(jpegs[0], quality=100)
    found = evaluated(weighted(spec, digits.safetensors), few)
    assert found.unreadable == ()
    assert found.top1.images == before.top1.images


def test_huge_images(
    digits: Any, digits_spec: Any, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above PIL's limit without a warning, above twice of it named."""
    from PIL import Image

    Image.new("1", (2400, 2000)).save(few / "0" / "9998.png")
    Image.new("1", (24000, 2000)).save(few / "0" / "9999.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000_000)
    found = evaluated(weighted(digits_spec(), digits.safetensors), few)
    ((name, cause),) = found.unreadable
    assert name == "0/9999.png"
    assert "48000000 pixels" in cause


# The fingerprint.


def test_a_fingerprint_repeats_and_finds_what_changed(digits: Any, digits_spec: Any) -> None:
    from archbench.core.fingerprints import Fingerprint, fingerprint_verdict

    def taken(dtype: str = "fp32", **changes: Any) -> Fingerprint:
        return fingerprint_of(weighted(digits_spec(**changes), digits.safetensors, dtype))[0]

    accepted = Fingerprint.from_dict(taken().as_dict())

    def verdict(now: Fingerprint, dtype: str = "fp32") -> tuple[str, str]:
        found = fingerprint_verdict(accepted, now, dtype)
        return found.status, found.sentence

    assert verdict(taken())[0] == "unchanged"
    for change in (
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.25, 0.3, 0.4)},
        {"crop_fraction": 32 / 37},
        {"interpolation": "bicubic"},
        {"interpolation": "nearest"},
        {"crop_mode": "squash"},
    ):
        status, sentence = verdict(taken(**change))
        assert status == "changed", change
        assert sentence.startswith("preprocessing has changed: its input differs by")
    # A model that computes in fewer bits than it says.
    status, sentence = verdict(taken("bf16"))
    assert status == "changed"
    assert sentence.startswith("scores have changed: its output differs by")
    assert verdict(taken("bf16"), "bf16")[0] == "unchanged"


def test_another_layout_and_a_compiled_model_make_the_same(digits: Any, digits_spec: Any) -> None:
    from archbench.core.fingerprints import fingerprint_verdict

    model = weighted(digits_spec(), digits.safetensors)
    accepted, _ = fingerprint_of(model)
    model.loaded.module = model.module.to(memory_format=torch.channels_last)
    now, _ = fingerprint_of(model)
    assert fingerprint_verdict(accepted, now, "fp32").status == "unchanged"


def test_a_key_names_all_that_outcomes_depend_on(digits: Any, digits_spec: Any, few: Path) -> None:
    images, fewer = open_images(digits.images), open_images(few)

    def key(spec: Any, images: Any, dtype: str = "fp32") -> str:
        model = weighted(spec, digits.safetensors, dtype)
        return evaluation_key(model, images, fingerprint_of(model)[1])

    first = key(digits_spec(), images)
    assert first == key(digits_spec(), images)
    others = [
        key(digits_spec(), fewer),
        key(digits_spec(mean=(0.3, 0.4, 0.6)), images),
        key(digits_spec(), images, "bf16"),
    ]
    assert len({first, *others}) == 4


class Switches(torch.nn.Module):
    """Notes in which numerics its passes run, and on which device."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: set[tuple[bool, bool, int]] = set()

    def forward(self, x: torch.Tensor) -> Any:
        tf32 = bool(torch.backends.cudnn.allow_tf32)
        device = torch.cuda.current_device() if torch.cuda.is_available() else -1
        self.seen.add((torch.is_autocast_enabled("cpu"), tf32, device))
        return self.inner(x)


@pytest.mark.parametrize(("dtype", "autocast"), [("fp32", False), ("amp-bf16", True)])
def test_all_passes_run_in_the_targets_numerics(
    digits: Any, digits_spec: Any, dtype: str, autocast: bool
) -> None:
    model = weighted(digits_spec(), digits.safetensors, dtype)
    model.loaded.module = switches = Switches(model.module)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True  # as torch has it by itself
    try:
        evaluated(model, digits.images, batch_size=64)
        fingerprint_of(model)
    finally:
        torch.backends.cudnn.allow_tf32 = before
    assert {seen[:2] for seen in switches.seen} == {(autocast, False)}


def test_all_passes_run_on_the_targets_device(
    digits: Any, digits_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What reaches the device and what it counts is no matter here.
    monkeypatch.setattr(Cuda, "fed", Cpu.fed)
    monkeypatch.setattr(Cuda, "memory", Backend.memory)
    monkeypatch.setattr(Cuda, "pins_memory", False)
    with virtual_cuda(1) as machine:
        target = Target("cuda:1", "Tesla V100", "v100")
        model = load_weighted(digits_spec(), target, str(digits.safetensors), None)
        model.loaded.module = switches = Switches(model.module)
        found = evaluated(model, digits.images)
        fingerprint_of(model)
        assert {seen[2] for seen in switches.seen} == {1}
        assert machine.current == 0
    assert found.top1.right == digits.right[0].sum()


@pytest.mark.parametrize(("free", "fit"), [(64 << 20, 2), (8 << 30, 256), (1 << 20, 0)])
def test_loading_processes_need_room_to_hand_batches_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, fit: int
) -> None:
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("archbench.measure.accuracy.shutil.disk_usage", lambda _: usage)
    # Four batches of 4 MiB for each, in half of what is free.
    assert loaders_that_fit(4 << 20, tmp_path) == fit
    assert loaders_that_fit(4 << 20, tmp_path / "none") > 1000


def test_a_small_shared_memory_leaves_loading_processes_out(
    digits: Any, digits_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archbench.measure.accuracy.loaders_that_fit", lambda batch: 0)
    model = weighted(digits_spec(), digits.safetensors)
    found = evaluated(model, digits.images, workers=Workers(loading=3, threads=1))
    assert (found.workers.loading, found.left_out) == (0, 3)
    assert found.top1.right == digits.right[0].sum()


@pytest.mark.filterwarnings("ignore")
def test_scripted_networks_are_evaluated(few: Path) -> None:
    def net() -> nn.Module:
        return nn.Sequential(torch.jit.script(nn.Flatten()), nn.Linear(192, 10))

    spec = ModelSpec.of(net, name="net", input_size=8)
    found = evaluated(load_weighted(spec, Target("cpu", "any", "cpu"), "none"), few)
    assert found.top1.images > 0


def test_int8_with_weights_from_a_file_has_quantised_layers(tmp_path: Path) -> None:
    spec = load_catalog().get("torchvision/squeezenet1_1@64")
    target = Target("cpu", "any", "cpu", dtype="int8", memory_format="nhwc")
    path = tmp_path / "weights.pt"
    torch.save(load(spec, target.with_values({"dtype": "fp32"})).module.state_dict(), path)
    loaded = load_weighted(spec, target, str(path)).loaded
    # Of 26 convolutions none is left in fp32.
    assert quantized_layers(loaded.module) == 26
