"""Volumes: what users can ask for about them.

In this room   each request as a pure decision on the mirror
Comes in       requests.py's bodies, and Asking
Goes out       Operations; controllers/volume.py and the nodes do the rest
Always true    what is copied is not written to: its VMs are stopped, and it can't be deleted meanwhile
Next door      disks.py plans new ones; things.py has what all kinds share
Start here     Volumes
"""

from collections.abc import Sequence

import msgspec

from corral.controllers.copying import copies_of
from corral.controllers.volume import into_trash
from corral.errors import CorralError, InUse, Invalid
from corral.model.ids import NodeId, PoolId, VolumeId
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool
from corral.model.snapshot import Snapshot
from corral.model.units import MiB
from corral.model.vm import VM, VMPhase
from corral.model.volume import Volume, VolumePhase, VolumeSource
from corral.server.services.asking import Asking
from corral.server.services.base import Change, check_name
from corral.server.services.disks import plan_volume, the_pool, users_of
from corral.server.services.requests import (
    CloneVolume,
    CreateVolume,
    MoveVolume,
    ResizeVolume,
    RestoreVolume,
    UpdateLabels,
)
from corral.server.services.resizing import plan_resize
from corral.server.services.things import Things
from corral.server.services.vm_states import Migrating, VmGoing
from corral.store.interface import Put
from corral.store.mirror import Mirror

COPIED_BYTES_S = 20 * MiB  # a copy that is slower than this counts as stuck


class VolumeNotReady(CorralError):
    """The volume's file is not there, so nothing can be done with it."""

    code = "volume.not_ready"
    status = 409

    def __init__(self, volume: Volume) -> None:
        super().__init__(
            f"volume {volume.name} is {'being deleted' if volume.deleting else 'in the trash' if volume.spec.trash else volume.status.phase}",
            hint=f"`corral volume show {volume.name}` says what it waits for.",
            volume=volume.id,
        )


class VolumeChanging(CorralError):
    """A running VM writes to the volume: a copy of it would be of no moment in time."""

    code = "volume.changing"
    status = 409

    def __init__(self, volume: Volume, vm: VM) -> None:
        super().__init__(
            f"VM {vm.name} writes to volume {volume.name}",
            hint=f"Stop it first (`corral vm stop {vm.name}`), or clone from a snapshot of it.",
            volume=volume.id,
            vm=vm.id,
        )


class VolumeMoves(CorralError):
    """The volume is on its way to another pool."""

    code = "volume.moves"
    status = 409
    retryable = True

    def __init__(self, volume: Volume) -> None:
        super().__init__(
            f"volume {volume.name} is on its way to another pool",
            hint="Wait until it has arrived, or cancel the move.",
            volume=volume.id,
        )


class NotInTrash(CorralError):
    """Only what is in the trash can be restored."""

    code = "volume.not_in_trash"
    status = 409

    def __init__(self, volume: Volume) -> None:
        super().__init__(
            f"volume {volume.name} is not in the trash",
            hint="`corral volume trash list` shows what is.",
            volume=volume.id,
        )


