"""What the tests of the plugin share."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import os
import pkgutil
import random
import sys
import textwrap
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

# Which vectors a processor has takes torch's compiler six seconds to try out in each process.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")

# Tests write a module again within a second, and Python knows stale bytecode by seconds and size.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

# Inner runs in this process forget the modules that they import, and torch can be imported once
# only: what a run imports has to be there before.
import torch._dynamo
import torch.utils.flop_counter
from packaging.requirements import Requirement
from packaging.version import Version

import archbench
from archbench.catalog.lists import LISTED_LIBRARIES, read_list
from archbench.core import rounds
from archbench.core.errors import NotMeasuredError
from archbench.devices import registry
from archbench.metrics import metric
from archbench.models import process_state
from archbench.models.installed import library_version
from tests.preloaded import preloaded

sys.dont_write_bytecode = True

_LIBRARIES = ("timm", "torchvision.models", "pytorchcv.model_provider", "ptflops", "tabulate")
for _name in _LIBRARIES:
    # An inner run that brought timm would leave the next one another registry of it.
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)

# Nor is it to compile these again, which takes longer than what most of the runs do.
_OURS = [
    f"archbench.{name}.{module.name}"
    for name in ("core", "measure", "pytest_plugin", "store", "workers")
    for module in pkgutil.iter_modules([str(Path(archbench.__file__).parent / name)])
]
for _name in _OURS:
    importlib.import_module(_name)

pytest_plugins = ["pytester"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """``@pytest.mark.requires("timm>=0.9")``: what a test expects holds for these versions only."""
    for requirement in (
        Requirement(text) for mark in item.iter_markers("requires") for text in mark.args
    ):
        version = importlib.metadata.version(requirement.name)
        if not requirement.specifier.contains(version, prereleases=True):
            pytest.skip(f"needs {requirement}; {version} is installed")


def pytest_collection_finish() -> None:
    """What is there before the first test stays, and need not be looked at for garbage."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """What a library lacks that is older than the catalogue is no fault of ours."""
    try:
        return (yield)
    except NotMeasuredError as error:
        listed = (read_list(library) for library in LISTED_LIBRARIES)
        older = any(Version(library_version(one.library)) < Version(one.version) for one in listed)
        if error.reason == "not-in-library" and older:
            pytest.skip(str(error))
        raise


# A test finds the same at each run, however busy the machine is: chance and time decide nothing.
hypothesis.settings.register_profile(
    "same", deadline=None, database=None, derandomize="ARCHBENCH_EXAMPLES" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    """Threads that wait for each other on a busy machine make a test take minutes."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a network leaves behind sends the next one to another process, and a kind of device that
    an inner run registers would be the next run's choice; a test begins anew."""
    monkeypatch.setattr(process_state, "_LEFT", {})
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))


@pytest.fixture(scope="session")
def _environment() -> dict[str, str]:
    """Variables before the first test, which imports libraries that set some.

    Without those by which an inner run would take itself for a worker of the outer one, where
    pytest-benchmark turns itself off, or write into the summary of the run that it is part of, or
    by which pytest knows a CI, where it repeats what failed in full.
    """
    outer = {
        "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY",
        "CI", "BUILD_NUMBER",
    }  # fmt: skip
    return {name: value for name, value in os.environ.items() if name not in outer}


