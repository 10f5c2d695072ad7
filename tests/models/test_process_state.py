"""What a network changes in the process is its own, and put back for the others."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.errors import ArchitectureError
from archbench.core.spec import Target
from archbench.measure.complexity import count
from archbench.models.loading import ModelHolder, load
from archbench.models.networks import construct
from archbench.models.numerics import numerics
from archbench.models.process_state import Changes, ProcessState, contained, wanted_seconds
from archbench.models.switches import read_fp32

HAS_NEWER = bool(read_fp32())
MKLDNN: Any = torch.backends.mkldnn


def newer(place: str, value: str) -> None:
    owner: Any = torch.backends
    for name in place.split("."):
        owner = getattr(owner, name)
    owner.fp32_precision = value


def register() -> None:
    from timm.models import register_model

    def resnet18(pretrained: bool = False) -> nn.Module:
        return nn.Flatten()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        register_model(resnet18)


def timms() -> Any:
    from timm.models import model_entrypoint

    return model_entrypoint("resnet18").__module__


def signals(*_: object) -> None: ...


def timms_layers() -> Any:
    try:
        from timm import layers
    except ImportError:  # before 0.9
        from timm.models import layers
    return layers


def denormals() -> bool:
    return bool(torch.tensor([1e-39]).mul(0.5)[0])


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "oneDNN": (
        lambda: setattr(torch.backends.mkldnn, "enabled", False),
        lambda: torch.backends.mkldnn.enabled,
    ),
    "cuDNN": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "fused attention": (
        lambda: torch.backends.cuda.enable_math_sdp(False),
        torch.backends.cuda.math_sdp_enabled,
    ),
    "fast path": (
        lambda: torch.backends.mha.set_fastpath_enabled(False),
        torch.backends.mha.get_fastpath_enabled,
    ),
    "older precision": (
        lambda: torch.set_float32_matmul_precision("high"),
        torch.get_float32_matmul_precision,
    ),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "device": (lambda: torch.set_default_device("meta"), lambda: torch.empty(1).device.type),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "denormals": (lambda: torch.set_flush_denormal(True), denormals),
    "hooks": (
        lambda: nn.modules.module.register_module_forward_hook(lambda *_: None),
        lambda: len(nn.modules.module._global_forward_hooks),
    ),
    "torch's functions": (
        lambda: setattr(torch.nn.functional, "relu", lambda x: x),
        lambda: torch.nn.functional.relu.__module__,
    ),
    "torch's methods": (
        lambda: setattr(nn.Conv2d, "forward", lambda self, x: x),
        lambda: nn.Conv2d.forward.__module__,
    ),
    "a method that was inherited": (
        lambda: setattr(nn.Conv2d, "__call__", lambda self, x: x),
        lambda: "__call__" in vars(nn.Conv2d),
    ),
    "working directory": (lambda: os.chdir("/"), os.getcwd),
    "environment": (
        lambda: os.environ.update(ARCHBENCH_TEST="1"),
        lambda: os.environ.get("ARCHBENCH_TEST"),
    ),
    "NumPy's errors": (lambda: np.seterr(all="raise"), lambda: np.geterr()["over"]),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "garbage": (gc.disable, gc.isenabled),
    "warnings": (lambda: warnings.simplefilter("error"), lambda: list(warnings.filters)),
    "logging": (lambda: logging.disable(50), lambda: logging.root.manager.disable),
    "signals": (
        lambda: signal.signal(signal.SIGUSR1, signals),
        lambda: signal.getsignal(signal.SIGUSR1),
    ),
    "timm's registry": (register, timms),
    "timm's switches": (
        lambda: timms_layers().set_scriptable(True),
        lambda: timms_layers().is_scriptable(),
    ),
}
if HAS_NEWER:
    SETTINGS["newer precision"] = (lambda: newer("cuda.matmul", "tf32"), read_fp32)
    SETTINGS["newest precision"] = (lambda: newer("mkldnn.conv", "bf16"), read_fp32)

NO_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "threads": (lambda: torch.set_num_threads(3), torch.get_num_threads),
    "gradients": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "autocast": (
        lambda: torch.set_autocast_enabled("cpu", True),
        lambda: torch.is_autocast_enabled("cpu"),
    ),
    "seed": (lambda: torch.manual_seed(77), lambda: torch.get_rng_state().tolist()),
    "Python's seed": (lambda: random.seed(77), random.getstate),
    "NumPy's seed": (lambda: np.random.seed(77), lambda: str(np.random.get_state())),
    "streams": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout),
}


@pytest.mark.parametrize("name", [*SETTINGS, *NO_SETTINGS])
def test_a_change_is_the_networks_own(name: str) -> None:
    change, read = {**SETTINGS, **NO_SETTINGS}[name]
    if "timm" in name:
        import timm  # noqa: F401
    changes, before = Changes(), read()
    with contained(changes):
        change()
        own = read()
    assert own != before
    assert read() == before
    assert changes.left == []
    with contained(changes):
        again = read()
    assert again == (own if name in SETTINGS else before)
    assert read() == before


def everything() -> None:
    for change, _ in {**SETTINGS, **NO_SETTINGS}.values():
        change()


class Rude(nn.Module):
    """Changes all that it can while it is built, and again while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 5)
        everything()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        MKLDNN.enabled = False
        torch.set_num_threads(4)
        torch.manual_seed(3)
        return self.fc(x.flatten(1))