class Volumes(Things):
    """Requests about volumes."""

    async def create(self, ask: CreateVolume, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def clone(self, volume: str, ask: CloneVolume, asking: Asking) -> Operation:
        """Make a new volume that begins as a copy of this one."""
        return await self.desk.submit(asking, lambda: self._clone(self.mirror.find(Volume, volume), ask))

    async def resize(self, volume: str, ask: ResizeVolume, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._resize(self.mirror.find(Volume, volume), ask))

    def _resize(self, volume: Volume, ask: ResizeVolume) -> Change:
        if volume.moves:
            raise VolumeMoves(volume)
        return plan_resize(volume, ask, self.mirror)

    async def update(self, volume: str, ask: UpdateLabels, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._relabel(self.mirror.find(Volume, volume), ask.labels)
        )

    async def move(self, volume: str, ask: MoveVolume, asking: Asking) -> Operation:
        """Put it into another pool, while its VM runs or not; back to where it still is: give the move up."""
        return await self.desk.submit(asking, lambda: self._move(self.mirror.find(Volume, volume), ask))

    async def delete(
        self, volume: str, asking: Asking, *, purge: bool = False, wipe: bool = False
    ) -> Operation:
        """Put it into the trash. `purge`: delete it for good; `wipe`: overwrite it before that."""
        return await self.desk.submit(
            asking, lambda: self._delete(self.mirror.find(Volume, volume), purge, wipe)
        )

    async def restore(self, volume: str, ask: RestoreVolume, asking: Asking) -> Operation:
        """Take it out of the trash again."""
        return await self.desk.submit(asking, lambda: self._restore(self.mirror.find(Volume, volume), ask))

    def _create(self, ask: CreateVolume) -> Change:
        volume = plan_volume(ask.name, ask.project, ask.pool, ask.image, ask.size, self.mirror, self.clock)
        node = NodeId(self.mirror.find(Node, ask.node).id) if ask.node else None
        spec = msgspec.structs.replace(volume.spec, node=node)
        return self._new(volume.having(labels=ask.labels, spec=spec), done=False)

    def _clone(self, source: Volume, ask: CloneVolume) -> Change:
        refuse_found(source)
        check_still(source, self.mirror)
        if ask.linked and not source.spec.image:
            raise Invalid("linked", "true", "possible: it stands on no image", hint="Clone it in full.")
        size = ask.size or source.spec.size_bytes
        pool = ask.pool or source.spec.pool
        new = plan_volume(ask.name, source.project, pool, "", size, self.mirror, self.clock)
        if new.spec.size_bytes < source.spec.size_bytes:
            raise Invalid("size", ask.size, f"at least the {source.spec.size_bytes} bytes of what it copies")
        spec = msgspec.structs.replace(
            new.spec,
            image=source.spec.image if ask.linked else None,
            source=VolumeSource(volume=VolumeId(source.id)),
            node=copied_on(source, new.spec.pool, self.mirror),
        )
        change = self._new(new.having(labels=ask.labels, spec=spec), done=False)
        held = source.having(generation=source.generation + 1)  # so that whoever deletes it now looks again
        return msgspec.structs.replace(
            change,
            writes=(*change.writes, Put(held)),
            expect={**change.expect, source.id: source.revision},
            deadline_s=change.deadline_s + size_deadline_s(source),
        )

    def _move(self, volume: Volume, ask: MoveVolume) -> Change:
        refuse_found(volume)
        pool = the_pool(ask.pool, self.mirror, "pool")
        if volume.deleting or volume.spec.trash or volume.status.phase is not VolumePhase.READY:
            raise VolumeNotReady(volume)
        if (volume.moves and pool.id != volume.pool) or volume.status.traces:
            raise VolumeMoves(volume)  # by itself, or with its VM, whose old node still has a file of it
        if pool.id == volume.spec.pool:
            raise Invalid("pool", pool.name, "another pool than the one it is in")
        if snapshots := self.mirror.select(Snapshot, "volume", volume.id):
            raise InUse("Volume", volume.name, f"Snapshot {snapshots[0].name}")
        if copies := copies_of(volume, self.mirror):
            raise InUse("Volume", volume.name, f"volume {copies[0].name}, which is being copied from it")
        users = users_of(volume, self.mirror)
        for vm in users:
            if vm.deleting:
                raise VmGoing(vm)
            if vm.status.migration:
                raise Migrating(vm)
            if vm.spec.saved:  # its memory, as it is kept on disk, names the file that the disk is on
                raise InUse(
                    "Volume", volume.name, f"VM {vm.name}, which is suspended to disk: start it first"
                )
        node = self._movers_node(volume, users)
        if not pool.on(node):
            raise Invalid("pool", pool.name, "a pool on the node that has the volume")
        spec = msgspec.structs.replace(
            volume.spec, pool=PoolId(pool.id), node=None if pool.spec.shared else node
        )
        here = msgspec.structs.replace(volume.status, pool=volume.pool)  # spec.pool says it no longer
        going = volume.having(generation=volume.generation + 1, spec=spec, status=here)
        return Change(
            target=going,
            writes=tuple(Put(r) for r in (going, *users)),  # the VMs too: who migrates one now looks again
            expect={r.id: r.revision for r in (volume, *users)},
            verb=Verb.UPDATE,
            deadline_s=600.0 + size_deadline_s(volume),
        )

    def _movers_node(self, volume: Volume, users: Sequence[VM]) -> NodeId:
        owner = next((vm.status.node for vm in users if vm.status.node), None) or volume.status.node
        assert owner, "it is ready, so a node has it"
        return owner

    def _delete(self, volume: Volume, purge: bool, wipe: bool) -> Change:
        if users := users_of(volume, self.mirror):
            raise InUse("Volume", volume.name, f"VM {users[0].name}")
        if snapshots := self.mirror.select(Snapshot, "volume", volume.id):
            raise InUse("Volume", volume.name, f"Snapshot {snapshots[0].name}")
        if copies := copies_of(volume, self.mirror):
            raise InUse("Volume", volume.name, f"volume {copies[0].name}, which is being copied from it")
        if volume.moves and not volume.deleting:
            raise VolumeMoves(volume)
        kept = volume.status.made and not volume.deleting and self.desk.trash_s > 0
        if kept and not purge and not wipe and not volume.spec.trash:
            trashed = into_trash(volume, self.desk.trash_s, self.clock.now_s())
            return self._replace(volume, trashed, Verb.DELETE, done=True)
        spec = msgspec.structs.replace(
            volume.spec, wipe=wipe or volume.spec.wipe, erase=wipe or volume.spec.erase
        )
        return msgspec.structs.replace(
            self._going(volume.having(spec=spec)), deadline_s=600.0 + (size_deadline_s(volume) if wipe else 0)
        )

    def _restore(self, volume: Volume, ask: RestoreVolume) -> Change:
        trash = volume.spec.trash
        if trash is None or volume.deleting:
            raise NotInTrash(volume)
        name = ask.name or trash.name
        check_name(name)
        spec = msgspec.structs.replace(volume.spec, trash=None)
        back = volume.having(name=name, generation=volume.generation + 1, spec=spec)
        return self._replace(volume, back, Verb.UPDATE, done=True)


def refuse_found(volume: Volume) -> None:
    """Raises Invalid: its file was there before Corral, and stays where it is"""
    if volume.spec.file:
        raise Invalid(
            "volume", volume.name, f"a volume of Corral's own making: it was adopted, and stays in {volume.spec.file.path}",
            hint="Stop its VM, upload the file as an image (`corral image upload NAME FILE`), and make volumes from that.",
        )  # fmt: skip


def check_still(volume: Volume, mirror: Mirror) -> None:
    """That it is whole and nothing writes to it. raises VolumeNotReady, VolumeChanging"""
    if volume.deleting or volume.spec.trash or volume.status.phase is not VolumePhase.READY:
        raise VolumeNotReady(volume)
    if volume.moves:
        raise VolumeMoves(volume)
    for vm in users_of(volume, mirror):
        if vm.deleting or vm.spec.running or vm.status.phase not in (VMPhase.STOPPED, VMPhase.PENDING):
            raise VolumeChanging(volume, vm)


def copied_on(source: Volume, pool_id: str, mirror: Mirror) -> NodeId | None:
    """The node that has to copy it, because only that one sees it; None: any that sees both pools will do.

    raises  Invalid: no node sees both
    """
    seen_from, pool = mirror.get(source.pool), mirror.get(pool_id)
    assert isinstance(seen_from, StoragePool) and isinstance(pool, StoragePool)
    if seen_from.spec.shared:
        return None
    if source.status.node and not pool.on(source.status.node):
        raise Invalid("pool", pool.name, f"on the node that has volume {source.name}")
    return source.status.node


def size_deadline_s(volume: Volume) -> float:
    return volume.spec.size_bytes / COPIED_BYTES_S
