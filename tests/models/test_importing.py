"""Files of a person's own are imported each as what it says, and leave nothing behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from archbench.catalog.own import own_architectures
from archbench.core.errors import ArchitectureError
from archbench.core.spec import Target
from archbench.models.importing import own_modules
from archbench.models.loading import load
from archbench.models.networks import OwnNetwork, construct

BLOCK = "from torch import nn\ndef block():\n    return nn.Conv2d(3, 8, {kernel})\n"
NET = """
from {place} import block
from torch import nn

def net():
    return nn.Sequential(block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
"""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Whatever a file does, the process is afterwards as it was."""
    path, argv, hooks = list(sys.path), list(sys.argv), list(sys.meta_path)
    names = set(sys.modules)
    yield
    assert (sys.path, sys.argv, sys.meta_path) == (path, argv, hooks)
    left = {name for name in set(sys.modules) - names if name.partition(".")[0] in OWN}
    assert not left


OWN = ("blocks", "models", "helpers", "pkg", "net", "inner", "far", "made_by_hand", "argparse_net")


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        folder = name.removesuffix("____init__")
        path = root / folder.replace("__", "/")
        path = path.with_suffix(".py") if folder == name else path / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def network(request: str, root: Path) -> OwnNetwork:
    (spec,) = own_architectures(f"{request}@32", root, "--models=", root)
    return construct(spec)


def kernel(built: OwnNetwork) -> int:
    convolution = built.module.get_submodule("0")
    assert isinstance(convolution, nn.Conv2d)
    return convolution.kernel_size[0]


def test_siblings_of_one_name_in_two_folders(tmp_path: Path) -> None:
    for folder, size in (("old", 3), ("new", 5)):
        write(tmp_path / folder, blocks=BLOCK.format(kernel=size), net=NET.format(place="blocks"))
    for _ in range(2):
        assert kernel(network("old/net.py:net", tmp_path)) == 3
        assert kernel(network("new/net.py:net", tmp_path)) == 5


def test_packages_of_one_name_in_two_folders(tmp_path: Path) -> None:
    for folder, size in (("old", 3), ("new", 5)):
        write(tmp_path / folder, models__stem=BLOCK.format(kernel=size))
        write(tmp_path / folder, pack=NET.format(place="models.stem"), models____init__="")
    assert kernel(network("old/pack.py:net", tmp_path)) == 3
    assert kernel(network("new/pack.py:net", tmp_path)) == 5


def test_a_module_of_the_project_that_is_imported_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, helpers=BLOCK.format(kernel=1), net=NET.format(place="helpers"))
    write(tmp_path / "third", helpers=BLOCK.format(kernel=7), net=NET.format(place="helpers"))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        helpers = importlib.import_module("helpers")
        assert kernel(network("third/net.py:net", tmp_path)) == 7
        assert sys.modules["helpers"] is helpers
        # The project's own file uses the project's own module, and no copy of it.
        own = network("net.py:net", tmp_path)
        assert kernel(own) == 1
        assert sys.modules.pop("helpers") is helpers


@pytest.mark.parametrize("is_package", [True, False])
def test_relative_imports(tmp_path: Path, is_package: bool) -> None:
    write(tmp_path, pkg__inner__net=NET.format(place="..far.blocks"))
    write(tmp_path, pkg__far__blocks="from .size import K\n" + BLOCK.format(kernel="K"))
    write(tmp_path, pkg__far__size="K = 9")
    if is_package:
        write(tmp_path, pkg____init__="", pkg__inner____init__="", pkg__far____init__="")
    assert kernel(network("pkg/inner/net.py:net", tmp_path)) == 9


def test_a_file_of_a_package_that_reads_files_of_its_package(tmp_path: Path) -> None:
    text = "from importlib.resources import files\nfrom torch import nn\ndef net():\n"
    text += "    size = int((files(__package__) / 'size.txt').read_text())\n"
    text += "    return nn.Sequential(nn.Conv2d(3, 8, size))\n"
    write(tmp_path, pkg____init__="", pkg__inner____init__="", pkg__inner__net=text)
    (tmp_path / "pkg" / "inner" / "size.txt").write_text("9", encoding="utf-8")
    built = network("pkg/inner/net.py:net", tmp_path)
    assert tuple(built.module.get_parameter("0.weight").shape) == (8, 3, 9, 9)


