"""Snapshots: inside the qcow2 files of a VM, while it runs and while it does not.

In this room   Snapshots: which way each call takes, and the proof afterwards
Comes in       calls of the driver; SnapshotAssignment names disks and snapshot
Goes out       SnapshotReport; SnapshotFailed, MemoryNotLoaded
Always true    of a running VM QEMU takes all disks in one transaction, or memory and disks in one job of its own, which
               ends and resumes the guest whoever dies meanwhile. Libvirt keeps no record of them, so that migrating
               and undefining go on as ever. What is reported READY was seen on every disk.
Next door      disk_snapshots.py (qemu-img), qmp.py (QEMU), freezing.py (the guest's file systems)
Start here     Snapshots.take()
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import libvirt

from corral.hypervisor.interface import HypervisorFailed, HypervisorGone, MemoryNotLoaded, SnapshotFailed
from corral.hypervisor.libvirt import disk_snapshots as disks
from corral.hypervisor.libvirt import qmp
from corral.hypervisor.libvirt.connection import Connection, Pool
from corral.hypervisor.libvirt.freezing import frozen, thaw
from corral.hypervisor.libvirt.host import Host
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.model.ids import VmId
from corral.model.link import SnapshotAssignment
from corral.model.snapshot import SnapshotReport, SnapshotState

T = TypeVar("T")
JOB_LOOK_S: Final = 0.05
JOB_S_MAX: Final = 550.0  # for memory to be written or read; less than the agent waits


class Snapshots:
    """Of all VMs on this host."""

    def __init__(self, connection: Connection, host: Host) -> None:
        self._connection, self._host = connection, host

    async def see(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        if await self._active(vm):
            await self._job_ends(vm, wish.snapshot)
            if wish.freeze:
                await self._ask(vm, thaw, pool=Pool.AGENT)
        return await self._look(wish)

    async def take(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        seen = await self._look(wish)  # and with it: what lies below the disks is sound
        if seen.state is not SnapshotState.ABSENT:
            return seen
        rested = False
        if await self._active(vm):
            rested = await self._take_live_or_see(vm, wish)
        elif wish.memory:
            raise SnapshotFailed(f"{vm} does not run, so it has no memory to keep", vm=vm)
        else:
            for path in self._paths(wish):
                await disks.verify(path)
                await disks.take(path, wish.snapshot)
                await disks.verify(path)
        seen = await self._look(wish)
        if seen.state is not SnapshotState.READY:
            raise SnapshotFailed(f"{wish.snapshot} is {seen.state} after it was taken", vm=vm)
        return SnapshotReport(
            state=seen.state, taken_at=seen.taken_at, memory_bytes=seen.memory_bytes, frozen=rested
        )

    async def _take_live_or_see(self, vm: VmId, wish: SnapshotAssignment) -> bool:
        """A QEMU that died, or was ended, behind its last write has taken it all the same: the disks say so."""
        try:
            return await self._take_live(vm, wish)
        except SnapshotFailed:
            if (await self._look(wish)).state is not SnapshotState.READY:
                raise
            return False

    async def _take_live(self, vm: VmId, wish: SnapshotAssignment) -> bool:
        """Whether the guest's file systems were at rest."""
        if not wish.memory:
            return await self._ask(vm, lambda d: _take_disks(d, wish), pool=Pool.MOVE)
        await self._ask(vm, lambda d: _begin_saving(d, wish), pool=Pool.MOVE)
        if error := await self._job_ends(vm, wish.snapshot):
            raise SnapshotFailed(f"QEMU could not save the memory of {vm}: {error}", vm=vm)
        return False

    async def drop(self, vm: VmId, wish: SnapshotAssignment) -> None:
        there = [disk.path for disk in wish.disks if self._host.at(disk.path).exists()]
        if await self._active(vm):
            await self._job_ends(vm, wish.snapshot)
            await self._ask(vm, lambda d: _drop_live(d, wish, there), pool=Pool.MOVE)
        for path in map(self._host.at, there):
            if (
                wish.snapshot in (await disks.look(path)).snapshots
            ):  # the disk is not the VM's any more, or it rests
                await disks.drop(path, wish.snapshot)
                await disks.verify(path)

    async def revert(self, vm: VmId, wish: SnapshotAssignment) -> None:
        if await self._active(vm):
            raise SnapshotFailed(f"{vm} runs: its disks can't be put back", vm=vm)
        await self._connection.call(domain_uuid(vm), f"forget the saved state of {vm}", _forget_saved(vm))
        for path in self._paths(wish):
            await disks.verify(path)
            await disks.revert(path, wish.snapshot)
            await disks.verify(path)

    async def start_from(self, vm: VmId, wish: SnapshotAssignment) -> None:
        if not await self._ask(vm, _start_paused):
            return
        job = f"load-{wish.snapshot}"
        try:
            await self._ask(vm, lambda d: _begin_loading(d, wish, job), pool=Pool.MOVE)
            error = await self._job_ends(vm, job)
        except SnapshotFailed as refusal:
            error = refusal.message
        if error:
            await self._ask(vm, lambda d: d.destroy())
            raise MemoryNotLoaded(
                f"the memory of {wish.snapshot} does not fit {vm}: {error}",
                hint="It was started from its disks alone, which are as they were.",
                vm=vm,
                snapshot=wish.snapshot,
            )
        await self._ask(vm, lambda d: d.resume())

    async def set_time(self, vm: VmId) -> None:
        """Its clock stood still while it was saved. A guest without an agent keeps the old time."""
        with suppress(HypervisorFailed):
            await self._ask(vm, _set_time, pool=Pool.AGENT)

    # ---- looking

    async def _look(self, wish: SnapshotAssignment) -> SnapshotReport:
        for disk in wish.disks:
            if disk.format != "qcow2":
                raise SnapshotFailed(
                    f"{disk.path} is {disk.format}: only qcow2 can hold snapshots", path=disk.path
                )
        infos = await asyncio.gather(*map(disks.look, self._paths(wish)))
        found = [info.snapshots.get(wish.snapshot) for info in infos]
        there = [inner for inner in found if inner is not None]
        first = found[0] if found else None
        if first and len(there) == len(found) and (first.vm_state_size or not wish.memory):
            return SnapshotReport(
                state=SnapshotState.READY, taken_at=float(first.date_sec), memory_bytes=first.vm_state_size
            )
        return SnapshotReport(state=SnapshotState.PARTIAL if there else SnapshotState.ABSENT)

    def _paths(self, wish: SnapshotAssignment) -> list[Path]:
        return [self._host.at(disk.path) for disk in wish.disks]

    async def _active(self, vm: VmId) -> bool:
        return await self._connection.call(
            f"{domain_uuid(vm)} job", f"look at {vm}", lambda c: _is_active(c, domain_uuid(vm))
        )

    async def _job_ends(self, vm: VmId, job: str) -> str:
        """What went wrong with a job of ours; empty: nothing, or there is none. raises SnapshotFailed: it does not end"""
        clock = self._connection.clock
        ends_s = clock.monotonic_s() + JOB_S_MAX
        while True:
            error = await self._ask(vm, lambda d: qmp.job_error(d, job), pool=Pool.MOVE)
            if error is not None:
                return error
            if clock.monotonic_s() > ends_s:
                raise SnapshotFailed(f"QEMU's job {job} of {vm} did not end within {JOB_S_MAX:g} s", vm=vm)
            await clock.sleep(JOB_LOOK_S)

    async def _ask(self, vm: VmId, work: Callable[[libvirt.virDomain], T], *, pool: Pool = Pool.CONTROL) -> T:
        """Something of its domain. A refusal of libvirt's that is none of a lost connection is SnapshotFailed."""
        uuid = domain_uuid(vm)
        try:
            return await self._connection.call(
                uuid,
                f"snapshot of {vm}",
                lambda c: work(c.lookupByUUIDString(uuid)),
                pool=pool,
                timeout_s=JOB_S_MAX,
            )
        except (HypervisorGone, SnapshotFailed):
            raise
        except HypervisorFailed as error:
            raise SnapshotFailed(error.message, vm=vm) from error


