"""Moves of volumes: the step that comes next, whatever happened before."""

from itertools import product

import pytest
from msgspec.structs import replace

from corral.agent.move_plan import (
    Accept,
    BeginCopy,
    CopyFile,
    Done,
    EndCopy,
    LetStart,
    Lost,
    MoveStep,
    Pivot,
    Places,
    Remove,
    Wait,
    plan_move,
)
from corral.storage.interface import FileState as File

NONE, PARTIAL, WHOLE = File.NONE, File.PARTIAL, File.WHOLE
STEPS = [  # name, what is seen, step
    ("stopped, not begun: copy", Places(there=WHOLE, at="there"), CopyFile()),
    ("no domain: copy", Places(there=WHOLE), CopyFile()),
    ("copied, agent died before the old one went", Places(here=WHOLE, there=WHOLE), Remove("there")),
    ("only the new one is left", Places(here=WHOLE, at="there"), Done()),
    ("neither", Places(at="there"), Lost()),
    ("running: begin", Places(there=WHOLE, running=True, at="there"), BeginCopy()),
    ("running: an attempt left something", Places(here=PARTIAL, there=WHOLE, running=True, at="there"), Remove("here")),
    ("running: copying", Places(here=PARTIAL, there=WHOLE, running=True, at="there", copying="here", progress=0.3), Wait(0.3)),
    ("running: copied", Places(here=PARTIAL, there=WHOLE, running=True, at="there", copying="here", copied=True), Pivot()),
    ("running: pivoted", Places(here=PARTIAL, there=WHOLE, running=True, at="here"), Accept()),
    ("running: accepted", Places(here=WHOLE, there=WHOLE, running=True, at="here"), Remove("there")),
    ("running: done", Places(here=WHOLE, running=True, at="here"), Done()),
    ("cancelled while copying", Places(here=WHOLE, there=PARTIAL, running=True, at="here", copying="there"), EndCopy()),
    ("cancelled, copy ended", Places(here=WHOLE, there=PARTIAL, running=True, at="here"), Remove("there")),
    ("cancelled after the pivot: back", Places(here=WHOLE, there=WHOLE, running=True, at="there"), Remove("here")),
    ("guest stopped while copying, and shall run", Places(here=PARTIAL, there=WHOLE, at="there", wanted_running=True), Remove("here")),
    ("it may start", Places(there=WHOLE, at="there", wanted_running=True), LetStart()),
    ("QEMU died after the pivot", Places(here=PARTIAL, there=WHOLE, at="here", wanted_running=True), Accept()),
    ("QEMU died after the pivot, then cancelled", Places(here=WHOLE, there=PARTIAL, at="there"), Accept()),
    ("partial alone, and the domain's", Places(here=PARTIAL, at="here"), Accept()),
    ("partial alone is nothing", Places(here=PARTIAL), Lost()),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "step"), [pytest.param(*s[1:], id=s[0]) for s in STEPS])
def test_step(seen: Places, step: MoveStep) -> None:
    assert plan_move(seen) == step


def test_what_the_guest_has_open_is_never_removed() -> None:
    for here, there, at, copying, copied in product(
        File, File, ("here", "there"), ("", "here", "there"), (True, False)
    ):
        seen = Places(here=here, there=there, running=True, at=at, copying=copying, copied=copied)
        assert plan_move(seen) != Remove(at)


def test_the_only_whole_file_is_never_removed_unless_the_domain_says_so() -> None:
    for here, there, at in product(File, File, ("", "here", "there")):
        step = plan_move(Places(here=here, there=there, at=at))
        if isinstance(step, Remove):
            files = {"here": here, "there": there}
            left = files["there" if step.where == "here" else "here"]
            assert left is WHOLE, (here, there, at)


def test_ends_from_everywhere() -> None:
    """Each step changes what is seen, and no sequence of them goes on for ever."""
    for here, there, at, running in product(File, File, ("here", "there"), (True, False)):
        if File.NONE in (here, there) and File.PARTIAL in (here, there):
            continue  # half a file alone
        if running and {"here": here, "there": there}[at] is File.NONE:
            continue
        seen = Places(here=here, there=there, at=at, running=running)
        for _ in range(12):
            step = plan_move(seen)
            if isinstance(step, Done | Lost):
                break
            seen = after(seen, step)
        assert isinstance(plan_move(seen), Done | Lost), (here, there, at, running)


def after(seen: Places, step: MoveStep) -> Places:
    match step:
        case BeginCopy():
            return replace(seen, here=PARTIAL, copying="here")
        case Wait():
            return replace(seen, copied=True)
        case Pivot():
            return replace(seen, at="here", copying="", copied=False)
        case EndCopy():
            return replace(seen, copying="", copied=False)
        case Accept():
            return replace(seen, **{_truth_of(seen): WHOLE})
        case Remove(where):
            return replace(seen, **{where: NONE})
        case CopyFile():
            return replace(seen, here=WHOLE, there=NONE)
    raise AssertionError(step)


def _truth_of(seen: Places) -> str:
    return "here" if seen.here is PARTIAL else "there"
