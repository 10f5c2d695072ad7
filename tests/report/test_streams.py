"""Standard output and error, with foreign text made harmless."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.report.streams import ShownStream, held_back


@given(st.lists(st.text(st.sampled_from("a: \n#[\x1b[0m"))))
def test_a_stream_is_as_safe_in_pieces(pieces: list[str]) -> None:
    file = io.StringIO()
    stream = ShownStream(file)
    for piece in pieces:
        stream.write(piece)
    lines = re.split(r"\r\n|\r|\n", file.getvalue())
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("pieces", ["::error::x", "##[error]x", "##vso[a]x"])
def test_a_command_letter_by_letter(pieces: str) -> None:
    file = io.StringIO()
    stream = ShownStream(file)
    for piece in pieces:
        stream.write(piece)
    assert not file.getvalue().startswith("::")
    assert not re.search(r"##\w*\[", file.getvalue())


def test_held_back_by_whichever_way_it_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    def network() -> None:
        sys.stdout.write("::error::printed\n")
        os.write(1, b"::error::written\n")
        sys.stderr.write("::error::said\n")
        os.system("echo ::error::echoed")

    with held_back("stdout", "stderr"):
        network()
    sys.stdout.write("after\n")
    out, error = capfd.readouterr()
    assert out == "after\n"
    assert sorted(error.split()) == [
        ":", ":", ":", ":", ":error::echoed", ":error::printed", ":error::said", ":error::written",
    ]  # fmt: skip


def test_a_logger_that_is_made_meanwhile_still_writes(capfd: pytest.CaptureFixture[str]) -> None:
    with held_back("stdout", "stderr"):
        kept = sys.stderr
    kept.write("later\n")
    kept.flush()
    assert capfd.readouterr().err == "later\n"
