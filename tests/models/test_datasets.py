"""Layouts of labelled images, and what is wrong with some."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archbench.core.errors import UsageError
from archbench.core.images import ImageSet
from archbench.models.datasets import imagenet_synsets, open_images, read_image_bytes

# The first, third and last of ImageNet-1k's synsets: tench, great white shark, toilet tissue.
SYNSETS = {"n01440764": 0, "n01484850": 2, "n15075141": 999}
NAMES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 7)]
LABELS = [999, 0, 2, 2, 0, 999]


def touch(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images of three synsets."""
    synset_of = {label: synset for synset, label in SYNSETS.items()}
    for name, label in zip(NAMES, LABELS, strict=True):
        touch(tmp_path / "val" / synset_of[label] / name, name.encode())
    return tmp_path / "val"


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """The same images side by side."""
    for name in NAMES:
        touch(tmp_path / "flat" / name, name.encode())
    return tmp_path / "flat"


def contents(images: ImageSet) -> list[tuple[str, int, str]]:
    return [
        (i.name.rpartition("/")[2], i.label, read_image_bytes(Path(images.path), i).decode())
        for i in images.images
    ]


EXPECTED = [(name, label, name) for name, label in zip(NAMES, LABELS, strict=True)]


def test_synsets_have_imagenets_labels_also_where_some_are_missing(folder: Path) -> None:
    images = open_images(folder)
    assert contents(images) == EXPECTED
    assert images.is_imagenet
    assert images.layout == "folder"
    assert images.classes == imagenet_synsets()
    assert len(images.classes) == 1000
    assert images.of == 6


def test_ones_own_classes_count_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("zebra", "Ape", "bee"):
        touch(tmp_path / name / "deeper" / f"{name}.png")
        touch(tmp_path / name / "notes.txt")
        touch(tmp_path / name / "._hidden.png")
    images = open_images(tmp_path)
    assert images.classes == ("Ape", "bee", "zebra")
    assert not images.is_imagenet
    assert {(i.name, i.label) for i in images.images} == {
        ("Ape/deeper/Ape.png", 0), ("bee/deeper/bee.png", 1), ("zebra/deeper/zebra.png", 2)
    }  # fmt: skip


def test_numbers_count_as_numbers(tmp_path: Path) -> None:
    for number in range(11):
        touch(tmp_path / str(number) / f"{number}.png")
    images = open_images(tmp_path)
    # As text, 10 comes before 2.
    assert {i.label for i in images.images if i.name == "10/10.png"} == {10}
    assert images.classes == tuple(map(str, range(11)))


