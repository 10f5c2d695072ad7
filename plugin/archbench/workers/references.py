"""What ``--against=REF`` can name."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from archbench.core.errors import UsageError
from archbench.core.requests import split_requests
from archbench.core.run_config import RUNTIMES, axes
from archbench.core.selectors import refuse_unknown

MERGE_BASE = "merge-base"
"""With the main branch: what ``--against`` names without a value."""


def flags() -> dict[str, tuple[str, ...]]:
    """What may differ between two models of one environment, with the values that each takes; none
    for a model and for whole numbers."""
    return {"model": (), **{one.option: one.values for one in axes() if one.several}}


_EXAMPLES = (
    "a git revision (--against=main), --against=python:/path/to/venv/bin/python, "
    "--against='pip:timm==1.0.20', or a change of flags (--against=dtype=bf16)"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """What the project as it is here is compared with.

    Attributes:
        kind: ``revision``, ``interpreter``, ``packages`` or ``flags``.
        text: as it was typed.
        value: of the revision or interpreter; empty for the merge base.
        requirements: that are laid over the environment, in pip's own form.
        flags: name and value of each that differs.
    """

    kind: str
    text: str
    value: str = ""
    requirements: tuple[str, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()

    @property
    def means_difference(self) -> bool:
        """Whether the two sides are other networks on purpose, so that other counts are no news."""
        return any(name == "model" for name, _ in self.flags)

    def shares_process(self, runtimes: Collection[str]) -> bool:
        """Whether one process can hold both sides.

        Two flags of one environment can, unless both sides are compiled: torch's compiler has one
        state for a process, and starting on the second network it forgets the first.

        Args:
            runtimes: of the candidate's targets.
        """
        runtime = dict(self.flags).get("runtime", "compiled")
        return self.kind == "flags" and not ("compiled" in runtimes and runtime == "compiled")


def parse_reference(text: str, runtimes: Sequence[str] = RUNTIMES) -> Reference:
    """Read ``--against``'s value; what it names is not looked for yet.

    Args:
        runtimes: that are known here.

    Raises:
        UsageError: it cannot name anything.
    """
    asked = f"--against={text}"
    text = text.strip()
    kind, colon, value = text.partition(":")
    value = value.strip()
    if colon and kind == "python":
        if not value:
            raise UsageError(
                asked, "no interpreter is named", "Write --against=python:/path/to/venv/bin/python"
            )
        return Reference("interpreter", text, value)
    if colon and kind == "pip":
        try:
            requirements = tuple(sorted(set(shlex.split(value))))
        except ValueError as error:
            raise UsageError(asked, f"a quote is open ({error})", "Close it") from None
        if not requirements or any(one.startswith("-") for one in requirements):
            raise UsageError(
                asked,
                "requirements are expected, separated by spaces",
                "Write for example --against='pip:timm==1.0.20 torchvision==0.20'",
            )
        return Reference("packages", text, requirements=requirements)
    if "=" in text:
        return Reference("flags", text, flags=_flags(asked, text, runtimes))
    if text.startswith("-") or any(sign in text for sign in " :?*[\\"):
        raise UsageError(asked, "no revision is called that", f"Write {_EXAMPLES}")
    return Reference("revision", text, "" if text == MERGE_BASE else text)


def _flags(asked: str, text: str, runtimes: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    takes = flags()
    for part in split_requests(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(
                asked,
                f"{part.strip()!r} is no change of a flag",
                "Write --against=dtype=bf16,batch-size=4",
            )
        refuse_unknown(asked, name, takes, "flag")
        if name in found:
            raise UsageError(asked, f"{name} is given twice", "Give it once")
        known = runtimes if name == "runtime" else takes[name]
        if known and value not in known:
            raise UsageError(asked, f"{value!r} is no {name}", f"Write one of {', '.join(known)}")
        if not known and name != "model" and not (value.isdecimal() and int(value) > 0):
            raise UsageError(
                asked,
                f"{value!r} is not a whole number of at least 1",
                "Write for example --against=batch-size=4",
            )
        if not value:
            raise UsageError(
                asked, f"{name} has no value", "Write for example --against=model=timm/resnet50"
            )
        found[name] = value
    return tuple(found.items())
