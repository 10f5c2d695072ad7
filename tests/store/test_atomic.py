"""Files that are read as a whole end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.core.images import Image
from archbench.core.lines import CountLine
from archbench.models.datasets import read_image_bytes
from archbench.store.atomic import regular
from archbench.store.baselines import read_baselines
from archbench.store.configuration import read_toml
from archbench.store.journal import read_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such files")

WHY = "it is a device or a pipe, and no regular file"


@pytest.fixture(params=["device", "pipe"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of one no reader would see the end, of the other not even the beginning."""
    path = tmp_path / "endless"
    if request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(path)
    return path


def test_a_file_and_a_link_to_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "link").symlink_to("file")
    assert regular(tmp_path / "link").read_text(encoding="utf-8") == "x"
    with pytest.raises(FileNotFoundError):
        regular(tmp_path / "none")


@pytest.mark.parametrize(
    "read", [lambda path: read_baselines(path, CountLine), read_toml], ids=["baseline", "rules"]
)
def test_what_never_ends_is_refused(read: Callable[[Path], object], endless: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(endless)
    expected = f"{endless}: it cannot be read ({WHY}). Make it a readable file"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "read",
    [read_run, lambda path: read_image_bytes(path.parent, Image(path.name, 0, None, None))],
    ids=["journal", "image"],
)
def test_what_is_one_of_many_is_left_out(read: Callable[[Path], object], endless: Path) -> None:
    """By whoever reads them, for whom it is a file that cannot be read."""
    with pytest.raises(OSError, match=WHY):
        read(endless)