def test_relative_imports_in_a_folder_with_a_dot_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "v1.0"
    write(folder, net=NET.format(place=".blocks"), blocks=BLOCK.format(kernel=9))
    assert kernel(network("v1.0/net.py:net", tmp_path)) == 9


def test_imports_from_the_projects_root(tmp_path: Path) -> None:
    write(tmp_path, helpers=BLOCK.format(kernel=3), deep__down__net=NET.format(place="helpers"))
    assert kernel(network("deep/down/net.py:net", tmp_path)) == 3
    write(tmp_path, src__pkg__blocks=BLOCK.format(kernel=5), src__pkg____init__="")
    write(tmp_path, deep__down__other=NET.format(place="pkg.blocks"))
    assert kernel(network("deep/down/other.py:net", tmp_path)) == 5


DEPLOYED = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.a(x) if self.b is None else self.a(x) + self.b(x)

def net():
    from models.deploy import fuse
    return fuse(nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)))
"""
DEPLOY = """
from {place} import Block

def fuse(network):
    for module in network.modules():
        if isinstance(module, Block):
            module.b = None
    return network
"""


@pytest.mark.parametrize("file", ["models/net", "models/__init__"])
def test_a_file_that_is_imported_by_its_name_too_is_one_module(tmp_path: Path, file: str) -> None:
    """Else the classes of one copy are none of the other's, and nothing is fused."""
    place = "models" if file.endswith("__init__") else "models.net"
    for path, text in {
        "models/__init__": "", "models/deploy": DEPLOY.format(place=place), file: DEPLOYED,
    }.items():  # fmt: skip
        whole = tmp_path / f"{path}.py"
        whole.parent.mkdir(exist_ok=True)
        whole.write_text(text, encoding="utf-8")
    right = (3 * 8 * 9 + 8) + (80 + 10)
    for request in (f"{file}.py:net", f"{place}:net", f"{file}.py:net"):
        built = network(request, tmp_path)
        assert sum(one.numel() for one in built.module.parameters()) == right


@pytest.mark.parametrize("first", ["models/net.py:net", "models/__init__.py:net", "models:net"])
def test_a_package_that_imports_the_file_which_imports_the_package(
    tmp_path: Path, first: str
) -> None:
    """As plain Python imports ``models.net``: the package first, and each file once."""
    write(
        tmp_path,
        models____init__="from .net import net\nfrom .net import Marked",
        models__net="from models.parts.stem import block\n"
        "import models\n"
        "from torch import nn\n"
        "class Marked(nn.Conv2d): pass\n"
        "def net():\n"
        "    from models import Marked as known\n"
        "    assert known is Marked\n"
        "    return nn.Sequential(block(), Marked(8, 8, 1), nn.AdaptiveAvgPool2d(1), "
        "nn.Flatten(), nn.Linear(8, 10))",
        models__parts____init__="",
        models__parts__stem=BLOCK.format(kernel=7),
    )
    for request in (first, "models/net.py:net", "models/__init__.py:net", "models:net"):
        assert kernel(network(request, tmp_path)) == 7


def test_a_module_by_its_dotted_name(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="", pkg__net=NET.format(place="pkg.blocks"))
    write(tmp_path, pkg__blocks=BLOCK.format(kernel=5))
    assert kernel(network("pkg.net:net", tmp_path)) == 5


def test_imports_while_it_is_built_and_while_it_runs(tmp_path: Path) -> None:
    text = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        import importlib
        self.layers = nn.Sequential(importlib.import_module("blocks").block(), nn.Flatten(2))

    def forward(self, x):
        from blocks import SCALE
        return self.layers(x).mean(2) * SCALE
