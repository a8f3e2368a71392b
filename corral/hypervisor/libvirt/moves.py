"""Moves: live migrations from this host, from the first look to the verdict.

In this room   Moves: when to send, how long to wait, how it ended; no figures are read and no flags chosen here
Comes in       migrate() and cancel() of the agent; libvirt's event that a job ended
Goes out       MigrationProgress, MigrationFailed, MigrationCancelled
Always true    the domain says how it ended, whatever the call returned: libvirtd may have been restarted
               meanwhile, or this process (which then waits for the migration it finds under way)
Next door      migration.py has the blocking calls
Start here     Moves.migrate()
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

import libvirt

from corral.hypervisor.interface import (
    DomainWish,
    HypervisorFailed,
    HypervisorGone,
    MigrationCancelled,
    MigrationFailed,
    MigrationProgress,
)
from corral.hypervisor.libvirt import migration
from corral.hypervisor.libvirt.connection import Connection, Pool
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.libvirt.migration import Ending, Route
from corral.model.ids import VmId

T = TypeVar("T")

FIGURES_S_MAX: Final = 1.0  # after a migration, for the event with its downtime
LOOK_AGAIN_S: Final = 0.1
BACK_S_MAX: Final = 60.0  # for libvirtd to come back when it went away during a migration
ABORT_S_MAX: Final = 5.0  # how long a cancel is repeated while the migration is only beginning


class Move:
    """A migration that this process waits for."""

    def __init__(self) -> None:
        self.cancelled = False
        self.figures: Mapping[str, int | str] = {}
        self.has_figures = asyncio.Event()


class Moves:
    """All that leave this host."""

    def __init__(self, connection: Connection, route: Route) -> None:
        self._connection, self._route = connection, route
        self._moves: dict[str, Move] = {}  # by UUID

    async def migrate(self, vm: VmId, peer_address: str, wish: DomainWish) -> MigrationProgress:
        migration.refuse_local_disks(wish)
        uuid = domain_uuid(vm)
        move = self._moves.setdefault(uuid, Move())
        try:
            error = await self._send(vm, peer_address, move)
            match await self._ending(vm):
                case Ending.MOVED:
                    return await self._final(move)
                case Ending.STAYED if move.cancelled or _was_aborted(error):
                    raise MigrationCancelled(f"the migration of {wish.name} was cancelled", vm=vm)
                case ending:
                    why = error.message if error else "libvirt gave no reason"
                    raise MigrationFailed(
                        f"{wish.name} did not move to {peer_address}, it {ending}: {why}", vm=vm
                    )
        finally:
            self._moves.pop(uuid, None)

    async def _send(self, vm: VmId, peer_address: str, move: Move) -> HypervisorFailed | None:
        """Start it and wait; what libvirt said against it. A migration that is under way already is left alone."""
        uuid = domain_uuid(vm)
        now = await self._job(vm, f"look at {vm}", lambda c: migration.ending(c, uuid))
        if now is Ending.RUNNING_YET:
            return None
        if now is not Ending.STAYED:
            raise MigrationFailed(f"{vm} does not run here", vm=vm)
        if move.cancelled:
            return None
        try:
            await self._connection.call(
                uuid,
                f"migrate {vm}",
                lambda c: None if move.cancelled else migration.send(c, uuid, peer_address, self._route),
                pool=Pool.MOVE,
                timeout_s=None,
            )
        except HypervisorFailed as error:
            return error
        return None

    async def _ending(self, vm: VmId) -> Ending:
        """What the domain says, once no migration of it runs any more."""
        gives_up_s = self._connection.clock.monotonic_s() + BACK_S_MAX
        while True:
            try:
                seen = await self._job(vm, f"look at {vm}", lambda c: migration.ending(c, domain_uuid(vm)))
                if seen is not Ending.RUNNING_YET:
                    return seen
                gives_up_s = self._connection.clock.monotonic_s() + BACK_S_MAX
            except HypervisorGone:
                if self._connection.clock.monotonic_s() > gives_up_s:
                    raise
            await self._connection.clock.sleep(LOOK_AGAIN_S)

    async def _final(self, move: Move) -> MigrationProgress:
        with suppress(TimeoutError):
            await asyncio.wait_for(move.has_figures.wait(), timeout=FIGURES_S_MAX)
        return migration.final(move.figures)

    async def progress(self, vm: VmId) -> MigrationProgress | None:
        uuid = domain_uuid(vm)
        figures = await self._job(vm, f"look at the migration of {vm}", lambda c: migration.figures(c, uuid))
        if figures is not None:
            return migration.progress(figures)
        return MigrationProgress() if uuid in self._moves else None

    async def cancel(self, vm: VmId) -> None:
        uuid = domain_uuid(vm)
        ends_s = self._connection.clock.monotonic_s() + ABORT_S_MAX
        if uuid in self._moves:
            self._moves[uuid].cancelled = True
        while True:
            await self._job(vm, f"cancel the migration of {vm}", lambda c: migration.abort(c, uuid))
            if uuid not in self._moves or self._connection.clock.monotonic_s() > ends_s:
                return
            await self._connection.clock.sleep(LOOK_AGAIN_S)  # it may be about to begin

    async def _job(self, vm: VmId, what: str, work: Callable[[libvirt.virConnect], T]) -> T:
        """In a lane beside the VM's own: about a job, while the VM's lane may wait for that job."""
        return await self._connection.call(f"{domain_uuid(vm)} job", what, work)

    def job_ended(self, uuid: str, figures: Mapping[str, int | str]) -> None:
        """Libvirt's last word on a job, downtime included; the domain itself may be gone by now."""
        if uuid in self._moves:
            self._moves[uuid].figures = figures
            self._moves[uuid].has_figures.set()


def _was_aborted(error: HypervisorFailed | None) -> bool:
    return error is not None and error.context.get("libvirt_code") == libvirt.VIR_ERR_OPERATION_ABORTED
