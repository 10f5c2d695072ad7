"""Architectures of one's own, named by file and constructor."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archbench.catalog.own import is_own_request, own_architectures, requests_in
from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec, OwnSource

SIZES = "Write @192 for square images, @64x128 for height and width, @1x28x28 with channels"

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


def only(request: str, directory: Path, asking: str = "--models=") -> ModelSpec:
    (found,) = own_architectures(request, directory, asking)
    return found


def test_a_constructor(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = only("my_net.py:net", directory)
    assert (spec.id, spec.input_size) == ("local/net", (3, 224, 224))
    place = str((directory / "my_net.py").resolve())
    assert spec.constructor == OwnSource(place, "net", str(directory))
    assert capsys.readouterr().out == ""  # it has not been imported


@pytest.mark.parametrize(
    ("request_", "id", "size", "kwargs"),
    [
        ("my_net.py:net(width=2)", "local/net(width=2)", (3, 224, 224), {"width": 2}),
        ("my_net.py:net@64x128", "local/net@64x128", (3, 64, 128), {}),
        ("my_net.py:net@1x28x28", "local/net@1x28x28", (1, 28, 28), {}),
        ("my_net.py:net@3x8x64x64", "local/net@3x8x64x64", (3, 8, 64, 64), {}),
        (
            "my_net.py:net( width = 0.5, pretrained=False )@96",
            "local/net(pretrained=False,width=0.5)@96",
            (3, 96, 96),
            {"width": 0.5, "pretrained": False},
        ),
        ("package.module:net", "local/net", (3, 224, 224), {}),
        ("my_net.py:Net.small", "local/small", (3, 224, 224), {}),
    ],
)
def test_arguments_and_shapes(
    directory: Path, request_: str, id: str, size: tuple[int, ...], kwargs: dict[str, object]
) -> None:
    (directory / "my_net.py").write_text("class Net: pass\ndef net(): pass\n", encoding="utf-8")
    spec = only(request_, directory)
    assert (spec.id, spec.input_size, dict(spec.kwargs)) == (id, size, kwargs)


def test_a_comma_in_the_name_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    (tmp_path / "a,b" / "net.py").write_text("def net(): pass\n", encoding="utf-8")
    assert requests_in("a,b/net.py:net,timm/resnet50(out_indices=(1,2)),a,c.py:net", tmp_path) == [
        "a,b/net.py:net",
        "timm/resnet50(out_indices=(1,2))",
        "a",
        "c.py:net",
    ]
    assert requests_in("x=a,b/net.py:net,y=c.py:net", tmp_path) == [
        "x=a,b/net.py:net",
        "y=c.py:net",
    ]
    (tmp_path / "c.py").touch()
    two = ["c.py:net(width=1, depth=2)@32", "c.py:net(classes=3)"]
    assert requests_in(",".join(two), tmp_path) == two


def test_a_name_of_ones_own(directory: Path) -> None:
    spec = only("other=my_net.py:net(width=2)@32", directory)
    assert (spec.id, spec.kwargs) == ("local/other(width=2)@32", (("width", 2),))
    assert is_own_request("other=my_net.py:net")
    assert not is_own_request("resnet50(width=2)")
    (directory / "two.py").write_text("def a(): ...\ndef b(): ...\n", encoding="utf-8")
    with pytest.raises(UsageError, match="the glob is about 2 networks"):
        own_architectures("other=two.py:[ab]", directory, "--models=")


def test_a_glob_takes_what_a_file_makes_itself(tmp_path: Path) -> None:
    text = "from torch import nn\ndef small(): ...\ndef _block(): ...\nclass Large: ...\nx = 1\n"
    (tmp_path / "nets.py").write_text(text, encoding="utf-8")
    found = own_architectures("nets.py:*", tmp_path, "--models=")
    assert [spec.id for spec in found] == ["local/small", "local/Large"]


@pytest.mark.parametrize(
    "text",
    [
        "globals()['made'] = print",
        "a, (made, *b) = 1, (2, 3)",
        "for made in (print, len): ...",
        "with open('x') as made: ...",
        "if (made := print): ...",
        "def f():\n    global made\n    made = 1",
        "from torch.nn import *",
        "setattr(sys.modules[__name__], 'made', print)",
        "def __getattr__(name): ...",
        "import made",
    ],
)
def test_names_that_running_a_file_may_make_are_not_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "hubconf.py").write_text(text + "\n", encoding="utf-8")
    assert only("hubconf.py:made", tmp_path).name == "made"


@pytest.mark.parametrize("name", ["net.pt2", "net.pt", "net.onnx", "net.TS"])
def test_a_file_that_is_a_network_by_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    spec = only(f"{name}@96", tmp_path)
    assert (spec.id, spec.input_size) == ("local/net@96", (3, 96, 96))
    with pytest.raises(UsageError, match="which is built already"):
        only(f"{name}(width=2)", tmp_path)


def test_another_size_and_an_absolute_path(directory: Path) -> None:
    spec = only(f"{directory}/my_net.py:net@96", Path("/"))
    assert (spec.id, spec.input_size) == ("local/net@96", (3, 96, 96))


def test_the_same_request_is_the_same_constructor(directory: Path) -> None:
    one, other = (only("my_net.py:net", directory) for _ in range(2))
    assert one.constructor == other.constructor
    assert len({one.constructor, other.constructor}) == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            "my_net.py",
            "it names a file and no constructor in it. Add one of net behind a colon, or a glob "
            "over them: my_net.py:net",
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
        (
            "my_net.py:net@32:4",
            "'my_net.py:net@32' is neither a .py file nor a module. "
            "Write {}path/to/file.py:constructor",
        ),
        ("my_net.py:net@²", f"'²' is not a size in pixels. {SIZES}"),
        ("my_net.py:net@0", f"'0' is not a size in pixels. {SIZES}"),
    ],
)
@pytest.mark.parametrize("asking", ["--models=", "archbench summary "])
def test_messages_spell_how_it_was_asked(
    directory: Path, asking: str, request_: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        only(request_, directory, asking)
    found = message.format(asking, directory=directory.resolve())
    assert str(caught.value) == f"{asking}{request_}: {found}"


def test_a_file_that_is_not_python(directory: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("broken.py is not valid Python (")):
        only("broken.py:net", directory)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfdef net(): pass\n",
        "# coding: latin-1\nNAME = 'r\xe9seau'\ndef net(): pass\n".encode("latin-1"),
    ],
)
def test_a_file_in_an_encoding_that_it_says(directory: Path, text: bytes) -> None:
    (directory / "said.py").write_bytes(text)
    assert only("said.py:*", directory).name == "net"


def test_what_is_about_a_file() -> None:
    assert is_own_request("nets/my_net.py:net@96")
    assert is_own_request("my_net.py")
    assert is_own_request("my_net.py:net(width=0.5)@1x28x28")
    assert is_own_request("package.module:net")
    assert is_own_request("net.pt2")
    for other in ("timm/resnet50", "timm/resnet50(in_chans=1)@96", "local/net@96", "resnet*"):
        assert not is_own_request(other)


@pytest.mark.parametrize(
    "name", ["p(q).py", "n'et$(x);&[1]*.py", "a(b)/c(d).py", "x@y.py", "we ird(2).py"]
)
@pytest.mark.parametrize(
    ("rest", "kwargs", "size"),
    [
        ("", {}, (3, 224, 224)),
        ("@8", {}, (3, 8, 8)),
        ("(width=2)", {"width": 2}, (3, 224, 224)),
        ('(width="a.py:b(c)")@1x8x8', {"width": "a.py:b(c)"}, (1, 8, 8)),
    ],
)
def test_a_file_may_have_brackets_in_its_name(
    tmp_path: Path, name: str, rest: str, kwargs: dict[str, object], size: tuple[int, ...]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(NET, encoding="utf-8")
    request = f"{name}:net{rest}"
    assert is_own_request(request)
    assert requests_in(request, tmp_path) == [request]
    spec = only(request, tmp_path)
    assert spec.constructor == OwnSource(str((tmp_path / name).resolve()), "net", str(tmp_path))
    assert (dict(spec.kwargs), spec.input_size) == (kwargs, size)


def test_an_argument_may_be_a_file() -> None:
    assert not is_own_request("timm/resnet50(path='a.py:b(c)')")
    assert is_own_request("nets.small:net(path='a.py:b(c)')")
