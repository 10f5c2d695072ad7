"""The pytest plugin: options, parametrization, fixtures.

It is loaded in every pytest run of every project that has archbench installed, so this module
imports nothing that such a run does not need: no torch, no numpy, no catalogue.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.run_config import RunConfig
from archbench.pytest_plugin.options import (
    add_options,
    given_options,
    has_workers,
    is_launch,
    is_worker,
    spelled,
    worker_number,
)
from archbench.pytest_plugin.shared import (
    MODEL_ARGUMENT,
    PRECISION_ARGUMENT,
    TARGET_ARGUMENT,
    device_lease,
    free_holder,
    holder_of,
    uses_archbench,
)

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec, Target
    from archbench.models.loading import LoadedModel, ModelHolder
    from archbench.pytest_plugin.handover import HandOver
    from archbench.pytest_plugin.recording import Bench
    from archbench.pytest_plugin.session import ArchbenchSession

__all__ = ["accuracy_target", "bench", "loaded_model", "model_spec", "target"]

_REFUSED: pytest.StashKey[pytest.UsageError] = pytest.StashKey()
_SESSION: pytest.StashKey[ArchbenchSession] = pytest.StashKey()
_ONLY: pytest.StashKey[bool] = pytest.StashKey()

SUITE = "archbench.benchmarks"
"""By which ``--pyargs`` finds the installed suite."""

_PACKAGE = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--archbench-*``; short spellings are a project's own to claim."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that a project may implement."""
    from archbench.pytest_plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Become a worker where that is what this process is for, before anything is configured."""
    if is_launch(config):
        from archbench.pytest_plugin.turns import become_worker

        become_worker(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that make no sense before anything runs."""
    if given_options(config):
        from archbench.pytest_plugin.settings import settings_of

        settings_of(config)
    config.stash[_ONLY] = bool(getattr(config.option, "benchmark_only", False))
    compares = getattr(config.option, "benchmark_compare", None) is not None
    if config.stash[_ONLY] or compares:
        from archbench.pytest_plugin.benchmark_bridge import configure_benchmark

        configure_benchmark(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a device or precision that is not to be had, once and before any test."""
    config = session.config
    if given_options(config) and not is_worker(config) and not _runs_cells(config):
        from archbench.pytest_plugin.session import refuse_absent_devices, refuse_mixed_files

        refuse_mixed_files()
        if not config.option.collectonly:
            refuse_absent_devices(config)


def _runs_cells(config: pytest.Config) -> bool:
    """Whether this process is a worker that another one has looked for devices for."""
    if not is_launch(config):
        return False
    from archbench.workers.inside import order_of

    order = order_of(config)
    return order is not None and not order.sides


def recorder(config: pytest.Config) -> ArchbenchSession:
    """What keeps this run's records, from the first sign that something is measured."""
    if _SESSION not in config.stash:
        from archbench.pytest_plugin.session import ArchbenchSession
        from archbench.pytest_plugin.terminal import guard_terminal

        guard_terminal(config)
        config.stash[_SESSION] = ArchbenchSession(config)
        config.pluginmanager.register(config.stash[_SESSION], "archbench-session")
    return config.stash[_SESSION]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Group the tests of each architecture, and let pytest-benchmark see ours as benchmarks."""
    if _REFUSED in config.stash:
        raise config.stash[_REFUSED]
    ours = [item for item in items if uses_archbench(item)]
    if not ours and not config.stash[_ONLY]:
        return (yield)
    refuse_two_of_one_name(ours)
    from archbench.pytest_plugin.benchmark_bridge import counted_as_benchmarks
    from archbench.pytest_plugin.session import group_by_model

    if not (is_launch(config) or has_workers(config)) and _handover(config) is None:
        from archbench.pytest_plugin.handover import HandOver

        config.pluginmanager.register(HandOver(config), "archbench-handover")
    with counted_as_benchmarks(config, items, ours):
        result = yield
    group_by_model(items)
    return result


def _handover(config: pytest.Config) -> HandOver | None:
    """The plugin that runs tests in workers; None where tests run here."""
    plugin: HandOver | None = config.pluginmanager.get_plugin("archbench-handover")
    return plugin


def refuse_two_of_one_name(items: Sequence[pytest.Item]) -> None:
    """Refuse different networks of one name, from whichever parametrization they come.

    Raises:
        pytest.UsageError: says where both are.
    """
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in items]
    models = [
        params[name]
        for params in params
        for name in ("model_spec", MODEL_ARGUMENT)
        if name in params
    ]
    if not models:
        return
    from archbench.core.errors import UsageError
    from archbench.core.spec import ModelSpec
    from archbench.pytest_plugin.selection import each_once

    try:
        each_once(model for model in models if isinstance(model, ModelSpec))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is expected, where tests are collected and run in one process.

    A worker of pytest-xdist tells the ids of its tests and no more, so ours go to a file before.
    """
    config = session.config
    if has_workers(config) or is_launch(config):
        return
    ours = [item.nodeid for item in session.items if uses_archbench(item)]
    if is_worker(config):
        if ours:
            from archbench.pytest_plugin.launched import write_collected

            write_collected(config, ours)
    elif ours:
        recorder(config).expect(ours)
    else:
        _load_comparison(config)


def _load_comparison(config: pytest.Config) -> None:
    """Let pytest-benchmark compare a run in which nothing of ours is measured."""
    if getattr(config, "_benchmarksession", None) is not None:
        from archbench.pytest_plugin.benchmark_bridge import load_comparison

        load_comparison(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to find what fresh processes have measured."""
    from archbench.pytest_plugin.starting import files_of

    node.workerinput["archbench_files"] = str(files_of(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Note what is expected, where workers collect."""
    from archbench.pytest_plugin.manifest import cell_of

    named = [nodeid for nodeid in ids if cell_of(nodeid) is not None]
    if named and node.gateway.spec.popen:
        from archbench.pytest_plugin.launched import read_collected

        # A project's own tests may have an architecture's name and measure nothing.
        ours = read_collected(node.config)
        named = [nodeid for nodeid in named if nodeid in ours]
    if named:
        recorder(node.config).expect(named)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse an unknown suite or architecture once, before files are collected."""
    config = session.config
    if config.option.pyargs:
        from archbench.pytest_plugin.node_ids import as_typed

        config.args = as_typed(config)
    # A worker of pytest-xdist could not say what it refuses.
    has_list = bool(config.hook.pytest_archbench_models.get_hookimpls())
    if given_options(config) or (has_list and has_workers(config)):
        from archbench.pytest_plugin.selection import selected_models
        from archbench.pytest_plugin.terminal import captured, guard_terminal

        guard_terminal(config)
        with captured(config):
            selected_models(config)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Module | None:
    """Name a file by its module where it is found by that, outside of the project."""
    config = parent.config
    if not config.option.pyargs:
        return None
    from archbench.pytest_plugin.node_ids import importable_name, is_elsewhere

    name = importable_name(config.args, module_path) if is_elsewhere(config, module_path) else None
    # What others run in this way keeps the ids that they know.
    if name is None or not (given_options(config) or name.startswith(SUITE)):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=module_path, nodeid=name)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by architecture and by target, for the whole session.

    The scope makes pytest run all tests of one architecture together, across files, so that each
    model is loaded once. A project's own ``model_spec`` fixture or parametrization replaces ours
    by hiding these arguments from the test.
    """
    if MODEL_ARGUMENT in metafunc.fixturenames:
        from archbench.pytest_plugin.selection import selected_models

        models: tuple[ModelSpec, ...] = ()
        try:
            models = selected_models(metafunc.config)
        except pytest.UsageError as error:
            # Raised here it would be an error of the test's file, with a traceback of ours.
            metafunc.config.stash[_REFUSED] = error
        metafunc.parametrize(
            MODEL_ARGUMENT, models, ids=[m.id for m in models], indirect=True, scope="session"
        )
    if TARGET_ARGUMENT in metafunc.fixturenames:
        from archbench.pytest_plugin.settings import settings_of

        configs = settings_of(metafunc.config).configs
        metafunc.parametrize(
            TARGET_ARGUMENT,
            configs,
            ids=[config.id for config in configs],
            indirect=True,
            scope="session",
        )

    if PRECISION_ARGUMENT in metafunc.fixturenames:
        from archbench.pytest_plugin.settings import settings_of

        dtypes = settings_of(metafunc.config).values("dtype")
        metafunc.parametrize(
            PRECISION_ARGUMENT,
            dtypes,
            ids=[RunConfig(dtype=dtype, batch_size=None).suffix for dtype in dtypes],
            indirect=True,
            scope="session",
        )


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Leave Python's path as it is where the installed suite is imported."""
    if not collector.nodeid.startswith(SUITE):
        return (yield)
    from archbench.pytest_plugin.node_ids import path_unmoved

    with path_unmoved():
        return (yield)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Dir | None:
    """Take the installed suite for a plain directory: of a package pytest imports the start before
    its first test, and puts all installed packages first on the path for that."""
    if not parent.config.option.pyargs or path not in (_PACKAGE, _PACKAGE / "benchmarks"):
        return None
    directory: pytest.Dir = pytest.Dir.from_parent(parent, path=path)
    return directory


@pytest.fixture(scope="session")
def _archbench_model(request: pytest.FixtureRequest) -> ModelSpec:
    model: ModelSpec = request.param
    return model


@pytest.fixture(scope="session")
def _archbench_target(request: pytest.FixtureRequest) -> RunConfig:
    run_config: RunConfig = request.param
    return run_config


@pytest.fixture(scope="session")
def model_spec(_archbench_model: ModelSpec) -> ModelSpec:
    """The architecture of this test: every test that asks for it runs once for each selected."""
    return _archbench_model


@pytest.fixture(scope="session")
def _archbench_precision(request: pytest.FixtureRequest) -> str:
    dtype: str = request.param
    return dtype


@pytest.fixture(scope="session")
def accuracy_target(_archbench_precision: str, pytestconfig: pytest.Config) -> Target:
    """Device and precision of this test, which runs once for all batch sizes, on the first of
    several devices."""
    from archbench.pytest_plugin.settings import settings_of

    asked = settings_of(pytestconfig).configs[0].asked
    return _make_target(pytestconfig, RunConfig(dtype=_archbench_precision, asked=asked))


@pytest.fixture(scope="session")
def target(_archbench_target: RunConfig, pytestconfig: pytest.Config) -> Target:
    """Device, precision, batch size and threads of this test."""
    return _make_target(pytestconfig, _archbench_target)


def _make_target(pytestconfig: pytest.Config, run_config: RunConfig) -> Target:
    from archbench.core.errors import UsageError
    from archbench.models.requiring import require_torch
    from archbench.pytest_plugin.settings import settings_of

    try:
        require_torch()
        from archbench.measure.hardware import check_torchvision, make_target

        check_torchvision()
        return make_target(
            settings_of(pytestconfig).gpu,
            config=run_config,
            worker=worker_number(pytestconfig),
        )
    except UsageError as error:
        # Nothing can be measured: one message instead of one for each architecture.
        message = spelled(pytestconfig, f"archbench: {error}")
        pytest.exit(message, returncode=pytest.ExitCode.USAGE_ERROR)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the model that is loaded, in a run without the fixture that does, and of files that
    were imported: another run in this process finds them as they are then."""
    free_holder(config)
    terminal = sys.modules.get("archbench.pytest_plugin.terminal")
    if terminal is not None:
        terminal.resume_commands(config)
    importing = sys.modules.get("archbench.models.importing")
    if importing is not None:
        importing.forget_own_modules()


@pytest.fixture(scope="session")
def _archbench_holder(pytestconfig: pytest.Config) -> Generator[ModelHolder]:
    yield holder_of(pytestconfig)
    free_holder(pytestconfig)


@pytest.fixture
def loaded_model(
    model_spec: ModelSpec,
    target: Target,
    _archbench_lease: None,
    _archbench_holder: ModelHolder,
) -> LoadedModel:
    """The model, in evaluation mode on the target, its weights filled.

    Tests of the same architecture and precision share it; it is freed before the next is loaded.
    """
    from archbench.measure.cells import load_guarded

    return load_guarded(_archbench_holder, model_spec, target)


@pytest.fixture
def _archbench_lease(
    target: Target, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Generator[None]:
    """The device for this test alone, where others could measure on it too."""
    from archbench.workers.inside import inside_of

    inside = inside_of(pytestconfig)
    if inside is not None:
        inside.about(asdict(target))
    with device_lease(request.node, target):
        yield
        # pytest keeps what a fixture gave until the test is over.
        request.node.funcargs.pop("loaded_model", None)


@pytest.fixture
def _archbench_bench() -> None:
    """Tells our ``bench`` from a project's own fixture of that name."""


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, _archbench_bench: None
) -> Bench:
    """Measures and records: ``bench.latency(loaded_model)``, ``bench.complexity(model_spec)``."""
    from archbench.core.errors import UsageError
    from archbench.models.requiring import require_torch
    from archbench.pytest_plugin.recording import Bench
    from archbench.pytest_plugin.settings import settings_of

    try:
        require_torch()
    except UsageError as error:
        pytest.exit(f"archbench: {error}", returncode=pytest.ExitCode.USAGE_ERROR)
    return Bench(request.node, settings_of(pytestconfig))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Import what measuring needs before the time that another plugin gives to the test begins.

    torch that was cut off in the midst of its import cannot be imported again.
    """
    handover = _handover(item.config)
    if uses_archbench(item) and (handover is None or not handover.runs_elsewhere(item)):
        from archbench.pytest_plugin.recording import import_before

        import_before(item)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what an earlier run of the same test has measured."""
    if uses_archbench(item):
        from archbench.pytest_plugin.recording import forget_record

        forget_record(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the test measured, or why it could not, to its report."""
    report = yield
    if uses_archbench(item) or MODEL_ARGUMENT in getattr(item, "fixturenames", ()):
        from archbench.pytest_plugin.recording import attach_record

        attach_record(item, call, report)
        if hasattr(report, "archbench") and not (is_worker(item.config) or is_launch(item.config)):
            recorder(item.config)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Give pytest-benchmark its comparison back where nothing of ours was measured."""
    config = session.config
    if _SESSION not in config.stash and not is_worker(config):
        _load_comparison(config)
    return (yield)
