"""What the tests of engines share: graphs that are exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.runtimes.exported import onnx_of
from archbench.runtimes.runtime import Job
from tests.runtimes.networks import Exits, Net, loaded


@pytest.fixture(params=["onnxruntime", "openvino"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    for module in (name, "onnx", "onnxscript"):
        pytest.importorskip(module)
    return name


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Graphs for devices that are not there, among which nothing can be exported."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    place = tmp_path_factory.mktemp("graphs")
    for constructor, dtype in ((Net, "fp32"), (Net, "fp16"), (Exits, "fp32")):
        model = loaded(place, constructor, dtype=dtype)
        given = (model.spec, model.module, model.inputs(), model.device, model.target)
        onnx_of(Job(*given, artefacts=place), half=True)
    return place
