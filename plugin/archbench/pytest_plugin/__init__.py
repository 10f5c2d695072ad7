"""The pytest plugin: options, parametrization, fixtures.

It is loaded in every pytest run of every project that has archbench installed, so this module
imports nothing that such a run does not need: no torch, no numpy, no catalogue.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from archbench.core.spec import ModelSpec, Target
from archbench.pytest_plugin.benchmark_bridge import configure_benchmark
from archbench.pytest_plugin.options import add_options, given_options, settings_of
from archbench.pytest_plugin.session import MODEL_ARGUMENT, TARGET_ARGUMENT, ArchbenchSession

if TYPE_CHECKING:
    from archbench.measure.loading import LoadedModel, ModelHolder
    from archbench.pytest_plugin.recording import Bench

__all__ = ["bench", "loaded_model", "model_spec", "target"]

_MODELS: pytest.StashKey[tuple[ModelSpec, ...]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--archbench-*``; short spellings are a project's own to claim."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that a project may implement."""
    from archbench.pytest_plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse settings that make no sense before anything runs."""
    if given_options(config):
        settings_of(config)
    configure_benchmark(config)
    config.pluginmanager.register(ArchbenchSession(config), "archbench-session")


def _models(config: pytest.Config) -> tuple[ModelSpec, ...]:
    """The selected architectures, looked up once."""
    if _MODELS not in config.stash:
        from archbench.core.errors import UsageError
        from archbench.pytest_plugin.selection import select_models

        try:
            config.stash[_MODELS] = select_models(config, settings_of(config))
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_MODELS]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Refuse an unknown suite or architecture once, before files are collected."""
    if given_options(session.config):
        _models(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by architecture and by target, for the whole session.

    The scope makes pytest run all tests of one architecture together, across files, so that each
    model is loaded once. A project's own ``model_spec`` fixture or parametrization replaces ours
    by hiding these arguments from the test.
    """
    if MODEL_ARGUMENT in metafunc.fixturenames:
        models = _models(metafunc.config)
        metafunc.parametrize(
            MODEL_ARGUMENT, models, ids=[m.id for m in models], indirect=True, scope="session"
        )
    if TARGET_ARGUMENT in metafunc.fixturenames:
        settings = settings_of(metafunc.config)
        threads = "" if settings.threads == 1 else f"-t{settings.threads}"
        targets = [(dtype, batch) for dtype in settings.dtypes for batch in settings.batch_sizes]
        metafunc.parametrize(
            TARGET_ARGUMENT,
            targets,
            ids=[f"{dtype}-b{batch}{threads}" for dtype, batch in targets],
            indirect=True,
            scope="session",
        )


@pytest.fixture(scope="session")
def _archbench_model(request: pytest.FixtureRequest) -> ModelSpec:
    model: ModelSpec = request.param
    return model


@pytest.fixture(scope="session")
def _archbench_target(request: pytest.FixtureRequest) -> tuple[str, int]:
    wanted: tuple[str, int] = request.param
    return wanted


@pytest.fixture(scope="session")
def model_spec(_archbench_model: ModelSpec) -> ModelSpec:
    """The architecture of this test: every test that asks for it runs once for each selected."""
    return _archbench_model


@pytest.fixture(scope="session")
def target(_archbench_target: tuple[str, int], pytestconfig: pytest.Config) -> Target:
    """Device, precision, batch size and threads of this test."""
    from archbench.core.errors import UsageError
    from archbench.measure.hardware import check_torchvision, make_target

    settings = settings_of(pytestconfig)
    dtype, batch_size = _archbench_target
    try:
        check_torchvision()
        return make_target(settings.gpu, dtype, settings.threads, batch_size)
    except UsageError as error:
        # Nothing can be measured: one message instead of one for each architecture.
        pytest.exit(f"archbench: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def _archbench_holder() -> Generator[ModelHolder]:
    from archbench.measure.loading import ModelHolder

    holder = ModelHolder()
    yield holder
    holder.free()


@pytest.fixture
def loaded_model(
    model_spec: ModelSpec, target: Target, _archbench_holder: ModelHolder
) -> LoadedModel:
    """The model, in evaluation mode on the target, its weights filled.

    Tests of the same architecture and precision share it; it is freed before the next is loaded.
    """
    from archbench.measure.cells import load_guarded

    return load_guarded(_archbench_holder, model_spec, target)


@pytest.fixture
def bench(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Bench:
    """Measures and records: ``bench.latency(loaded_model)``, ``bench.complexity(model_spec)``."""
    from archbench.pytest_plugin.recording import Bench

    return Bench(request.node, settings_of(pytestconfig))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the test measured, or why it could not, to its report."""
    report = yield
    if MODEL_ARGUMENT in getattr(item, "fixturenames", ()) or "bench" in getattr(
        item, "fixturenames", ()
    ):
        from archbench.pytest_plugin.recording import attach_record

        attach_record(item, call, report)
    return report


def selected_models(config: pytest.Config) -> tuple[ModelSpec, ...]:
    """The architectures of this run, empty where none were asked for."""
    return config.stash.get(_MODELS, ())
