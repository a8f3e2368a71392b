"""Move plan: a volume on its way from one pool of this node to another, while its VM runs or not.

In this room   pure: where its two files and the disk of its VM are, in; the one step that comes next, out
Comes in       Places, as just looked at; remembers nothing, so a crash at any moment ends in the same place
Goes out       a MoveStep
Always true    which file is the volume is decided by what the running domain has open, else by which file is whole,
               else by the domain's definition. The other one is removed only after that, never the volume itself.
Next door      moving.py looks and acts
Start here     plan_move()
"""

from typing import Final

from msgspec import Struct

from corral.storage.interface import FileState as File


class Places(Struct, frozen=True, kw_only=True):
    """What is. "here" is where it shall be, "there" where it comes from."""

    here: File = File.NONE
    there: File = File.NONE
    running: bool = False  # a domain on this node has it open
    at: str = (
        ""  # "here", "there": which file the domain has open, or would open. Empty: neither, or no domain
    )
    copying: str = ""  # "here", "there": where the hypervisor copies it to at the moment. Empty: it does not
    copied: bool = False  # that copy has all of it, and is kept up to date
    progress: float = 0.0  # of that copy, 0 to 1
    wanted_running: bool = False  # the VM shall run: it is not kept waiting for the move


class MoveStep(Struct, frozen=True):
    pass


class Done(MoveStep, frozen=True):
    """It is here, and nothing of it is there."""


class Lost(MoveStep, frozen=True):
    """It is nowhere."""


class Wait(MoveStep, frozen=True):
    """The hypervisor is copying."""

    progress: float


class LetStart(MoveStep, frozen=True):
    """Its VM may start where it is; then it goes on."""


class BeginCopy(MoveStep, frozen=True):
    """Make the new file, and have the hypervisor copy into it."""


class EndCopy(MoveStep, frozen=True):
    """Nobody wants that copy any more."""


class Pivot(MoveStep, frozen=True):
    """Have the guest go on with the new file."""


class Accept(MoveStep, frozen=True):
    """The guest has the new file open: it is the volume now."""


class Remove(MoveStep, frozen=True):
    """Remove this file, "here" or "there": it is not the volume."""

    where: str


class CopyFile(MoveStep, frozen=True):
    """Copy it while nobody writes to it."""


OTHER: Final = {"here": "there", "there": "here"}


def plan_move(seen: Places) -> MoveStep:
    """The next step."""
    match _truth(seen):
        case "here":
            return _arrived(seen)
        case "there":
            return _on_the_way(seen) if seen.running else _at_rest(seen)
    return Lost()


def _truth(seen: Places) -> str:
    """Where the volume is: "here", "there", or "": nowhere."""
    files = {"here": seen.here, "there": seen.there}
    there_are = [where for where, file in files.items() if file is not File.NONE]
    if seen.running and seen.at:
        return seen.at
    if len(there_are) < 2:
        return next((where for where in there_are if files[where] is File.WHOLE or seen.at == where), "")
    whole = [where for where in there_are if files[where] is File.WHOLE]
    if len(whole) == 1 and seen.at != OTHER[whole[0]]:
        return whole[0]
    return seen.at or "here"  # the pivot is behind it, or both are the same


def _arrived(seen: Places) -> MoveStep:
    if seen.copying:
        return EndCopy()
    if seen.here is File.PARTIAL:
        return Accept()
    return Done() if seen.there is File.NONE else Remove("there")


def _on_the_way(seen: Places) -> MoveStep:
    if seen.copying == "here":
        return Pivot() if seen.copied else Wait(seen.progress)
    if seen.copying:
        return EndCopy()
    return BeginCopy() if seen.here is File.NONE else Remove("here")


def _at_rest(seen: Places) -> MoveStep:
    if seen.there is File.PARTIAL:
        return Accept()
    if seen.here is not File.NONE:
        return Remove("here")
    return LetStart() if seen.wanted_running else CopyFile()
