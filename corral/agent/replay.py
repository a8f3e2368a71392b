"""Replay: what a guest printed on its serial line before the console was opened.

In this room   replay(), from the log as it was just before and just after the opening
Comes in       bytes of the log; the first bytes that the open console brings
Goes out       text to show first; how much of the console's first bytes was in it
Always true    pure. Nothing is shown twice, as far as the log's end and the console's beginning agree. A terminal
               that shows the text is not made to answer: what it would answer would be typed into the guest.
Start here     replay()
"""

import re
from typing import Final

from msgspec import Struct

SAME_BYTES: Final = 1024  # of the older look that are searched for in the newer one
GAP_BYTES_MAX: Final = 4096  # of what may be printed twice
QUESTIONS: Final = re.compile(  # to terminals (ECMA-48, xterm): who and where are you, what colours have you
    rb"\x1b\[[?>=!]?[0-9;]*[cn]|\x1b\[[?>]?[0-9;]*\$p|\x1b\[[0-9;]*x|\x1bZ|\x05"
    rb"|\x1b\][0-9;]*\?(?:\x07|\x1b\\)|\x1bP[+$]q[^\x1b]*\x1b\\"
)


class Replay(Struct, frozen=True):
    text: bytes = b""
    gap: bytes = b""  # printed while the console was being opened: the console may bring it, too

    def without_seen(self, first: bytes) -> bytes:
        """The console's first bytes without those that `text` ends with."""
        for length in range(min(len(self.gap), len(first)), 0, -1):
            if self.gap.endswith(first[:length]):
                return first[length:]
        return first


def replay(before: bytes, after: bytes, most_bytes: int) -> Replay:
    """What to show first.

    before, after   the end of the log, just before and just after the console was opened
    most_bytes      that were asked for; where the log is longer, the first line is not whole
    """
    _, found, gap = after.rpartition(before[-SAME_BYTES:]) if before else (b"", b"", after)
    whole = after.partition(b"\n")[2] if len(after) >= most_bytes and b"\n" in after else after
    return Replay(QUESTIONS.sub(b"", whole), gap[-GAP_BYTES_MAX:] if found or not before else b"")
