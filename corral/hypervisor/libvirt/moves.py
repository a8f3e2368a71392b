"""Moves: live migrations from this host, from the first look to the verdict.

In this room   Moves: when to send, when to switch to post-copy, when to go on with one whose link broke, when to give up,
               how it ended; no flags are chosen here
Comes in       migrate() and cancel() of the agent; libvirt's event that a job ended
Goes out       MigrationProgress; MigrationFailed (MigrationStuck), MigrationCancelled, MigrationLost
Always true    the domain says how it ended, whatever the call returned: libvirtd may have been restarted
               meanwhile, or this process (which then waits for the migration it finds under way)
Next door      migration.py has the blocking calls
Start here     Moves.migrate()
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import libvirt
from msgspec.structs import replace

from corral.hypervisor.interface import (
    DomainWish,
    HypervisorFailed,
    HypervisorGone,
    MigrationCancelled,
    MigrationFailed,
    MigrationLost,
    MigrationProgress,
    MigrationStuck,
)
from corral.hypervisor.libvirt import migration
from corral.hypervisor.libvirt.connection import Connection, Pool
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.libvirt.migration import Ending, Route
from corral.model.ids import VmId
from corral.model.migration import MigrationHow

T = TypeVar("T")
Ended = tuple[Ending, HypervisorFailed | None]  # and what libvirt said against it
log = logging.getLogger("corral.hypervisor.libvirt")

FIGURES_S_MAX: Final = 3.0  # after a migration, for the event with its downtime, on a busy host too
LOOK_AGAIN_S: Final = 0.1
BACK_S_MAX: Final = 60.0  # for libvirtd to come back when it went away during a migration
WATCH_S: Final = 0.25  # between looks at a migration that may have to be switched to post-copy or given up
SEND_AGAIN_S: Final = 1.0  # between attempts to go on with a post-copy whose link broke
LET_GO_S_MAX: Final = 20.0
ABORT_S_MAX: Final = 5.0  # how long a cancel is repeated while the migration is only beginning


class Move:
    """A migration that this process waits for."""

    def __init__(self) -> None:
        self.cancelled = False
        self.stuck = False  # its time was up
        self.post_copy = False  # the guest runs at the target
        self.given_up = asyncio.Event()  # cancelled when half of it was there already
        self.figures: Mapping[str, int | str] = {}
        self.has_figures = asyncio.Event()


class Moves:
    """All that leave this host."""

    def __init__(self, connection: Connection, route: Route) -> None:
        self._connection, self._route = connection, route
        self._moves: dict[str, Move] = {}  # by UUID

    async def migrate(
        self, vm: VmId, peer_address: str, wish: DomainWish, how: MigrationHow, *, begun: bool = False
    ) -> MigrationProgress:
        uuid = domain_uuid(vm)
        move = self._moves.setdefault(uuid, Move())
        watch = asyncio.create_task(self._watch(vm, move, how), name=f"watch migration of {vm}")
        try:
            if begun:
                await self._check_begun(vm)
            ending, error = await self._until_given_up(
                self._see_through(vm, peer_address, wish, how, move, begun=begun), move
            )
            match ending:
                case Ending.MOVED:
                    return await self._final(move)
                case Ending.BROKEN:
                    raise MigrationLost.of(wish, peer_address)
                case Ending.STAYED if move.stuck:
                    raise MigrationStuck.of(wish, how)
                case Ending.STAYED if move.cancelled or _was_aborted(error):
                    raise MigrationCancelled(f"the migration of {wish.name} was cancelled", vm=vm)
                case ending:
                    why = error.message if error else "libvirt gave no reason"
                    raise MigrationFailed(
                        f"{wish.name} did not move to {peer_address}, it {ending}: {why}", vm=vm
                    )
        finally:
            watch.cancel()
            self._moves.pop(uuid, None)

    async def _until_given_up(self, seeing: Coroutine[Any, Any, Ended], move: Move) -> Ended:
        """A call to libvirt may never return when half of the guest is at a target whose QEMU is stuck."""
        tasks = (
            asyncio.create_task(seeing, name="see a migration through"),
            asyncio.create_task(move.given_up.wait(), name="giving up a migration"),
        )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return tasks[0].result() if tasks[0].done() else (Ending.BROKEN, None)
        finally:
            for task in tasks:
                task.cancel()

    async def _see_through(
        self, vm: VmId, peer_address: str, wish: DomainWish, how: MigrationHow, move: Move, *, begun: bool
    ) -> Ended:
        """How it ended. One whose link broke in post-copy is gone on with, for as long as both halves are there."""
        error = None if begun else await self._send(vm, peer_address, wish, how, move)
        while (seen := await self._ending(vm)) is Ending.BROKEN:
            move.post_copy = True
            if not await self._send_again(vm, peer_address, how):
                break
        return seen, error

    async def _watch(self, vm: VmId, move: Move, how: MigrationHow) -> None:
        """What its method says: switch to post-copy after a while; give up when its time is up."""
        uuid, clock = domain_uuid(vm), self._connection.clock
        began_s = clock.monotonic_s()
        if how.post_copy_after_s is not None:
            await clock.sleep(how.post_copy_after_s)
            while not move.post_copy:
                try:
                    await self._job(
                        vm, f"run {vm} at its target", lambda c: migration.start_post_copy(c, uuid)
                    )
                    move.post_copy = True
                except HypervisorFailed as error:  # it may be before its first round; or over
                    log.info("post-copy of %s not begun: %s", vm, error.message)
                await clock.sleep(WATCH_S)
            return  # there is no way back
        await clock.sleep(max(0.0, how.timeout_s - (clock.monotonic_s() - began_s)))
        move.stuck = True
        await self.cancel(vm)

    async def _send(
        self, vm: VmId, peer_address: str, wish: DomainWish, how: MigrationHow, move: Move
    ) -> HypervisorFailed | None:
        """Start it and wait; what libvirt said against it. A migration that is under way already is left alone."""
        uuid = domain_uuid(vm)
        now = await self._job(vm, f"look at {vm}", lambda c: migration.ending(c, uuid))
        if now in (Ending.RUNNING_YET, Ending.BROKEN):
            return None
        if now is not Ending.STAYED:
            raise MigrationFailed(f"{vm} does not run here", vm=vm)
        if move.cancelled:
            return None
        await migration.reach(migration.peer_uri(self._route, peer_address, tls=how.tls))
        local = [disk.path for disk in wish.disks if not disk.shared]

        def send(connection: libvirt.virConnect) -> None:
            if not move.cancelled:
                migration.send(connection, uuid, peer_address, self._route, how, local)

        try:
            await self._connection.call(
                uuid,
                f"migrate {vm}",
                send,
                pool=Pool.MOVE,
                timeout_s=None,
            )
        except HypervisorFailed as error:
            return error
        return None

    async def _check_begun(self, vm: VmId) -> None:
        """Raises MigrationFailed: none is under way"""
        now = await self._job(vm, f"look at {vm}", lambda c: migration.ending(c, domain_uuid(vm)))
        if now is not Ending.RUNNING_YET:
            raise MigrationFailed(f"no migration of {vm} is under way", vm=vm)

    async def _send_again(self, vm: VmId, peer_address: str, how: MigrationHow) -> bool:
        """Whether it makes sense to look how that went, and to try anew."""
        uuid = domain_uuid(vm)
        try:
            await self._connection.call(
                uuid,
                f"go on with the migration of {vm}",
                lambda c: migration.send_again(c, uuid, peer_address, self._route, how),
                pool=Pool.MOVE,
                timeout_s=None,
            )
        except HypervisorFailed as error:
            log.info("post-copy of %s not gone on with: %s", vm, error.message)
            if error.context.get("libvirt_code") == libvirt.VIR_ERR_NO_DOMAIN:
                return False
            await self._connection.clock.sleep(SEND_AGAIN_S)
        return True

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
        last = migration.final(move.figures)
        return replace(last, figures=replace(last.figures, post_copy=move.post_copy))

    async def progress(self, vm: VmId) -> MigrationProgress | None:
        uuid = domain_uuid(vm)
        found = await self._job(vm, f"look at the migration of {vm}", lambda c: migration.figures(c, uuid))
        if found is None and uuid not in self._moves:
            return None
        seen = migration.progress(found) if found else MigrationProgress()
        now_there = uuid in self._moves and self._moves[uuid].post_copy
        return replace(seen, figures=replace(seen.figures, post_copy=now_there))

    async def cancel(self, vm: VmId) -> None:
        uuid = domain_uuid(vm)
        ends_s = self._connection.clock.monotonic_s() + ABORT_S_MAX
        if uuid in self._moves:
            self._moves[uuid].cancelled = True
            if await self._is_broken(vm):
                self._moves[uuid].given_up.set()
                return
        while True:
            await self._job(vm, f"cancel the migration of {vm}", lambda c: migration.abort(c, uuid))
            if uuid not in self._moves or self._connection.clock.monotonic_s() > ends_s:
                return
            await self._connection.clock.sleep(LOOK_AGAIN_S)  # it may be about to begin

    async def let_go(self, vm: VmId) -> None:
        """Before this half of a guest is destroyed: libvirt 9 keeps its job for ever if its call has not returned.

        It returns once the other half is destroyed, or its host does not answer.

        raises  HypervisorFailed: it has not, so far
        """
        if not await self._is_broken(vm):
            return
        what = f"wait for the target to end its half of {vm}"
        await self._connection.call(domain_uuid(vm), what, _nothing, pool=Pool.MOVE, timeout_s=LET_GO_S_MAX)

    async def _is_broken(self, vm: VmId) -> bool:
        """In a lane of its own: libvirt tells the state even while it does not answer about the job."""
        uuid = domain_uuid(vm)
        return await self._connection.call(
            f"{uuid} state", f"look at {vm}", lambda c: migration.is_broken(c, uuid)
        )

    async def _job(self, vm: VmId, what: str, work: Callable[[libvirt.virConnect], T]) -> T:
        """In a lane beside the VM's own: about a job, while the VM's lane may wait for that job."""
        return await self._connection.call(f"{domain_uuid(vm)} job", what, work)

    def job_ended(self, uuid: str, figures: Mapping[str, int | str]) -> None:
        """Libvirt's last word on a job, downtime included; the domain itself may be gone by now."""
        if uuid in self._moves:
            self._moves[uuid].figures = figures
            self._moves[uuid].has_figures.set()


def _nothing(connection: libvirt.virConnect) -> None:
    """What comes after it in its lane has waited for all before it."""


def _was_aborted(error: HypervisorFailed | None) -> bool:
    return error is not None and error.context.get("libvirt_code") == libvirt.VIR_ERR_OPERATION_ABORTED
