"""Labelled images on disk: folders of classes, the flat validation set, and archives of either."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from archbench.catalog.lists import DATA
from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.images import Image, ImageSet
from archbench.models.installed import import_library, named_version

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp")
"""Of files that are taken for images, in lower case, as torchvision's ImageFolder takes them."""

GROUND_TRUTH = (
    "ILSVRC2012_validation_ground_truth.txt",
    "imagenet_2012_validation_synset_labels.txt",
    "LOC_val_solution.csv",
    "val.txt",
)
"""Names of files with the labels of the flat set: the development kit's, one synset a line, a table
of names and synsets, ``NAME LABEL`` a line with labels of 0 to 999."""

_SYNSET = re.compile(r"n\d{8}")


@cache
def imagenet_synsets(subset: str = "imagenet-1k") -> tuple[str, ...]:
    """The synsets of a label space in the order of its labels; of others than ImageNet-1k from
    timm's data.

    Raises:
        NotMeasuredError: there is no timm that has them.
    """
    if subset == "imagenet-1k":
        return tuple((DATA / "imagenet_1k_synsets.txt").read_text(encoding="ascii").split())
    timm = import_library("timm", f"the label space {subset}")
    try:
        return tuple(timm.data.ImageNetInfo(subset).label_names())
    except (AttributeError, AssertionError):
        raise NotMeasuredError(
            "library-absent",
            f"the label space {subset} is in newer versions of timm, and {named_version('timm')} "
            "is installed. Install a newer one, or use weights of 1,000 classes",
        ) from None


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a directory or archive: its name from there, and where its bytes lie."""

    name: str
    offset: int | None = None
    size: int | None = None

    @property
    def is_image(self) -> bool:
        base = self.name.rpartition("/")[2]
        return base.lower().endswith(EXTENSIONS) and not base.startswith(".")


def open_images(path: Path) -> ImageSet:
    """Find the labelled images of a place.

    Args:
        path: a directory or an uncompressed tar archive, with a directory for each class, or with
            the images of the official validation set side by side and their ground truth in the
            same place or beside the archive.

    Returns:
        The images in the order of their file names, whatever the layout. Directories named by
        synsets of ImageNet-1k have its labels, also where some are missing; directories named by
        the numbers 0 to n-1 have these; others count in the order of their names.

    Raises:
        UsageError: there is no such place, no image, one class only, or no usable ground truth.
    """
    asked = f"--imagenet={path}"
    if not path.exists():
        raise UsageError(asked, "there is no such file or directory", "Name one that exists")
    is_archive = not path.is_dir()
    files = list(_members(path, asked) if is_archive else _walk(path, asked))
    beside = path.parent if is_archive else path

    def read(file: _File) -> bytes:
        return read_image_bytes(path, Image(file.name, 0, file.offset, file.size))

    images = [file for file in files if file.is_image]
    if not images:
        raise UsageError(
            asked,
            f"there is no image in it ({', '.join(EXTENSIONS)})",
            "Name the directory whose directories are classes, or the one with the images of the "
            "validation set and their ground truth",
        )
    directory_of = _class_directories([file.name for file in images])
    if set(directory_of.values()) == {""}:
        labelled, classes, is_imagenet = _flat(images, files, read, beside, asked)
        layout = "flat"
    else:
        labelled, classes, is_imagenet = _folder(images, directory_of, asked)
        layout = "folder"
    labelled.sort(key=lambda image: (image.name.rpartition("/")[2], image.name))
    return ImageSet(
        str(path),
        tuple(labelled),
        classes,
        f"tar of {layout}" if is_archive else layout,
        is_imagenet,
        len(labelled),
    )


def _walk(root: Path, asked: str) -> Iterator[_File]:
    """The files below a directory, those behind links included.

    Raises:
        UsageError: a link leads to what is there already, whose images would count twice, or
            without end.
    """
    seen: dict[str, str] = {}
    for directory, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(directory)
        first = seen.setdefault(real, directory)
        if first != directory:
            raise UsageError(
                asked,
                f"{directory} is a link to {first}, whose images would be counted again",
                "Remove the link, or name a directory without it",
            )
        names.sort()
        inside = Path(directory).relative_to(root).as_posix()
        for file in sorted(files):
            yield _File(file if inside == "." else f"{inside}/{file}")


def _members(path: Path, asked: str) -> Iterator[_File]:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg():
                    name = member.name.removeprefix("./")
                    yield _File(name, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UsageError(
            asked,
            f"it is neither a directory nor a tar archive that can be read in place ({error})",
            "Unpack a compressed archive to a plain .tar (gunzip), or name a directory",
        ) from error


def read_image_bytes(path: Path, image: Image) -> bytes:
    """The bytes of an image's file.

    Raises:
        OSError: it cannot be read, or the archive ends before it does.
    """
    if image.offset is None:
        file = path / image.name
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "it is a device or a pipe, and no regular file", str(file))
        return file.read_bytes()
    with path.open("rb") as archive:
        archive.seek(image.offset)
        data = archive.read(image.size)
    if len(data) != image.size:
        raise OSError(f"the archive ends within {image.name}")
    return data


def _class_directories(names: Sequence[str]) -> dict[str, str]:
    """The directory of its class by the name of each image; empty where it lies in none."""
    top = _top_directory(names)
    return {name: name.removeprefix(top).rpartition("/")[0].partition("/")[0] for name in names}


def _top_directory(names: Sequence[str]) -> str:
    """``ILSVRC2012/`` where all images lie below one directory that is no class; else nothing.

    An archive is often made of a directory rather than of what lies in it.
    """
    top = names[0].partition("/")[0] + "/"
    if not all(name.startswith(top) for name in names):
        return ""
    deeper = all(name.count("/") >= 2 for name in names)
    is_flat = all(_VALIDATION.match(name.rpartition("/")[2]) for name in names)
    return top if not _SYNSET.fullmatch(top[:-1]) and (deeper or is_flat) else ""


_VALIDATION = re.compile(r"ILSVRC2012_val_\d{8}\.")


def _folder(
    images: Sequence[_File], directory_of: Mapping[str, str], asked: str
) -> tuple[list[Image], tuple[str, ...], bool]:
    names = sorted(set(directory_of.values()))
    if "" in names:
        stray = next(name for name, directory in directory_of.items() if not directory)
        raise UsageError(
            asked,
            f"some images lie in directories and others, as {stray}, beside these",
            "Move them into the directory of their class",
        )
    if len(names) < 2:
        raise UsageError(
            asked,
            f"all images are of one class, {names[0]}: every model would be right",
            "Name the directory above, whose directories are classes",
        )
    classes, is_imagenet = _label_space(names)
    label_of = {name: label for label, name in enumerate(classes)}
    return (
        [
            Image(file.name, label_of[directory_of[file.name]], file.offset, file.size)
            for file in images
        ],
        classes,
        is_imagenet,
    )


def _label_space(names: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Classes in the order of their labels, and whether they are ImageNet-1k's."""
    if all(map(_SYNSET.fullmatch, names)):
        synsets = imagenet_synsets()
        if set(names) <= set(synsets):
            return synsets, True
    if all(name.isdecimal() for name in names):
        numbers = sorted(names, key=int)
        # As text, "10" comes before "2".
        if [int(name) for name in numbers] == list(range(len(numbers))):
            return tuple(numbers), False
    return tuple(names), False


