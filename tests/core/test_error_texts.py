"""Messages of exceptions whose own code fails."""

from __future__ import annotations

import pytest

from archbench.core.errors import first_line, is_out_of_memory, named, text_of
from archbench.devices.registry import is_fatal


class Raises(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Nothing(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class Base(BaseException):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("kind", [Raises, Nothing, Base])
def test_an_exception_that_has_no_text(kind: type[BaseException]) -> None:
    error = kind()
    assert text_of(error) == ""
    assert first_line(error) == named(error) == kind.__name__
    assert not is_out_of_memory(error)
    assert not is_fatal(error)


def test_the_cause_in_a_script_is_its_last_line() -> None:
    text = (
        "The following operation failed in the TorchScript interpreter.\n"
        "Traceback of TorchScript (most recent call last):\n"
        "RuntimeError: shapes do not fit"
    )
    assert first_line(RuntimeError(text)) == "RuntimeError: shapes do not fit"
