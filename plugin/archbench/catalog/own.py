"""Architectures of one's own, as a command line names them.

``path/to/file.py:constructor``, ``package.module:constructor``, ``network.pt2``; with arguments and
an input size behind it: ``net.py:net(width=0.5)@64x128``; with a name before it:
``wide=net.py:net``. Nothing of it is run or imported here.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import decode_source
from pathlib import Path

from archbench.core.errors import UsageError, some
from archbench.core.requests import Request, parse_request, split_requests
from archbench.core.spec import ModelSpec, OwnSource

SAVED = {
    ".pt2": "an exported program",
    ".onnx": "an ONNX graph",
    ".pt": "a scripted or traced network",
    ".pth": "a scripted or traced network",
    ".ts": "a scripted or traced network",
    ".torchscript": "a scripted or traced network",
}
"""Files that are a network by themselves, by ending."""

_EXAMPLE = "path/to/file.py:constructor"
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_*?][\w.*?]*")
_NAMED = re.compile(r"(?P<name>\w[\w.+-]*)=(?P<request>.+)", re.DOTALL)
"""``name=path/to/file.py:constructor``, where two files have a constructor of one name."""
_FILE = re.compile(
    rf".*?(?:\.py(?::[\w.*?\[\]-]*)?|{'|'.join(map(re.escape, SAVED))})(?=$|[(@])", re.DOTALL
)
"""A file with what may be named in it: its own name may have brackets, too."""
_MAKES_NAMES = ("globals", "locals", "vars", "exec", "eval", "setattr", "__getattr__", "__dict__")
"""What a file that makes names while it runs mentions."""


def _without_details(request: str) -> str:
    """A request without its name, arguments and size, however wrong these may be."""
    _, text = _name_and_rest(request)
    file = _FILE.match(text)
    if file is not None and not re.search(r"\w\(\s*\w+\s*=", file[0]):
        return file[0]
    return re.sub(r"(\(.*)?(@[^@/\\:]*)?$", "", text, flags=re.DOTALL)


def _name_and_rest(request: str) -> tuple[str | None, str]:
    """The name that a request gives its network, None for none, and what is left of it."""
    named = _NAMED.fullmatch(request.strip())
    return (named["name"], named["request"]) if named else (None, request.strip())


def is_own_request(request: str) -> bool:
    """Whether a request is about a file or a module of one's own, complete or not."""
    name = _without_details(request)
    return _is_in_file(name) or _MODULE.fullmatch(name) is not None


def _is_in_file(name: str) -> bool:
    return re.search(r"\.py(:|$)", name) is not None or _is_saved(name)


def _is_saved(name: str) -> bool:
    return Path(name).suffix.lower() in SAVED


def rooted(request: str, root: Path) -> str:
    """A request for something in a file, with the file's path from ``root`` made absolute."""
    if not _is_in_file(_without_details(request)):
        return request
    name, rest = _name_and_rest(request)
    return f"{name}={root / rest}" if name else str(root / rest)


def requests_in(text: str, directory: Path) -> list[str]:
    """The requests in a text that separates them by commas.

    A comma may also be in the path of a file that is there.
    """
    parts, found = split_requests(text), list[str]()
    while parts:
        for count in range(len(parts), 0, -1):
            together = ",".join(parts[:count])
            file = re.sub(r":[\w.*?]*$", "", _without_details(together))
            _, but_one = _name_and_rest(",".join(parts[: count - 1]))
            has_all = file.startswith(but_one)
            if count == 1 or (
                has_all and is_own_request(together) and (directory / file).is_file()
            ):
                found.append(together)
                del parts[:count]
                break
    return found