def _flat(
    images: Sequence[_File],
    files: Iterable[_File],
    read: Callable[[_File], bytes],
    beside: Path,
    asked: str,
) -> tuple[list[Image], tuple[str, ...], bool]:
    found = {file.name.rpartition("/")[2]: file for file in files}

    def content(name: str) -> bytes | None:
        if name in found:
            return read(found[name])
        for path in (beside / name, *sorted(beside.glob(f"*/data/{name}"))):
            if path.is_file():
                return path.read_bytes()
        return None

    ordered = sorted(images, key=lambda file: file.name.rpartition("/")[2])
    for name in GROUND_TRUTH:
        text = content(name)
        if text is not None:
            lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines()]
            labels = _labels([line for line in lines if line], ordered, name, content, asked)
            break
    else:
        raise UsageError(
            asked,
            "its images lie side by side, and there is no ground truth in the same place or "
            f"beside it: {', '.join(GROUND_TRUTH)}",
            "Copy one of these there, or sort the images into a directory for each class",
        )
    return (
        [
            Image(file.name, label, file.offset, file.size)
            for file, label in zip(ordered, labels, strict=True)
        ],
        imagenet_synsets(),
        True,
    )


def _labels(
    lines: Sequence[str],
    images: Sequence[_File],
    name: str,
    content: Callable[[str], bytes | None],
    asked: str,
) -> list[int]:
    """The label of each image, in the order of the images' names."""
    stems = [file.name.rpartition("/")[2].rpartition(".")[0] for file in images]
    label_of = {synset: label for label, synset in enumerate(imagenet_synsets())}

    def refuse(found: str, todo: str = "Take the file that belongs to these images") -> UsageError:
        return UsageError(asked, f"{name}: {found}", todo)

    named = _named(lines, is_csv=name.endswith(".csv"))
    if named:
        missing = [stem for stem in stems if stem not in named]
        if missing:
            raise refuse(f"it has no label for {missing[0]} and {len(missing) - 1:,} others")
        words = [named[stem] for stem in stems]
    else:
        if len(lines) != len(images):
            raise refuse(f"it has {len(lines):,} labels, and there are {len(images):,} images")
        words = list(lines)
    if all(word in label_of for word in words):
        return [label_of[word] for word in words]
    if not all(word.isdecimal() for word in words):
        bad = next(word for word in words if word not in label_of)
        raise refuse(f"{bad!r} is no synset of ImageNet-1k")
    numbers = [int(word) for word in words]
    if named:
        if max(numbers) > 999:
            raise refuse(f"the label {max(numbers)} is not one of 0 to 999")
        return numbers
    # The development kit numbers classes from 1 in an order of its own.
    synset_of = _development_kit(content("meta.mat"), refuse)
    unknown = [number for number in numbers if synset_of.get(number) not in label_of]
    if unknown:
        raise refuse(f"meta.mat knows no class {unknown[0]}")
    return [label_of[synset_of[number]] for number in numbers]


def _named(lines: Sequence[str], *, is_csv: bool) -> dict[str, str]:
    """Labels by the name of their image without its ending, where each line names one."""
    if is_csv:
        rows = list(csv.reader(lines))[1:]
        return {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1].split()}
    if all(len(line.split()) == 2 for line in lines):
        return {line.split()[0].rpartition(".")[0]: line.split()[1] for line in lines}
    return {}


def _development_kit(content: bytes | None, refuse: Callable[..., UsageError]) -> dict[int, str]:
    """Synsets by the development kit's number of their class, from its ``meta.mat``."""
    if content is None:
        raise refuse(
            "it numbers the classes in the order of the development kit, which its meta.mat says",
            "Put meta.mat of the same kit beside it, or use a file with synsets",
        )
    try:
        from scipy.io import loadmat

        table: Any = loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    except ModuleNotFoundError:
        raise refuse(
            "reading the development kit's meta.mat needs scipy, which is not installed",
            "pip install scipy, or use a file with synsets",
        ) from None
    except Exception as error:
        raise refuse(f"the meta.mat beside it cannot be read ({error})") from error
