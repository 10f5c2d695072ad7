"""What terminals and CI systems obey does not survive; what people read does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.core.errors import UsageError
from archbench.core.foreign import plain, shown

COMMANDS = ["::error::x", "::set-output name=a::b", "::stop-commands::t", "::add-mask::x"]


def obeyed(log: str) -> list[str]:
    """Lines that GitHub's runner takes for commands, after its ActionCommand.cs: it cuts lines at
    either end mark, takes blanks off the start, and looks for the old form anywhere."""
    lines = re.split(r"\r\n|\r|\n", log)
    return [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


def test_the_helper_sees_commands() -> None:
    assert len(obeyed("a ::b\n ::c::\r::d::\nx ##[error]")) == 3


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("before", ["", "\n", "x\n  ", "\t", "x\r", "x\r\n", "\x1b[31m", "\x1b[2J"])
def test_no_line_is_a_command(command: str, before: str) -> None:
    for made in (plain(before + command), shown(before + command)):
        assert not obeyed(made)
        assert command.lstrip(":") in made, "people still read it"


@pytest.mark.parametrize("command", ["##[error]x", "##vso[task.setvariable]x", "##teamcity[a]"])
def test_commands_of_other_systems(command: str) -> None:
    assert plain(f"first {command}") == f"first ## {command[2:]}"


def test_colours_hide_no_command() -> None:
    assert plain(":\x1b[m:error::x") == ": :error::x"
    assert plain("#\x1b[1m#\x1b[m[error]x") == "## [error]x"


def test_text_of_a_line_stays() -> None:
    for text in (
        "a::b",
        "test_x.py::test[a/b]",
        "10 µs ± 3 %",
        "été 深い",
        "## title",
        "a\n\tb",
        "",
    ):
        assert plain(text) == text


@pytest.mark.parametrize(
    ("sequence", "left"),
    [
        ("\x1b[2J", ""), ("\x1b[10;20H", ""), ("\x1b]0;a title\x07", ""), ("\x1bc", ""),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"), ("\x1bP1;2q#0\x1b\\", ""),
        ("\x1b[31mred\x1b[0m", "red"), ("\b\b\b", "   "), ("\x9b2J", " 2J"), ("\x1b\n", " \n"),
        ("\x1b\x1b[2J[2J", " [2J"),
    ],
)  # fmt: skip
def test_escape_sequences_are_cut_out(sequence: str, left: str) -> None:
    assert plain(f"a{sequence}z") == f"a{left}z"


def test_colours_stay_on_a_terminal_alone() -> None:
    assert shown("\x1b[1;31mred\x1b[0m\x1b[2J") == "\x1b[1;31mred\x1b[0m"


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\u2028", "\ufeff", "\u200b"])
def test_what_turns_or_hides_text_goes(mark: str) -> None:
    assert plain(f"a{mark}b") == "a b"


def test_a_refusal_holds_no_command() -> None:
    error = UsageError("--models=x\n::error::y", "no \x1b[2Jsuch", "Write\r::stop-commands::z")
    assert str(error) == "--models=x\n: :error::y: no such. Write\n: :stop-commands::z"


def test_half_a_pair_can_be_written() -> None:
    assert plain("a\udc80").encode("utf-8") == b"a\\udc80"


@given(st.text(st.sampled_from("a:# \n\r\t\x1b[]2Jm;0\x07\\\x9b\u202e\x0b\x0c\x1c\x85")))
def test_nothing_slips_through(text: str) -> None:
    made = plain(text)
    assert not obeyed(made)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", made)
    assert plain(made) == made
    assert not obeyed(shown(text))
    assert not re.sub(r"\x1b\[[\d;]*m", "", shown(text)).count("\x1b")