# ---- blocking, in a thread


def _is_active(connection: libvirt.virConnect, uuid: str) -> bool:
    try:
        return bool(connection.lookupByUUIDString(uuid).isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def _nodes(domain: libvirt.virDomain, wish: SnapshotAssignment) -> list[str]:
    """QEMU's names of the disks. raises SnapshotFailed: the running VM does not have one of them"""
    known = qmp.nodes_by_path(domain)
    missing = next((disk.path for disk in wish.disks if disk.path not in known), None)
    if missing:
        raise SnapshotFailed(f"{missing} is no disk of the running VM", path=missing)
    return [known[disk.path] for disk in wish.disks]


def _take_disks(domain: libvirt.virDomain, wish: SnapshotAssignment) -> bool:
    """All at one moment. Whether the guest's file systems were at rest."""
    nodes = _nodes(domain, wish)
    actions = [
        {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": wish.snapshot}}
        for node in nodes
    ]
    with frozen(domain, wish.freeze) as rested:
        qmp.ask(domain, "transaction", actions=actions)
    return rested


def _begin_saving(domain: libvirt.virDomain, wish: SnapshotAssignment) -> None:
    nodes = _nodes(domain, wish)
    more = {"job-id": wish.snapshot, "tag": wish.snapshot, "vmstate": nodes[0], "devices": nodes}
    qmp.ask(domain, "snapshot-save", **more)


def _begin_loading(domain: libvirt.virDomain, wish: SnapshotAssignment, job: str) -> None:
    nodes = _nodes(domain, wish)
    more = {"job-id": job, "tag": wish.snapshot, "vmstate": nodes[0], "devices": nodes}
    qmp.ask(domain, "snapshot-load", **more)


def _drop_live(domain: libvirt.virDomain, wish: SnapshotAssignment, there: list[str]) -> None:
    known = qmp.nodes_by_path(domain)
    inside = {node["node-name"]: _names(node) for node in qmp.ask(domain, "query-named-block-nodes")}
    for path in there:
        node = known.get(path)
        if node and wish.snapshot in inside.get(node, ()):
            qmp.ask(domain, "blockdev-snapshot-delete-internal-sync", device=node, name=wish.snapshot)


def _names(node: dict[str, dict[str, list[dict[str, str]]]]) -> list[str]:
    return [snapshot["name"] for snapshot in node.get("image", {}).get("snapshots", [])]


def _start_paused(domain: libvirt.virDomain) -> bool:
    """False: it runs already."""
    if not domain.isActive():
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    return bool(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED)


def _forget_saved(vm: VmId) -> Callable[[libvirt.virConnect], None]:
    """The memory of a suspended VM goes with other disks than it will find."""

    def work(connection: libvirt.virConnect) -> None:
        with suppress(libvirt.libvirtError):
            domain = connection.lookupByUUIDString(domain_uuid(vm))
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

    return work


def _set_time(domain: libvirt.virDomain) -> None:
    domain.agentSetResponseTimeout(5)
    domain.setTime({"seconds": 0, "nseconds": 0}, libvirt.VIR_DOMAIN_TIME_SYNC)  # of the host
