"""All known architectures, and choosing among them by suite, id, glob and input size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache

from archbench.catalog import refusals
from archbench.catalog.lists import LISTED_LIBRARIES, read_list
from archbench.catalog.seeds import read_seeds
from archbench.catalog.suites import DEFAULT_SUITE, suite_ids
from archbench.core.errors import UsageError
from archbench.core.requests import Request, parse_request, split_requests
from archbench.core.spec import ModelSpec


class Catalog:
    """Every architecture that is known by name, each once.

    Args:
        specs: the architectures.
        suites: for each suite the ids of its architectures, in order.
    """

    def __init__(self, specs: Iterable[ModelSpec], suites: Mapping[str, Sequence[str]]) -> None:
        self._specs = {spec.id: spec for spec in sorted(specs, key=lambda spec: spec.id)}
        self._suites = suites

    def suite(self, name: str) -> tuple[ModelSpec, ...]:
        """The architectures of one suite, in its order.

        Raises:
            UsageError: there is no suite of that name.
        """
        if name not in self._suites:
            raise refusals.unknown_suite(name, self._suites)
        return tuple(self._specs[id] for id in self._suites[name])

    def get(self, id: str) -> ModelSpec:
        """The architecture of an id: ``timm/resnet50``, ``timm/resnet50@192``.

        Raises:
            UsageError: no architecture has that id.
        """
        if id in self._specs:
            return self._specs[id]
        request = _parsed(id)
        if request.is_plain or request.name not in self._specs:
            raise refusals.unknown_architecture(id, self._specs)
        return self._as_asked(self._specs[request.name], request)

    def has(self, id: str) -> bool:
        """Whether :meth:`get` finds an architecture of that id."""
        if id in self._specs:
            return True
        try:
            return _parsed(id).name in self._specs
        except UsageError:
            return False

    def implementations(self, architecture: str) -> tuple[ModelSpec, ...]:
        """Every implementation of an architecture, at its library's own size.

        Args:
            architecture: the name that implementations share, or the name or id of one of them;
                all that share its architecture or have its name belong together, since libraries
                also give one name to different networks.

        Returns:
            At least two, torchvision's first, since most papers' figures are of it.

        Raises:
            UsageError: there is none of that name, or only one.
        """
        specs = [spec for spec in self._specs.values() if spec.is_native_size]
        named = [s for s in specs if architecture in (s.architecture, s.name, s.id)]
        if not named:
            raise refusals.unknown_architecture(architecture, self._specs)
        architectures = {spec.architecture for spec in named}
        short_names = {spec.name for spec in named}
        found = [s for s in specs if s.architecture in architectures or s.name in short_names]
        if len(found) < 2:
            raise refusals.only_implementation(architecture, found[0])
        return tuple(sorted(found, key=lambda spec: spec.library != "torchvision"))

    def select(
        self, suite: str | Sequence[str] = (), models: str | Sequence[str] = ()
    ) -> tuple[ModelSpec, ...]:
        """Choose architectures, each once.

        Args:
            suite: names of suites, several in a sequence or separated by commas. Without any, the
                whole catalogue if ``models`` are given, else the seed suite.
            models: ids or globs over ids (``timm/resnet*``), in the same way; one without a slash
                is about the name in any library; ``(num_classes=10)`` asks for other arguments and
                ``@192`` at the end for another input size.

        Returns:
            With a suite in the suite's order; else in the order of ``models``, and of the ids for
            each glob.

        Raises:
            UsageError: an unknown suite or architecture, or a glob that matches nothing.
        """
        suites = _split(suite)
        patterns = _split(models)
        if not suites and not patterns:
            suites = [DEFAULT_SUITE]
        chosen = {spec.id: spec for name in suites for spec in self.suite(name)}
        if not patterns:
            return tuple(chosen.values())
        pool = chosen if suites else self._specs
        found: dict[str, ModelSpec] = {}
        for pattern in patterns:
            matching = self._matching(pattern, pool)
            if not matching:
                raise refusals.no_match(
                    pattern, suites, len(pool), self._matching(pattern, self._specs), self._specs
                )
            found.update((spec.id, spec) for spec in matching)
        if suites:
            rank = {id: place for place, id in enumerate(chosen)}
            return tuple(sorted(found.values(), key=lambda spec: rank.get(spec.id, len(rank))))
        return tuple(found.values())

    def _matching(self, pattern: str, pool: Mapping[str, ModelSpec]) -> list[ModelSpec]:
        if pattern in pool:
            return [pool[pattern]]
        request = _parsed(pattern)
        if request.is_plain:
            return [spec for spec in pool.values() if _matches(spec, pattern)]
        native = (spec for spec in self._specs.values() if spec.is_native_size)
        found = [
            (spec, self._as_asked(spec, request)) for spec in native if _matches(spec, request.name)
        ]
        if pool is self._specs:
            return [asked for _, asked in found]
        # Other arguments make another network of an architecture that the suite has.
        return [
            asked
            for spec, asked in found
            if asked.id in pool or (request.arguments and spec.id in pool)
        ]

    def _as_asked(self, spec: ModelSpec, request: Request) -> ModelSpec:
        asked = spec.with_arguments(request.arguments)
        if request.size:
            asked = asked.with_input_size(request.size)
        # A label belongs to the size that its document printed.
        return self._specs.get(asked.id) or replace(asked, label=None)


def _matches(spec: ModelSpec, pattern: str) -> bool:
    return fnmatchcase(spec.id if "/" in pattern else spec.short_name, pattern)


def _parsed(request: str) -> Request:
    return parse_request(request, f"architecture {request!r}")


def _split(values: str | Sequence[str]) -> list[str]:
    listed = [values] if isinstance(values, str) else values
    return [part for value in listed for part in split_requests(value)]


@cache
def load_catalog() -> Catalog:
    """The catalogue that comes with archbench: the stored lists and the seed rows.

    Imports neither torch nor any of the libraries.
    """
    specs = {spec.id: spec for library in LISTED_LIBRARIES for spec in read_list(library).specs()}
    rows = read_seeds()
    for row in rows:
        native = specs.get(row.native_id) or ModelSpec(row.library, row.name, architecture=row.name)
        if row.pixels is None:
            specs[row.id] = replace(native, label=row.label)
        else:
            specs[row.id] = replace(native.with_input_size(row.pixels), label=row.label)
    return Catalog(specs.values(), suite_ids(rows, specs))
