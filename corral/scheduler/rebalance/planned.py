"""Planned: what a plan of moves says. Apart from plan.py, so that a server starts without the compiler that plans need."""

from msgspec import Struct


class PlannedMove(Struct, frozen=True, kw_only=True):
    vm: int  # row
    source: int
    target: int
    wave: int  # moves of one wave may run side by side; the next begins when they are done
    stepping_stone: bool = False  # the VM moves on later, this only makes room
    score: float = 0.0  # of its group, after this move


class MovePlan(Struct, frozen=True, kw_only=True):
    moves: tuple[PlannedMove, ...] = ()
    before: float = 0.0  # score; the mean over the groups
    after: float = 0.0
    emptied: tuple[int, ...] = ()  # nodes that have no VM left and had some
    behind: tuple[int, ...] = ()  # VMs on nodes that are to be emptied, for which no way was found
    seconds: float = 0.0  # that all waves take, one after the other
    bytes: float = 0.0  # sent

    @property
    def waves(self) -> int:
        return self.moves[-1].wave + 1 if self.moves else 0
