"""The options that a person can give. Loaded in every pytest run: light."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from archbench.core.errors import UsageError
from archbench.core.run_config import Axis, on_axis
from archbench.pytest_plugin.declared import OPTIONS
from archbench.store.directory import as_typed

__all__ = [
    "HOST_OPTION",
    "OPTIONS",
    "ORDER_OPTION",
    "add_options",
    "captures",
    "destination",
    "given_options",
    "has_workers",
    "is_child",
    "is_elsewhere",
    "is_worker",
    "may_have_hosts",
    "refuse_misspelled",
    "refusing",
    "shows_only",
    "spelled",
    "worker_count",
    "worker_names",
    "worker_number",
]

PYTESTS_OWN = ("--strict",)
"""Short spellings that pytest has taken, with a sense near enough to ours to mean both."""

ORDER_OPTION = "archbench_order"
"""By which this plugin starts processes of its own: the path of an order."""

HOST_OPTION = "archbench_host"
"""True in a project that has given our options short names: its runs are about benchmarks."""


def destination(name: str) -> str:
    """The attribute of ``config.option`` that an option is stored in."""
    return "archbench_" + name.replace("-", "_")


_PARSERS: list[tuple[pytest.Parser, str]] = []
"""Of this run, with the prefix of our options in each."""


def _add_option(parser: pytest.Parser, prefix: str, name: str) -> None:
    if prefix + name not in PYTESTS_OWN:
        group = parser.getgroup("archbench")
        group.addoption(prefix + name, dest=destination(name), **OPTIONS[name].declaration)


def _add_axis(axis: Axis) -> None:
    for parser, prefix in _PARSERS:
        # A run in the same process may have registered it before, so that it is declared already.
        with suppress(ValueError):
            _add_option(parser, prefix, axis.option)


on_axis(_add_axis)


def add_options(parser: pytest.Parser, prefix: str = "--archbench-") -> None:
    """Declare the options under a prefix.

    The installed plugin takes ``--archbench-``. A project whose short names are free calls this
    from its root conftest with ``--``.
    """
    group = parser.getgroup("archbench", "benchmarks of image-classification architectures")
    if prefix != "--":
        # Each run of pytest has a parser of its own.
        _PARSERS.clear()
    _PARSERS.append((parser, prefix))
    for name in OPTIONS:
        _add_option(parser, prefix, name)
    if prefix != "--":
        group.addoption("--archbench-order", dest=ORDER_OPTION, help=argparse.SUPPRESS)
    else:
        group.addoption(
            "--archbench-host",
            dest=HOST_OPTION,
            action="store_true",
            default=True,
            help=argparse.SUPPRESS,
        )


def refuse_misspelled(parser: pytest.Parser, arguments: Sequence[str]) -> None:
    """Point to the nearest of our options where pytest itself would only say that it knows none.

    Args:
        parser: with all options of this run.
        arguments: the command line.

    Raises:
        pytest.UsageError: an option is unknown, and one of ours is near to it.
    """
    prefixes = {prefix for _, prefix in _PARSERS}
    ours = [f"{prefix}{name}" for prefix in sorted(prefixes) for name in OPTIONS]
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    likely = "--" if "--" in prefixes else "--archbench-"
    if all(one in ours or not one.startswith(likely) for one in given):
        return
    from difflib import get_close_matches

    for argument in parser.parse_known_and_unknown_args(arguments)[1]:
        name = argument.partition("=")[0]
        near = get_close_matches(name, ours, n=1, cutoff=0.8)
        if near:
            raise pytest.UsageError(f"{name}: there is no such option. Write {near[0]}")


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def is_elsewhere(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist on another host than its controller."""
    return "archbench_host" in getattr(config, "workerinput", ())


def worker_number(config: pytest.Config) -> int:
    """Which of pytest-xdist's workers on this host this process is or works for, counted from 0; 0
    where it is none."""
    if is_child(config):
        from archbench.workers.inside import order_of

        order = order_of(config)
        return 0 if order is None else order.number
    given = getattr(config, "workerinput", {"workerid": "gw0"})
    if is_elsewhere(config):
        return int(given.get("archbench_number", 0))
    name = str(given["workerid"])
    return int(name.removeprefix("gw")) if name.removeprefix("gw").isdigit() else 0


def worker_count(config: pytest.Config) -> int:
    """How many workers of pytest-xdist measure side by side, this one among them; 1 for none."""
    if is_child(config):
        from archbench.workers.inside import order_of

        order = order_of(config)
        return 1 if order is None else order.beside
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) if is_worker(config) else 1


def worker_names(config: pytest.Config) -> dict[str, str]:
    """What the fixtures of pytest-xdist return in the worker that this process is or works for, by
    their name; empty where it is none."""
    if is_child(config):
        from archbench.workers.inside import order_of

        order = order_of(config)
        return {} if order is None else order.names
    given = getattr(config, "workerinput", None)
    if given is None:
        return {}
    return {"worker_id": given["workerid"], "testrun_uid": given["testrunuid"]}


def has_workers(config: pytest.Config) -> bool:
    """Whether this process hands its tests out to workers of pytest-xdist."""
    return bool(getattr(config.option, "tx", None)) and config.option.dist != "no"


def is_child(config: pytest.Config) -> bool:
    """Whether this process measures for another one."""
    return getattr(config.option, ORDER_OPTION, None) is not None


def may_have_hosts(config: pytest.Config) -> bool:
    """Whether this run is about benchmarks, and may hand them out to other hosts."""
    option = config.option
    asks = getattr(option, "tx", None) or getattr(option, destination("hosts"), None)
    is_ours = given_options(config) or getattr(option, HOST_OPTION, False)
    return bool(asks and is_ours) and not (is_worker(config) or is_child(config))


def shows_only(config: pytest.Config) -> bool:
    """Whether this run shows tests or fixtures, and runs nothing."""
    options = ("collectonly", "show_fixtures_per_test", "showfixtures")
    return any(getattr(config.option, name, False) for name in options)


def given_options(config: pytest.Config) -> bool:
    """Whether any option of archbench is on the command line."""
    return any(getattr(config.option, destination(name), None) is not None for name in OPTIONS)


def spelled(config: pytest.Config, text: str) -> str:
    """A message with our options and the suite spelled as they exist in this project."""
    if config.getoption(HOST_OPTION, False):
        return text
    text = as_typed(text, config.rootpath)
    for name in OPTIONS:
        text = text.replace(f"--{name}", f"--archbench-{name}")
    return text


def captures(config: pytest.Config) -> str:
    """How pytest captures what is printed, by the name of ``--capture``."""
    return str(getattr(config.option, "capture", "no"))  # absent with -p no:capture


@contextmanager
def refusing(config: pytest.Config) -> Iterator[None]:
    """Make pytest's own of a usage error of ours, with our options spelled as in this project."""
    try:
        yield
    except (UsageError, pytest.UsageError) as error:
        raise pytest.UsageError(spelled(config, str(error))) from None
