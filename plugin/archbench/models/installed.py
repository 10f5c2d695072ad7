"""The model libraries that are installed: their versions, what they have, what to say without one.

None of them need be there. An architecture of one that is not, or that is too old for it, is
refused with a sentence; whatever does not need it is measured all the same.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

import torch

from archbench.catalog.lists import LISTED_LIBRARIES, read_list
from archbench.core.errors import NotMeasuredError, is_out_of_memory, named, orders_to_end
from archbench.core.spec import ModelSpec
from archbench.zoo import BUILT_ON

_MODULES = {
    "timm": "timm",
    "torchvision": "torchvision.models",
    "pytorchcv": "pytorchcv.model_provider",
}


def constructors(library: str) -> Any:
    """The module of a library that has its constructors, which is there.

    They are imported nowhere else: each takes seconds, and none need be installed.
    """
    return importlib.import_module(_MODULES[library])


def library_version(library: str) -> str:
    """The installed version of a library, without the suffix that says how it was compiled."""
    return importlib.metadata.version(library).partition("+")[0]


def named_version(library: str) -> str:
    """``timm 1.0.31``, as installed; the name alone where nothing says which version it is."""
    try:
        return f"{library} {library_version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return library


def import_library(library: str, asked: str) -> ModuleType:
    """The module of a library that has its constructors.

    Args:
        library: ``timm``, ``torchvision`` or ``pytorchcv``.
        asked: what it is needed for: ``timm/resnet50``.

    Raises:
        NotMeasuredError: it is not installed, or cannot be imported.
    """
    try:
        # Whoever builds on meta must not have what a library's files make at their top there.
        with torch.device("cpu"):
            return importlib.import_module(_MODULES[library])
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in LISTED_LIBRARIES:
            raise _broken(library, asked, error) from error
        through = "" if missing == library else f" for {library}"
        raise NotMeasuredError(
            "library-absent",
            f"{asked} needs {missing}{through}, which is not installed here. Install it: "
            f"python -m pip install {missing}",
        ) from None
    except orders_to_end():
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _broken(library, asked, error) from error


def _broken(library: str, asked: str, error: Exception) -> NotMeasuredError:
    return NotMeasuredError(
        "library-broken",
        f"{asked} needs {named_version(library)}, which is installed and cannot be imported "
        f"({named(error)}). Install a version of it that fits what it imports",
    )


def require(spec: ModelSpec) -> None:
    """See that the library that an architecture is built with is there, and import it.

    Raises:
        NotMeasuredError: it is not installed, cannot be imported or does not have the
            architecture; the sentence says which version was found and what to install.
    """
    if spec.library == "archbench" and spec.name in BUILT_ON:
        import_library(BUILT_ON[spec.name], spec.id)
    if spec.library not in LISTED_LIBRARIES:
        return
    library = import_library(spec.library, spec.id)
    # timm knows more names than it lists: with a tag, and older ones.
    is_there = library.is_model if spec.library == "timm" else NAMES[spec.library]().__contains__
    if is_there(spec.name):
        return
    stored = read_list(spec.library)
    found = named_version(spec.library)
    remedy = (
        f"Install {stored.library} {stored.version}, which the catalogue was made with, or leave "
        "the architecture out"
        if spec.name in stored.names
        else "See what the catalogue has: archbench list"
    )
    raise NotMeasuredError(
        "not-in-library", f"{spec.id}: {found} is installed and has no {spec.name}. {remedy}"
    )


def _timm_names() -> Collection[str]:
    found: list[str] = constructors("timm").list_models()
    return found


def _torchvision_names() -> Collection[str]:
    models = constructors("torchvision")
    found: list[str] = models.list_models(module=models)
    return found


def _pytorchcv_names() -> Collection[str]:
    model_provider = constructors("pytorchcv")
    # The module's functions are its models and the function that chooses one by name.
    functions = {name for name, value in vars(model_provider).items() if inspect.isfunction(value)}
    return functions - {"get_model"}


def pytorchcv_store() -> ModuleType:
    """pytorchcv's module about its weights, which lies elsewhere since 0.0.68."""
    try:
        return importlib.import_module("pytorchcv.models.common.model_store")
    except ModuleNotFoundError:
        return importlib.import_module("pytorchcv.models.model_store")


NAMES: dict[str, Callable[[], Collection[str]]] = {
    "timm": _timm_names,
    "torchvision": _torchvision_names,
    "pytorchcv": _pytorchcv_names,
}
"""All constructor names of an installed library, classifiers or not, without building any."""