@pytest.fixture(autouse=True)
def _same_environment(_environment: dict[str, str]) -> None:
    """A test begins with the variables that the first one began with, and so do its processes."""
    for name in {*_environment, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in _environment:
            del os.environ[name]
        elif os.environ.get(name) != _environment[name]:
            os.environ[name] = _environment[name]


PRELOADED = ("torch._dynamo", "torch.utils.flop_counter", *_LIBRARIES, *_OURS)
"""What a process that counts or measures imports, in two seconds."""


@pytest.fixture(scope="session")
def _template(_environment: dict[str, str]) -> Generator[str | None, None, None]:
    with contextlib.ExitStack() as stack:
        wanted = sys.platform == "linux" and not os.environ.get("ARCHBENCH_TESTS_WITHOUT_TEMPLATE")
        yield stack.enter_context(preloaded(_environment, PRELOADED)) if wanted else None


@pytest.fixture
def preloaded_python(_template: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that the test starts with ``sys.executable`` begin with that imported."""
    if _template is not None:
        monkeypatch.setattr(sys, "executable", _template)


@pytest.fixture
def judged_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sides that are really measured are judged however little of the machine is left for them, in
    this process and in those that it starts."""
    for name in ("LEAST_RUNNING", "MOST_STOLEN"):
        monkeypatch.setattr(rounds, name, getattr(rounds, name))
    place = str(Path(__file__).parent / "judged_anyway")
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", place, prepend=os.pathsep)
    monkeypatch.setenv("PYTEST_PLUGINS", "judged_anyway")


@pytest.fixture
def pytester(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Generator[pytest.Pytester, None, None]:
    """Inner runs do without Hypothesis, which imports all of itself at the end of each."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:anyio")
    yield pytester
    # Each run in this process keeps for good what it has imported, and itself with that.
    if gc.get_freeze_count() > MOST_KEPT:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


MOST_KEPT = 1_000_000
"""Objects; there are half as many before the first test, and a run leaves five thousand."""


SMALL_MODEL = """
    import torch
    from torch import nn
    from archbench import ModelSpec

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 10)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

    def small():
        return Small()
"""

SUITE = """
    def test_complexity(bench, model_spec):
        bench.complexity(model_spec)

    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the two benchmarks and one small architecture of its own."""
    pytester.makepyfile(small_net=SMALL_MODEL, test_bench=SUITE)
    return pytester


DIGITS_NET = """
    import torch
    from torch import nn

    from archbench import ModelSpec
    from archbench.core.spec import Preprocessing

    class Digits(nn.Sequential):
        limit = float("inf")

        def forward(self, x):
            scores = super().forward(x)
            faulty = x.mean((1, 2, 3)) > self.limit
            return torch.where(faulty[:, None], scores.roll(1, 1), scores)

    def digits(limit=None):
        net = Digits(
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(192, 48),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Linear(48, 10),
        )
        if limit is not None:
            net.limit = limit
        return net

    def spec(limit=None, **changes):
        stated = dict(
            mean=(0.3, 0.4, 0.5), std=(0.2, 0.3, 0.4), crop_fraction=32 / 36,
            interpolation="bilinear", crop_mode="center", source="the tests",
        )
        return ModelSpec.of(
            digits, name="digits", input_size=32, kwargs={} if limit is None else {"limit": limit},
            preprocessing=Preprocessing(**{**stated, **changes}),
        )
"""
"""A network of handwritten digits: 36 pixels of the shorter side, the middle 32. With a limit it is
wrong about images whose input is brighter."""


@dataclass(frozen=True)
class Digits:
    """Handwritten digits as files, and a network that was trained on others of them.

    Attributes:
        images: an ImageFolder of 500 images, 10 classes, JPEG and PNG.
        safetensors, state_dict: the network's weights, twice.
        right: whether the network is right about each image, in the order of file names, and
            whether the label is among its best five; computed with numpy alone.
        scores: of each image, and the label and the mean of its input.
    """

    images: Path
    safetensors: Path
    state_dict: Path
    right: np.ndarray[Any, np.dtype[np.bool_]]
    scores: np.ndarray[Any, np.dtype[np.float64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    brightness: np.ndarray[Any, np.dtype[np.float64]]


def resized(pixels: Any, height: int, width: int) -> Any:
    """Bilinear enlargement of whole numbers ``(H, W)``, columns first, as PIL rounds."""

    def along(rows: Any, size: int) -> Any:
        places = (np.arange(size) + 0.5) * rows.shape[0] / size - 0.5
        low = np.floor(places).astype(int)
        share = places - low
        below, above = (np.clip(low + i, 0, rows.shape[0] - 1) for i in (0, 1))
        return np.floor(rows[below] * (1 - share)[:, None] + rows[above] * share[:, None] + 0.5)

    return along(along(pixels.T, width).T, height)


def digits_input(pixels: Any) -> Any:
    """What the network gets of an image ``(24, W)`` of grey pixels: ``(3, 32, 32)``."""
    height, width = 36, pixels.shape[1] * 36 // 24
    large = resized(pixels.astype(float), height, width)
    top, left = round((height - 32) / 2), round((width - 32) / 2)
    grey = large[top : top + 32, left : left + 32] / 255
    return np.stack([(grey - mean) / std for mean, std in ((0.3, 0.2), (0.4, 0.3), (0.5, 0.4))])


def digits_scores(weights: dict[str, Any], inputs: Any) -> Any:
    """The network's scores ``(N, 10)`` of inputs ``(N, 3, 32, 32)``, in double precision."""
    x = inputs.reshape(len(inputs), 3, 8, 4, 8, 4).mean((3, 5)).reshape(len(inputs), -1)
    x = x @ weights["2.weight"].T + weights["2.bias"]
    x = (x - weights["3.running_mean"]) / np.sqrt(weights["3.running_var"] + 1e-5)
    x = np.maximum(x * weights["3.weight"] + weights["3.bias"], 0)
    return x @ weights["5.weight"].T + weights["5.bias"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    """scikit-learn's digits, 500 of 1,797 as files, the others to train on in a second."""
    from PIL import Image
    from safetensors.torch import save_file
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)
    data = load_digits()
    grey = np.kron((data.images * 15).astype(np.uint8), np.ones((1, 3, 3), np.uint8))
    order = np.random.default_rng(0).permutation(len(grey))
    train, test = order[500:], order[:500]

    namespace: dict[str, Any] = {}
    exec(textwrap.dedent(DIGITS_NET), namespace)
    torch.manual_seed(0)
    net = namespace["digits"]()
    x = torch.from_numpy(np.stack([digits_input(grey[i]) for i in train])).float()
    y = torch.from_numpy(data.target[train])
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.eval()

    root = tmp_path_factory.mktemp("digits")
    for place, index in enumerate(test):
        digit = data.target[index]
        # Some lie: the middle is cut out of these.
        pixels = np.pad(grey[index], ((0, 0), (3, 3))) if place % 2 else grey[index]
        path = root / "val" / str(digit) / f"{place:04d}.{'jpg' if digit % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        if place % 3 == 0:
            image = image.convert("RGB")
        image.save(path, quality=100)

    weights = {name: value.numpy().astype(float) for name, value in net.state_dict().items()}
    inputs = []
    for place in range(500):
        (path,) = (root / "val").glob(f"*/{place:04d}.*")
        inputs.append(digits_input(np.asarray(Image.open(path).convert("L"))))
    scores = digits_scores(weights, np.stack(inputs))
    ranked = np.argsort(-scores, axis=1)
    hits = ranked == data.target[test][:, None]
    right = np.stack([hits[:, 0], hits[:, :5].any(1)])
    assert 0.95 < right[0].mean() < 1  # a network that is never wrong tests nothing

    save_file(net.state_dict(), root / "digits.safetensors")
    torch.save(net.state_dict(), root / "digits.pth")
    brightness = np.stack(inputs).mean((1, 2, 3))
    files = (root / "val", root / "digits.safetensors", root / "digits.pth")
    return Digits(*files, right, scores, data.target[test], brightness)


@pytest.fixture
def digits_net() -> str:
    """The code of the digits' network."""
    return DIGITS_NET


@pytest.fixture
def digits_spec() -> Any:
    """Makes specs of the digits' network: ``digits_spec(mean=(0, 0, 0))`` changes preprocessing."""
    namespace: dict[str, Any] = {}
    exec(textwrap.dedent(DIGITS_NET), namespace)
    return namespace["spec"]


@pytest.fixture
def metrics_put_back() -> Generator[None, None, None]:
    """For a test that registers metrics: those that it adds are gone after it."""
    families, metrics = set(metric._FAMILIES), set(metric.METRICS)
    yield
    for name in metric._FAMILIES.keys() - families:
        del metric._FAMILIES[name]
    for name in metric.METRICS.keys() - metrics:
        del metric.METRICS[name]