class Innocent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert torch.backends.mkldnn.enabled
        assert torch.get_num_threads() == 1
        assert torch.empty(1).dtype is torch.float32
        return self.fc(nn.functional.relu(self.conv(x)).mean((2, 3)))


MACS: dict[type, int] = {Rude: 192 * 5, Innocent: 36 * 8 * 27 + 40}


@pytest.mark.parametrize("order", [(Rude, Innocent), (Innocent, Rude), (Rude, Innocent, Rude)])
def test_a_network_that_changes_everything_beside_an_innocent_one(order: tuple[type, ...]) -> None:
    state = ProcessState.take()
    holder = ModelHolder()
    for constructor, macs in ((one, MACS[one]) for one in order):
        spec = ModelSpec.of(constructor, input_size=8)
        network = holder.network(spec)
        assert count(spec, network).macs == macs
        loaded = holder.get(spec, Target("cpu", "any", "cpu"))
        assert loaded(*loaded.inputs()).shape == (1, 5)
        assert network.changes.left == []
        assert state.changed() == {}


def test_a_rude_network_is_measured_as_its_author_built_it() -> None:
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            MKLDNN.enabled = False
            torch.set_default_dtype(torch.float64)
            self.fc = nn.Linear(192, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((bool(torch.backends.mkldnn.enabled), torch.ones(1).dtype))
            return self.fc(x.flatten(1)) + torch.ones(5)

    seen: list[tuple[bool, torch.dtype]] = []
    spec, holder = ModelSpec.of(Slow, input_size=8), ModelHolder()
    before = torch.backends.mkldnn.enabled
    assert count(spec, holder.network(spec)).macs == 192 * 5
    loaded = holder.get(spec, Target("cpu", "any", "cpu"))
    with loaded.running():
        loaded.module(*loaded.inputs())
    assert set(seen) == {(False, torch.float64)}
    assert (torch.backends.mkldnn.enabled, torch.get_default_dtype()) == (before, torch.float32)


def run_alone(program: str) -> None:
    """In a process that has imported nothing yet."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_registered_while_a_library_is_first_imported() -> None:
    """Run where timm has not been imported: its own registry is not known before."""
    program = (
        "import sys\n"
        "from archbench.models.process_state import Changes, contained, left_behind\n"
        "from tests.models.test_process_state import register, timms\n"
        "assert 'timm' not in sys.modules\n"
        "changes = Changes()\n"
        "with contained(changes):\n"
        "    register()\n"
        "    assert timms() == 'tests.models.test_process_state'\n"
        "assert timms() == 'timm.models.resnet', timms()\n"
        "with contained(changes):\n"
        "    assert timms() == 'tests.models.test_process_state'\n"
        "assert left_behind() == {}, left_behind()\n"
    )
    run_alone(program)


def test_an_import_is_no_change() -> None:
    program = (
        "from archbench.models.process_state import Changes, contained, left_behind\n"
        "changes = Changes()\n"
        "with contained(changes):\n"
        "    import timm, torchvision\n"
        "with contained(changes):\n"
        "    import timm.models.resnet, torchvision.models.resnet\n"
        # Libraries add to the filters of warnings when they are imported.
        "assert not set(changes.settings) - {'warnings'}, changes\n"
        "assert not left_behind(), left_behind()\n"
    )
    run_alone(program)


def test_threads_that_go_on_working_cannot_be_put_back() -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            pass

    changes = Changes()
    with contained(changes):
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
    assert changes.left == ["threads or processes that go on working"]
    stop.set()
    worker.join()
    with contained(changes):
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
    assert changes.left == []  # one that waits disturbs nobody


def test_priority_cannot_be_put_back() -> None:
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        changes = Changes()
        with contained(changes):
            os.nice(1)
        os._exit(int(changes.left != ["priority"]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not HAS_NEWER, reason="torch before 2.9 has no newer switches of precision")
@pytest.mark.parametrize(
    ("place", "value"),
    [("cuda.matmul", "tf32"), ("cudnn", "tf32"), ("mkldnn.conv", "bf16"), ("mkldnn", "bf16")],
)
def test_precision_is_what_was_asked_whatever_a_project_has_set(place: str, value: str) -> None:
    with contained(Changes()):
        newer(place, value)
        before = read_fp32()
        for dtype in ("fp32", "bf16", "tf32"):
            with numerics(dtype, "cpu"):
                inside = read_fp32()
                wanted = {"tf32"} if dtype == "tf32" else {"none", "ieee"}
                assert inside["cuda", "matmul"] in wanted
                assert inside["cuda", "conv"] in wanted
                if dtype != "tf32":
                    assert {v for k, v in inside.items() if k[0] == "mkldnn"} <= {"none", "ieee"}
                torch.get_float32_matmul_precision()  # torch refuses to tell of a mix
            assert read_fp32() == before


def test_a_network_cannot_end_the_process() -> None:
    """Its status would be 0, and a run that ended by it green."""
    before = os._exit
    with pytest.raises(SystemExit, match=r"os._exit\(0\)"), contained(Changes()):
        os._exit(0)
    assert os._exit is before
    with contained(Changes()):
        child = os.fork()
        if not child:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


class Leaving(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os._exit(0)


def test_a_network_that_ends_the_process_has_failed() -> None:
    with pytest.raises(ArchitectureError, match=r"in its forward pass: SystemExit: os._exit\(0\)"):
        load(ModelSpec.of(Leaving, input_size=8), Target("cpu", "x", "cpu"))


def test_timers_are_put_back_and_end_nobody_else() -> None:
    def alarmed() -> nn.Module:
        signal.alarm(3)
        signal.setitimer(signal.ITIMER_PROF, 3.0, 1.0)
        return Innocent()

    construct(ModelSpec.of(alarmed, input_size=8))
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_a_timer_of_somebody_else_goes_on() -> None:
    def cleared() -> nn.Module:
        signal.alarm(0)
        return Innocent()

    ended: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: ended.append(number))
    signal.alarm(60)
    try:
        construct(ModelSpec.of(cleared, input_size=8))
        assert 30 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert not ended


def test_a_timer_that_ends_meanwhile_is_the_failure_of_its_network() -> None:
    def slow() -> nn.Module:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        while True:
            pass

    with pytest.raises(ArchitectureError, match=r"a timer that it had set ended \(SIGALRM\)"):
        construct(ModelSpec.of(slow, input_size=8))


_SET_LIMIT = sys.setrecursionlimit


@pytest.mark.parametrize("set_limit", [lambda: sys.setrecursionlimit, lambda: _SET_LIMIT])
def test_no_limit_of_recursion_is_lower_for_others(
    set_limit: Callable[[], Callable[[int], None]],
) -> None:
    limit = sys.getrecursionlimit()

    def low() -> nn.Module:
        set_limit()(len(inspect.stack()) + 50)
        return Innocent()

    def high() -> nn.Module:
        set_limit()(limit + 500)
        return Innocent()

    for constructor in (low, high):
        with contextlib.suppress(RecursionError, ArchitectureError):
            construct(ModelSpec.of(constructor, input_size=8))
        assert sys.getrecursionlimit() == limit
        assert sys.setrecursionlimit is _SET_LIMIT
    network = construct(ModelSpec.of(high, input_size=8))
    with network.in_place():
        assert sys.getrecursionlimit() == limit + 500


def test_a_thread_that_waits_for_a_core_is_at_work(tmp_path: Path) -> None:
    for name, text in {"7": "5000000 40000000 3", "8": "1000000 0 1", "9": "gone"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(text)
    # 5 + 40 + 1 ms: other programs had the core for most of the time.
    assert wanted_seconds(tmp_path, 0.006) == pytest.approx(0.046)
    assert wanted_seconds(tmp_path / "none", 0.006) == 0.006
