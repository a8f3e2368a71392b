"""What was printed before: what is shown of it, and what of the console's beginning is not shown again."""

import pytest

from corral.agent.replay import Replay, replay

CASES = [  # name, log before, log after, most, first bytes of the console, all that is shown
    ("nothing printed", b"", b"", 100, b"hi", b"hi"),
    ("printed long ago", b"boot\nlogin: ", b"boot\nlogin: ", 100, b"root", b"boot\nlogin: root"),
    ("the same text again is new text", b"tick\n", b"tick\n", 100, b"tick\n", b"tick\ntick\n"),
    ("in the log and on the line", b"boot\n", b"boot\nlogin: ", 100, b"login: ", b"boot\nlogin: "),
    ("the line goes on", b"boot\n", b"boot\nlog", 100, b"login: ", b"boot\nlogin: "),
    ("the line begins later", b"boot\n", b"boot\nlogin: ", 100, b"in: root", b"boot\nlogin: root"),
    ("the log is slow", b"boot\n", b"boot\n", 100, b"login: ", b"boot\nlogin: "),
    ("first words", b"", b"BIOS", 100, b"BIOS 1.0", b"BIOS 1.0"),
    ("cut at a line", b"-of-line\nlast", b"-of-line\nlast", 13, b"!", b"last!"),
    ("a line longer than was asked for", b"x" * 10, b"x" * 10, 10, b"!", b"x" * 10 + b"!"),
    ("the log was cut between the looks", b"old\n", b"new\nwords", 100, b"words", b"new\nwordswords"),
]


@pytest.mark.parametrize(
    ("before", "after", "most", "first", "shown"), [pytest.param(*row[1:], id=row[0]) for row in CASES]
)
def test_replay(before: bytes, after: bytes, most: int, first: bytes, shown: bytes) -> None:
    past = replay(before, after, most)
    assert past.text + past.without_seen(first) == shown


QUIET = [  # name, as printed, as shown again
    ("where is the cursor", b"/ # \x1b[6n", b"/ # "),
    ("who are you", b"a\x1b[c\x1b[>0c\x1b[=c\x1bZb", b"ab"),
    ("are you well", b"\x1b[5n\x1b[?15n", b""),
    ("which background", b"\x1b]11;?\x07x\x1b]10;?\x1b\\", b"x"),
    ("which settings", b"\x1b[?2026$p\x1b[4$p", b""),
    ("which strings", b"\x1bP+q544e\x1b\\x\x1bP$q m\x1b\\", b"x"),
    ("answerback", b"a\x05b", b"ab"),
    ("colours stay", b"\x1b[1;32mok\x1b[0m\x1b[2J\x1b[H", b"\x1b[1;32mok\x1b[0m\x1b[2J\x1b[H"),
    ("a title stays", b"\x1b]0;web\x07", b"\x1b]0;web\x07"),
]


@pytest.mark.parametrize(("printed", "shown"), [pytest.param(*row[1:], id=row[0]) for row in QUIET])
def test_a_terminal_is_not_asked_again(printed: bytes, shown: bytes) -> None:
    """Its answer would be typed into the guest."""
    assert replay(printed, printed, 1000).text == shown


def test_nothing_was_asked_for() -> None:
    assert Replay().without_seen(b"abc") == b"abc"