"""
    for folder, size in (("old", 3), ("new", 5)):
        write(tmp_path / folder, net=text)
        write(tmp_path / folder, blocks=BLOCK.format(kernel=size) + f"SCALE = {size}\n")
    built = {folder: network(f"{folder}/net.py:Net", tmp_path) for folder in ("old", "new")}
    target = Target("cpu", "any", "cpu")
    for folder, size in (("new", 5), ("old", 3), ("new", 5)):
        model = load(built[folder].spec, target, built[folder])
        plain = model.module.get_submodule("layers")(model.images()).mean(2) * size
        assert model(model.images()).equal(plain)


def test_hubconf_with_names_made_while_it_runs(tmp_path: Path) -> None:
    text = """
from torch import nn
dependencies = ["torch"]

for width in (4, 8):
    def entry(pretrained=False, width=width):
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    globals()[f"net_{width}"] = entry

one, (two, three) = entry, (entry, entry)
"""
    write(tmp_path, hubconf=text)
    assert network("hubconf.py:net_4", tmp_path).module.get_submodule("0").out_channels == 4
    assert network("hubconf.py:three", tmp_path).module.get_submodule("0").out_channels == 8
    with pytest.raises(ArchitectureError, match=r"hubconf.py has no 'net_5'; it has entry, net_4"):
        network("hubconf.py:net_5", tmp_path)


def test_an_instance_a_class_and_a_method(tmp_path: Path) -> None:
    text = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=4):
        super().__init__(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    @classmethod
    def large(cls):
        return cls(16)

ready = Net(8)
registry = {"small": Net}
"""
    write(tmp_path, net=text)
    for request, width in (("Net", 4), ("Net.large", 16), ("ready", 8), ("Net(width=2)", 2)):
        built = network(f"net.py:{request}", tmp_path)
        assert built.module.get_submodule("0").out_channels == width
    with pytest.raises(
        ArchitectureError, match=r"net.py has no 'small'; it has nothing that could"
    ):
        network("net.py:registry.small", tmp_path)


def test_a_file_that_reads_arguments_finds_none_of_pytests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
import argparse, sys
from torch import nn
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=4)
options = parser.parse_args()
name = sys.argv[0]

def net():
    return nn.Sequential(nn.Conv2d(3, options.width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""
    write(tmp_path, argparse_net=text)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["pytest", "--unknown=1"])
        built = network("argparse_net.py:net", tmp_path)
    assert built.module.get_submodule("0").out_channels == 4


def test_a_failed_import_is_said_once_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, net="print('imported')\nimport helpers\nfrom nowhere import x\n", helpers="")
    with pytest.raises(ArchitectureError) as caught:
        network("net.py:x", tmp_path)
    assert str(caught.value) == (
        "local/x@32 cannot be built: ModuleNotFoundError: No module named 'nowhere'"
    )
    assert capsys.readouterr().out == "imported\n"


def test_what_a_file_puts_on_the_path_is_its_own(tmp_path: Path) -> None:
    write(tmp_path / "library", blocks=BLOCK.format(kernel=5))
    path = (
        "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), '../library'))\n"
    )
    write(tmp_path / "project", net=path + NET.format(place="blocks"))
    write(tmp_path / "other", blocks=BLOCK.format(kernel=3), net=NET.format(place="blocks"))
    assert kernel(network("project/net.py:net", tmp_path)) == 5
    assert kernel(network("other/net.py:net", tmp_path)) == 3
    assert kernel(network("project/net.py:net", tmp_path)) == 5


def test_modules_made_by_hand_go_with_their_network(tmp_path: Path) -> None:
    text = "import sys, types\nsys.modules['made_by_hand'] = types.ModuleType('made_by_hand')\n"
    write(tmp_path, net=text + "from torch import nn\nnet = nn.Flatten\n")
    built = network("net.py:net", tmp_path)
    assert isinstance(built.module, nn.Flatten)
    with built.in_place():
        assert "made_by_hand" in sys.modules
    assert "made_by_hand" not in sys.modules


def test_sources_of_one_folder_share_what_they_import(tmp_path: Path) -> None:
    write(tmp_path, a=NET.format(place="blocks"), b=NET.format(place="blocks"))
    write(tmp_path, blocks=BLOCK.format(kernel=3))
    specs = [own_architectures(f"{name}.py:net", tmp_path, "")[0] for name in "ab"]
    first, second = (own_modules(spec.constructor) for spec in specs)
    assert first is second