def test_numbers_with_gaps_are_names(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        touch(tmp_path / str(number) / f"{number}.png")
    assert open_images(tmp_path).classes == ("1", "10", "2")


def development_kit() -> bytes:
    """A ``meta.mat`` in which the three synsets have the numbers 1, 2, 3 in another order."""
    from scipy.io import savemat

    synsets = np.array(
        [(1, "n15075141"), (2, "n01440764"), (3, "n01484850")],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O")],
    )
    file = io.BytesIO()
    savemat(file, {"synsets": synsets})
    return file.getvalue()


OF_LABEL = {label: synset for synset, label in SYNSETS.items()}
KIT_NUMBER = {999: 1, 0: 2, 2: 3}
TRUTHS = {
    "imagenet_2012_validation_synset_labels.txt": "".join(f"{OF_LABEL[x]}\n" for x in LABELS),
    "val.txt": "".join(f"{n} {x}\n" for n, x in reversed(list(zip(NAMES, LABELS, strict=True)))),
    "LOC_val_solution.csv": "ImageId,PredictionString\n"
    + "".join(
        f"{n[:-5]},{OF_LABEL[x]} 1 2 3 4 {OF_LABEL[x]} 5 6 7 8 \n"
        for n, x in zip(NAMES, LABELS, strict=True)
    ),
    "ILSVRC2012_validation_ground_truth.txt": "".join(f"{KIT_NUMBER[x]}\n" for x in LABELS),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_every_form_of_ground_truth(flat: Path, name: str) -> None:
    touch(flat / name, TRUTHS[name].encode())
    touch(flat / "meta.mat", development_kit())
    images = open_images(flat)
    assert contents(images) == EXPECTED
    assert images.layout == "flat"
    assert images.is_imagenet


def test_a_development_kit_beside_the_images(flat: Path) -> None:
    name = "ILSVRC2012_validation_ground_truth.txt"
    touch(flat / "ILSVRC2012_devkit_t12" / "data" / name, TRUTHS[name].encode())
    touch(flat / "ILSVRC2012_devkit_t12" / "data" / "meta.mat", development_kit())
    assert contents(open_images(flat)) == EXPECTED


@pytest.mark.parametrize("inside", ["", "val/"])
def test_archives_are_read_where_they_lie(
    folder: Path, flat: Path, tmp_path: Path, inside: str
) -> None:
    touch(flat / "val.txt", TRUTHS["val.txt"].encode())
    folder_digest = open_images(folder).digest
    for source, layout in ((folder, "tar of folder"), (flat, "tar of flat")):
        archive = tmp_path / f"{source.name}.tar"
        with tarfile.open(archive, "w") as tar:
            for path in sorted(source.rglob("*")):
                tar.add(path, f"{inside}{path.relative_to(source)}", recursive=False)
        images = open_images(archive)
        assert images.layout == layout
        assert contents(images) == EXPECTED
        # The same images in the same order, whatever they lie in.
        assert images.digest == folder_digest


def test_ground_truth_beside_the_official_archive(flat: Path, tmp_path: Path) -> None:
    archive = tmp_path / "ILSVRC2012_img_val.tar"
    with tarfile.open(archive, "w") as tar:
        for name in NAMES:
            tar.add(flat / name, name)
    touch(tmp_path / "val.txt", TRUTHS["val.txt"].encode())
    assert contents(open_images(archive)) == EXPECTED


def test_an_archive_that_was_cut_off(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "val.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, "val")
    images = open_images(archive)
    last = max(images.images, key=lambda image: image.offset or 0)
    archive.write_bytes(archive.read_bytes()[: (last.offset or 0) + 3])
    with pytest.raises(OSError, match="the archive ends within"):
        read_image_bytes(archive, last)


# Bad input.


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as error:
        open_images(path)
    return str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    assert "there is no such file or directory" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "there is no image in it (.jpg, " in refused(tmp_path / "empty")
    touch(tmp_path / "text" / "a" / "b.txt")
    assert "there is no image in it" in refused(tmp_path / "text")


def test_one_class(tmp_path: Path) -> None:
    touch(tmp_path / "cat" / "1.png")
    assert "all images are of one class, cat: every model would be right" in refused(tmp_path)


def test_images_beside_directories(folder: Path) -> None:
    touch(folder / "stray.png")
    assert "some images lie in directories and others, as stray.png, beside" in refused(folder)


def test_no_ground_truth(flat: Path) -> None:
    assert "there is no ground truth in the same place or beside it" in refused(flat)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "imagenet_2012_validation_synset_labels.txt",
            "n01440764\n" * 5,
            "it has 5 labels, and there are 6 images",
        ),
        ("val.txt", f"{NAMES[0]} 3\n", f"it has no label for {NAMES[1][:-5]} and 4 others"),
        ("val.txt", "".join(f"{name} 1000\n" for name in NAMES), "the label 1000 is not one of"),
        (
            "imagenet_2012_validation_synset_labels.txt",
            "n00000000\n" * 6,
            "'n00000000' is no synset of ImageNet-1k",
        ),
        (
            "ILSVRC2012_validation_ground_truth.txt",
            "1\n" * 6,
            "it numbers the classes in the order of the development kit",
        ),
    ],
)
def test_ground_truth_of_something_else(flat: Path, name: str, text: str, said: str) -> None:
    touch(flat / name, text.encode())
    assert re.search(re.escape(said), refused(flat))


KIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize("content", [b"", b"junk" * 100, development_kit()[:200]])
def test_a_kit_that_cannot_be_read(flat: Path, content: bytes) -> None:
    touch(flat / KIT_TRUTH, TRUTHS[KIT_TRUTH].encode())
    touch(flat / "meta.mat", content)
    assert "the meta.mat beside it cannot be read" in refused(flat)


def test_a_kit_without_what_reads_it(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(flat / KIT_TRUTH, TRUTHS[KIT_TRUTH].encode())
    touch(flat / "meta.mat", development_kit())
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    said = refused(flat)
    assert "meta.mat needs scipy, which is not installed. pip install scipy, or use" in said


def test_a_class_that_the_kit_does_not_know(flat: Path) -> None:
    touch(flat / "ILSVRC2012_validation_ground_truth.txt", b"1\n2\n3\n4\n1\n2\n")
    touch(flat / "meta.mat", development_kit())
    assert "meta.mat knows no class 4" in refused(flat)


def test_a_compressed_archive(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "val.tar.gz", "w:gz") as tar:
        tar.add(folder, "val")
    said = refused(tmp_path / "val.tar.gz")
    assert "neither a directory nor a tar archive that can be read in place" in said
    assert "Unpack a compressed archive" in said


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    touch(tmp_path / "x.tar", b"no archive" * 100)
    assert "neither a directory nor a tar archive" in refused(tmp_path / "x.tar")


# Label spaces of networks.


def images_of_imagenet() -> Any:
    return ImageSet("x", (), imagenet_synsets(), "folder", True, 0)


@pytest.mark.requires("timm>=1")
@pytest.mark.parametrize(("classes", "lacking"), [(21841, 1), (21843, 1), (21842, 0), (11221, 9)])
def test_larger_label_spaces_are_mapped(classes: int, lacking: int) -> None:
    import torch
    from timm.data.imagenet_info import ImageNetInfo

    from archbench.models.labels import SUBSETS, columns_for, in_columns

    columns = columns_for(classes, images_of_imagenet(), "timm/a")
    assert columns is not None
    assert len(columns) == 1000
    assert int((columns < 0).sum()) == lacking
    names = ImageNetInfo(SUBSETS[classes]).label_names()
    for label, column in enumerate(columns.tolist()):
        assert column < 0 or names[column] == imagenet_synsets()[label]
    scores = in_columns(torch.arange(float(classes))[None], columns)[0]
    assert int(torch.isinf(scores).sum()) == lacking
    assert scores[columns >= 0].tolist() == columns[columns >= 0].tolist()


def test_the_background_comes_first() -> None:
    from archbench.models.labels import columns_for

    columns = columns_for(1001, images_of_imagenet(), "timm/a")
    assert columns is not None
    assert columns.tolist() == list(range(1, 1001))
    assert columns_for(1000, images_of_imagenet(), "timm/a") is None


def test_unknown_label_spaces_are_refused() -> None:
    from archbench.core.errors import NotMeasuredError
    from archbench.models.labels import columns_for

    with pytest.raises(NotMeasuredError, match="scores of 365 classes: no label space"):
        columns_for(365, images_of_imagenet(), "timm/a")


@pytest.mark.parametrize("target", ["..", "../a"], ids=["to itself", "to another class"])
def test_a_link_to_what_is_there_already_is_refused(tmp_path: Path, target: str) -> None:
    """Its images would be counted twice, or without end."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").touch()
    assert len(open_images(tmp_path).images) == 2
    (tmp_path / "b" / "link").symlink_to(target)
    with pytest.raises(UsageError, match=r"link is a link to .*, whose images would be counted"):
        open_images(tmp_path)