def own_architectures(
    request: str, directory: Path, asking: str, root: Path | None = None
) -> list[ModelSpec]:
    """The specs that a request about one's own names: one, or several where it is a glob.

    Args:
        request: what was asked for.
        directory: what a relative path starts from.
        asking: what stands before the request where it was typed, for messages: ``--models=``.
        root: of the project, from which its packages are imported; ``directory`` by default.

    Raises:
        UsageError: no such file, nothing of that name in it, or arguments that make no sense.
    """
    asked = f"{asking}{request}"
    name, rest = _name_and_rest(request)
    parsed = parse_request(rest, asked)
    root = root or directory
    if _is_saved(parsed.name) and ":" not in Path(parsed.name).name:
        return [_saved(asked, parsed, directory, root, name)]
    place, colon, attribute = parsed.name.rpartition(":")
    if not colon or not attribute:
        raise UsageError(
            asked,
            "it names a file and no constructor in it",
            _choices(place or parsed.name, directory, f"Write {asking}{_EXAMPLE}"),
        )
    if place.endswith(".py"):
        path = (directory / place).resolve()
        if not path.is_file():
            raise UsageError(asked, f"there is no file {path}", f"Write {asking}{_EXAMPLE}")
        names = _names_of(path, asked)
        attributes = _attributes(attribute, names, path, directory, asked)
        place = str(path)
    elif set(attribute) & set("*?["):
        raise UsageError(asked, "a glob over names needs a file", f"Write {asking}{_EXAMPLE}")
    elif not all(part.isidentifier() for part in place.split(".")):
        raise UsageError(
            asked, f"{place!r} is neither a .py file nor a module", f"Write {asking}{_EXAMPLE}"
        )
    else:
        attributes = [attribute]
    sources = [OwnSource(place, one, str(root)) for one in attributes]
    if name and len(sources) > 1:
        raise UsageError(
            asked, f"the glob is about {len(sources)} networks", "Give a name to one at a time"
        )
    specs = [ModelSpec.of(one, name=name or one.attribute.rpartition(".")[2]) for one in sources]
    found = [spec.with_arguments(parsed.arguments) for spec in specs]
    return [spec.with_input_size(parsed.size) for spec in found] if parsed.size else found


def _saved(asked: str, parsed: Request, directory: Path, root: Path, name: str | None) -> ModelSpec:
    """The spec of a file that is a network by itself."""
    path = (directory / parsed.name).resolve()
    if not path.is_file():
        raise UsageError(asked, f"there is no file {path}", "Name a file that is there")
    if parsed.arguments:
        raise UsageError(
            asked,
            f"{path.name} is {SAVED[path.suffix.lower()]}, which is built already",
            "Leave the arguments out",
        )
    name = name or re.sub(r"[^\w.+-]+", "-", path.stem).strip(".+-") or "network"
    spec = ModelSpec.of(OwnSource(str(path), "", str(root)), name=name)
    return spec.with_input_size(parsed.size) if parsed.size else spec


def _attributes(
    attribute: str, names: _Names, path: Path, directory: Path, asked: str
) -> list[str]:
    """The attributes of a file that a name or a glob over names is about."""
    if set(attribute) & set("*?["):
        found = [name for name in names.made_here if fnmatchcase(name, attribute)]
        if not found:
            raise UsageError(
                asked,
                f"{path.name} makes no function or class of such a name"
                + (" that is in its text" if names.may_be_more else ""),
                _choices(path, directory, "Name one that returns the network"),
            )
        return found
    # What a file makes while it runs is known only then.
    if attribute.partition(".")[0] not in names.all and not names.may_be_more:
        raise UsageError(
            asked,
            f"{path.name} defines no {attribute!r}; it has "
            f"{', '.join(sorted(names.made_here or names.all)) or 'nothing'}",
            "Name a function or class in it that returns the model",
        )
    return [attribute]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names at the top of a file.

    Attributes:
        all: every one that a statement binds.
        made_here: public functions and classes, in their order.
        may_be_more: whether running the file may bind others.
    """

    all: frozenset[str]
    made_here: tuple[str, ...]
    may_be_more: bool


def _names_of(path: Path, asked: str) -> _Names:
    try:
        text = decode_source(path.read_bytes())  # as Python does: by its mark or its cookie
        table = symtable.symtable(text, str(path), "exec")
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(asked, f"{path} is not valid Python ({error})", "Correct the file") from (
            error
        )
    except OSError as error:
        raise UsageError(
            asked, f"{path} cannot be read ({error.strerror})", "Make it readable"
        ) from None
    bound = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    made = (scope.get_name() for scope in table.get_children())
    return _Names(
        frozenset(bound),
        tuple(dict.fromkeys(one for one in made if one in bound and not one.startswith("_"))),
        any(_may_bind_more(node, bound) for node in ast.walk(tree)),
    )


def _may_bind_more(node: ast.AST, bound: Collection[str]) -> bool:
    """Whether a piece of code may bind names at the top of its file that are not in ``bound``."""
    if isinstance(node, ast.Global):
        return not set(node.names) <= set(bound)
    if isinstance(node, ast.ImportFrom):
        return any(alias.name == "*" for alias in node.names)
    word = getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None)
    return word in _MAKES_NAMES


def _choices(place: str | Path, directory: Path, otherwise: str) -> str:
    """What to write, with the names that a file has."""
    path = directory / place
    try:
        made = _names_of(path.resolve(), "").made_here if path.is_file() else ()
    except UsageError:
        made = ()
    if not made:
        return otherwise
    shown = path.relative_to(directory) if path.is_relative_to(directory) else path
    example = f"{shown.as_posix()}:{made[0]}"
    return f"Add one of {some(made, 8)} behind a colon, or a glob over them: {example}"
