"""The pytest plugin: options, parametrization, fixtures.

It is loaded in every pytest run of every project that has archbench installed, so this module
imports nothing that such a run does not need: no torch, no numpy, no catalogue. What a run with
cells needs is behind :func:`cells_of`.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.run_config import RunConfig
from archbench.pytest_plugin import hookspecs
from archbench.pytest_plugin.options import (
    HOST_OPTION,
    add_options,
    given_options,
    has_workers,
    is_child,
    is_elsewhere,
    may_have_hosts,
    refuse_misspelled,
)
from archbench.pytest_plugin.shared import (
    MODEL_ARGUMENT,
    PRECISION_ARGUMENT,
    TARGET_ARGUMENT,
    free_holder,
    uses_archbench,
)

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec, Target
    from archbench.models.loading import LoadedModel, ModelHolder
    from archbench.pytest_plugin.cells import Cells
    from archbench.pytest_plugin.measuring import Bench

_CELLS: pytest.StashKey[Cells] = pytest.StashKey()
_ONLY: pytest.StashKey[bool] = pytest.StashKey()

SUITE = "archbench.benchmarks"
"""By which ``--pyargs`` finds the installed suite."""

_PACKAGE = Path(__file__).parents[1]


def cells_of(config: pytest.Config) -> Cells:
    """What a run does for its cells, from the first option or test on that is about one."""
    if _CELLS not in config.stash:
        from archbench.pytest_plugin.cells import Cells

        config.stash[_CELLS] = Cells(config)
    return config.stash[_CELLS]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--archbench-*``; short spellings are a project's own to claim."""
    add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> Generator[None]:
    """Name the nearest option, once a project's conftest has declared its own."""
    yield
    refuse_misspelled(parser, args)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that a project may implement."""
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Become a worker where that is what this process is for, or find the hosts of the run, before
    anything is configured."""
    if is_child(config):
        from archbench.pytest_plugin.turns import become_worker

        become_worker(config)
    elif is_elsewhere(config) or may_have_hosts(config):
        from archbench.pytest_plugin.distributing import begin

        begin(config)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that make no sense before anything runs."""
    # A conftest that is met only as tests are collected comes too late to declare short options.
    setattr(config.option, HOST_OPTION, getattr(config.option, HOST_OPTION, False))
    if given_options(config):
        cells_of(config)
    config.stash[_ONLY] = bool(getattr(config.option, "benchmark_only", False))
    compares = getattr(config.option, "benchmark_compare", None) is not None
    if config.stash[_ONLY] or compares:
        from archbench.pytest_plugin.benchmark_bridge import Bridge

        config.pluginmanager.register(Bridge(config), "archbench-bridge")
    if config.option.pyargs:
        from archbench.pytest_plugin.node_ids import ByModule

        config.pluginmanager.register(ByModule(SUITE), "archbench-pyargs")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a device or precision that is not to be had, once and before any test."""
    if given_options(session.config):
        cells_of(session.config).refuse_absent()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Group the tests of each architecture, and let pytest-benchmark see ours as benchmarks."""
    ours = [item for item in items if uses_archbench(item)]
    if _CELLS in config.stash:
        cells_of(config).refuse_unselectable()
    if not ours and not config.stash[_ONLY]:
        return (yield)
    return (yield from cells_of(config).selecting(items, ours))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Note what is expected, where tests are collected and run in one process."""
    ours = [item.nodeid for item in session.items if uses_archbench(item)]
    if ours:
        cells_of(session.config).collected(ours)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to find what fresh processes have measured, and what has ended."""
    from archbench.pytest_plugin.resuming import done_tests
    from archbench.pytest_plugin.starting import files_of

    node.workerinput["archbench_files"] = str(files_of(node.config))
    node.workerinput["archbench_done"] = sorted(done_tests(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Note what is expected, where workers collect."""
    from archbench.pytest_plugin.manifest import cell_of

    named = [nodeid for nodeid in ids if cell_of(nodeid) is not None]
    if named:
        spec = node.gateway.spec
        is_here = bool(spec.popen) and not spec.via
        cells_of(node.config).collected_elsewhere(named, is_here=is_here)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Hand out the tests of one architecture together, unless another way is asked for."""
    if config.option.dist != "load":
        return None
    from archbench.pytest_plugin.handing_out import ByArchitecture

    def units(nodeids: Sequence[str], workers: int) -> list[list[int]]:
        return cells_of(config).units(nodeids, workers) if _CELLS in config.stash else []

    return ByArchitecture(config, log, units)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse an unknown suite or architecture once, before files are collected."""
    config = session.config
    # A worker of pytest-xdist could not say what it refuses.
    has_list = bool(config.hook.pytest_archbench_models.get_hookimpls())
    if given_options(config) or (has_list and has_workers(config)):
        cells_of(config).refuse_unknown()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by architecture and by target, for the whole session.

    The scope makes pytest run all tests of one architecture together, across files, so that each
    model is loaded once. A project's own ``model_spec`` fixture or parametrization replaces ours
    by hiding these arguments from the test.
    """
    for name in (MODEL_ARGUMENT, TARGET_ARGUMENT, PRECISION_ARGUMENT):
        if name in metafunc.fixturenames:
            values, ids = cells_of(metafunc.config).values_of(name)
            metafunc.parametrize(name, values, ids=ids, indirect=True, scope="session")


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
def _archbench_precision(request: pytest.FixtureRequest) -> RunConfig:
    run_config: RunConfig = request.param
    return run_config


@pytest.fixture(scope="session")
def accuracy_target(_archbench_precision: RunConfig, pytestconfig: pytest.Config) -> Target:
    """Device, precision and runtime of this test, which runs once for all batch sizes, on the first
    of several devices."""
    cells = cells_of(pytestconfig)
    return cells.target(replace(_archbench_precision, asked=cells.settings.configs[0].asked))


@pytest.fixture(scope="session")
def target(_archbench_target: RunConfig, pytestconfig: pytest.Config) -> Target:
    """Device and run configuration of this test, which runs once for each that was asked for.

    A device that is not there, or cannot run the configuration, ends the run with pytest's usage
    error.
    """
    return cells_of(pytestconfig).target(_archbench_target)


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
    yield cells_of(pytestconfig).holder()
    free_holder(pytestconfig)


@pytest.fixture
def loaded_model(
    model_spec: ModelSpec,
    target: Target,
    pytestconfig: pytest.Config,
    _archbench_lease: None,
    _archbench_holder: ModelHolder,
) -> LoadedModel:
    """The model, in evaluation mode on the target, its weights filled.

    Tests of the same architecture and precision share it; it is freed before the next is loaded.

    Raises:
        ArchitectureError: it cannot be built, or its forward pass fails.
        NotMeasuredError: its library is not installed, or has no such architecture.
        MemoryError, RuntimeError: memory ran out while it was built or moved.
    """
    return cells_of(pytestconfig).load(model_spec, target)


@pytest.fixture
def _archbench_lease(
    target: Target, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Generator[None]:
    """The device for this test alone, where others could measure on it too."""
    with cells_of(pytestconfig).lease(request.node, target):
        yield


@pytest.fixture
def _archbench_bench() -> None:
    """Tells our ``bench`` from a project's own fixture of that name."""


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, _archbench_bench: None
) -> Bench:
    """Measures for this test and records the result.

    ``bench.latency(loaded_model)``, ``bench.complexity(model_spec)``,
    ``bench.accuracy(model_spec, accuracy_target)`` and ``bench.fingerprint(model_spec,
    accuracy_target)`` return what they measured, and fail the test where it is worse than what was
    accepted.
    """
    return cells_of(pytestconfig).bench(request.node)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Import what measuring needs before the time that another plugin gives to the test begins.

    torch that was cut off in the midst of its import cannot be imported again.
    """
    if uses_archbench(item):
        cells_of(item.config).prepare(item)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget what an earlier run of the same test has measured."""
    if uses_archbench(item):
        cells_of(item.config).forget(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the test measured, or why it could not, to its report."""
    report = yield
    if uses_archbench(item) or MODEL_ARGUMENT in getattr(item, "fixturenames", ()):
        cells_of(item.config).attach(item, call, report)
    return report
