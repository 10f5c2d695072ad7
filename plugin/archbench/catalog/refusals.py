"""What to say when a suite or an architecture is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from archbench.core.errors import NothingFoundError, UsageError, some
from archbench.core.spec import ModelSpec


def unknown_suite(name: str, suites: Iterable[str]) -> UsageError:
    """There is no suite of that name."""
    names = list(suites)
    nearest = get_close_matches(name, names, n=1)
    found = "there is no suite of that name"
    return UsageError(
        f"suite {name!r}",
        f"{found}; the nearest is {nearest[0]}" if nearest else found,
        f"Choose from {', '.join(names)}",
    )


def unknown_architecture(request: str, catalogued: Mapping[str, ModelSpec]) -> UsageError:
    """No architecture of the catalogue has the id or the name."""
    asked = f"architecture {request!r}"
    base, dot, tag = request.partition("@")[0].partition("(")[0].partition(".")
    tagged = [spec for spec in catalogued.values() if base in (spec.id, spec.name)]
    # timm is the library that writes a tag after a dot.
    tagged = [spec for spec in tagged if spec.library == "timm"] or tagged
    if dot and tagged:
        return UsageError(
            asked,
            f"{tag!r} is a tag of pretrained weights, and an architecture is named without one",
            f"Write {' or '.join(spec.id for spec in tagged if spec.is_native_size)}",
        )
    nearest = _nearest(request.partition("@")[0].partition("(")[0], catalogued)
    return UsageError(
        asked,
        f"none of the {len(catalogued):,} architectures of the catalogue has that name",
        f"The nearest are {', '.join(nearest)}"
        if nearest
        else "Write an id such as timm/resnet50, or a glob over ids such as 'timm/resnet*'",
    )


def only_implementation(request: str, spec: ModelSpec) -> UsageError:
    """There is nothing to compare an architecture with."""
    return UsageError(
        f"implementations of {request!r}",
        f"only {spec.id} is one",
        f"Name two or more to compare: {spec.id} and another id",
    )


def no_match(
    request: str,
    suites: Sequence[str],
    looked_at: int,
    elsewhere: Collection[ModelSpec],
    catalogued: Mapping[str, ModelSpec],
) -> UsageError:
    """A request matches nothing where it looked.

    Args:
        request: the id, name or glob.
        suites: names of the suites that were looked into, none for the whole catalogue.
        looked_at: how many architectures that were.
        elsewhere: what the request matches in the whole catalogue.
        catalogued: the whole catalogue.
    """
    is_glob = bool(set(request) & set("*?["))
    if not is_glob and not elsewhere:
        return unknown_architecture(request, catalogued)
    place = f"suite {', '.join(suites)}" if suites else "the catalogue"
    if elsewhere:
        matches = some([spec.id for spec in elsewhere])
        todo = f"Leave out the suite to choose from the whole catalogue, which has {matches}"
    else:
        todo = "Write a glob over ids such as 'timm/resnet*', in quotes"
    return NothingFoundError(
        f"{'glob' if is_glob else 'architecture'} {request!r}",
        f"it matches none of the {looked_at:,} architectures of {place}",
        todo,
    )


def _nearest(request: str, catalogued: Mapping[str, ModelSpec], count: int = 5) -> list[str]:
    """Ids of the architectures whose names are most like the requested one, best first.

    Names are compared without the library, which would make all of one library alike; among equal
    names that of the requested library comes first.
    """
    library, _, name = request.rpartition("/")
    by_name: dict[str, list[str]] = {}
    for spec in catalogued.values():
        if spec.is_native_size:
            by_name.setdefault(spec.name, []).append(spec.id)
    close = get_close_matches(name, by_name, n=count)
    ids = [
        id for n in close for id in sorted(by_name[n], key=lambda id: not id.startswith(library))
    ]
    return ids[:count]
