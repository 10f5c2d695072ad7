"""Architectures of one's own, named by file and constructor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archbench.catalog.own_files import constructor_from_file, is_file_request
from archbench.core.errors import UsageError

NET = """
print("not before the model is built")

def net(width=1):
    return width
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "my_net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "broken.py").write_text("def net(:\n", encoding="utf-8")
    return tmp_path


def test_a_constructor(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = constructor_from_file("my_net.py:net", directory, "--models=")
    assert (spec.id, spec.input_size) == ("local/net", (3, 224, 224))
    assert capsys.readouterr().out == ""
    assert spec.constructor is not None
    assert spec.constructor(width=3) == 3
    assert capsys.readouterr().out != ""


def test_another_size_and_an_absolute_path(directory: Path) -> None:
    spec = constructor_from_file(f"{directory}/my_net.py:net@96", Path("/"), "--models=")
    assert (spec.id, spec.input_size) == ("local/net@96", (3, 96, 96))


def test_the_same_request_is_the_same_constructor(directory: Path) -> None:
    one, other = (constructor_from_file("my_net.py:net", directory, "") for _ in range(2))
    assert one.constructor == other.constructor
    assert len({one.constructor, other.constructor}) == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            "my_net.py",
            "it names a file and no constructor in it. Write {}path/to/file.py:constructor",
        ),
        (
            "none.py:net",
            "there is no file {directory}/none.py. Write {}path/to/file.py:constructor",
        ),
        (
            "my_net.py:other",
            "my_net.py defines no 'other'; it has net. "
            "Name a function or class in it that returns the model",
        ),
        ("my_net.py:net@²", "'²' is not a size in pixels. Write {}my_net.py:net@192"),
        ("my_net.py:net@0", "'0' is not a size in pixels. Write {}my_net.py:net@192"),
    ],
)
@pytest.mark.parametrize("asking", ["--models=", "archbench summary "])
def test_messages_spell_how_it_was_asked(
    directory: Path, asking: str, request_: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        constructor_from_file(request_, directory, asking)
    found = message.format(asking, directory=directory.resolve())
    assert str(caught.value) == f"{asking}{request_}: {found}"


def test_a_file_that_is_not_python(directory: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("broken.py is not valid Python (")):
        constructor_from_file("broken.py:net", directory, "--models=")


def test_what_is_about_a_file() -> None:
    assert is_file_request("nets/my_net.py:net@96")
    assert is_file_request("my_net.py")
    assert not is_file_request("timm/resnet50")
