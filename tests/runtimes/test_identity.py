"""Whether an export is of the network that is measured: what its key depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HELPERS = """
def scaled(x):
    return 2 * x
"""
NET = """
from torch import nn
from tests_pkg import helpers

class Net(nn.Module):
    def __init__(self, times=3):
        super().__init__()
        self.fc = nn.Linear(4, 2)
        nn.init.constant_(self.fc.weight, 0.5)
        nn.init.zeros_(self.fc.bias)
        self.times = times

    def forward(self, x):
        return self.times * helpers.scaled(self.fc(x))
"""
pytestmark = pytest.mark.usefixtures("preloaded_python")

KEY = """
import sys, torch
from archbench import ModelSpec
from archbench.runtimes.identity import key_parts, name_of
from tests_pkg import net
spec = ModelSpec.of(net.Net, name="net", input_size=4)
for change in sys.argv[1:]:
    network = net.Net()
    exec(change)
    parts = key_parts(spec, network, (torch.zeros(1, 4),), "onnx")
    print(name_of(spec, "onnx", parts))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "tests_pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helpers.py").write_text(HELPERS)
    (package / "net.py").write_text(NET)
    return package


def keys(package: Path, *changes: str) -> list[str]:
    """The names of the network's artefact after each change, in a process of their own."""
    command = [sys.executable, "-c", KEY, *changes]
    done = subprocess.run(
        command, cwd=package.parent, capture_output=True, text=True, timeout=300, check=True
    )
    return done.stdout.split()


CHANGES = {
    "weight": "torch.nn.init.zeros_(network.fc.weight)",
    "setting": "network.times = 4",
    "forward": "network.forward = lambda x: x",
    "collection": "network.sizes = {'stem': [4, {'times': 2}]}",
    "inner value": "network.sizes = {'stem': [4, {'times': 3}]}",
    "tensor": "network.sizes = torch.zeros(3)",
    "its value": "network.sizes = torch.ones(3)",
    "array": "network.sizes = torch.ones(3).numpy()",
}

ODD = """
import numpy
loop = []
loop.append(loop)
network.sizes = [
    loop, torch.empty(2, device="meta"), torch.eye(2).to_sparse(), numpy.array([{}, object()]),
]
"""
"""Without content, or without an end."""


def test_what_changes_a_network_changes_its_key(package: Path) -> None:
    first, again, *changed = keys(package, "", "", *CHANGES.values())
    assert again == first
    assert keys(package, "", ODD, ODD) == [first, *2 * keys(package, ODD)]
    # A file that the network's own one only calls into.
    (package / "helpers.py").write_text(HELPERS.replace("2 * x", "3 * x"))
    changed += keys(package, "")
    (package / "net.py").write_text(NET.replace("self.times *", "-self.times *"))
    changed += keys(package, "")
    assert len({first, *changed}) == 1 + len(CHANGES) + 2
