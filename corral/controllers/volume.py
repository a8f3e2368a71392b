"""Volume controller: finds a node for volumes without a VM, follows making and deleting."""

from collections.abc import Container, Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from corral.controllers.desk import Seat
from corral.controllers.moving import images_with_copies
from corral.model.ids import NodeId
from corral.model.node import Node
from corral.model.pool import StoragePool
from corral.model.resource import Trouble
from corral.model.vm import VM
from corral.model.volume import ObjectState, Trash, Volume, VolumePhase, VolumeStatus
from corral.store.interface import Change, ChangeVerb, Put, Remove

RETRY_S = 5.0
TRASH_LOOK_S = 3600.0  # clocks can be set


class VolumePlan(Struct, frozen=True, kw_only=True):
    status: VolumeStatus
    remove: bool = False


def plan_volume(
    volume: Volume, *, node: NodeId | None, now_s: float, removed: Container[str] = ()
) -> VolumePlan:
    """The volume's next status.

    node       where to make it, if nothing was decided yet; None: wait
    removed    nodes of it that were removed by force
    """
    status = _without_old_traces(volume, removed)
    if volume.deleting:
        report = status.report
        gone = status.node is None or status.node in removed
        gone |= volume.spec.file is not None and not volume.spec.erase  # it stays, as it was before Corral
        gone |= report is not None and report.state is ObjectState.ABSENT and not report.wanted
        trouble = report.trouble if report else None
        return VolumePlan(
            status=_to(status, VolumePhase.DELETING, trouble, now_s), remove=gone and not status.traces
        )
    if status.node is None:
        placed = msgspec.structs.replace(status, node=node)
        return VolumePlan(
            status=_to(placed, VolumePhase.CREATING if node else VolumePhase.PENDING, None, now_s)
        )
    if status.report is None:
        return VolumePlan(status=_to(status, VolumePhase.CREATING, None, now_s))
    if status.report.state is ObjectState.READY:
        phase = VolumePhase.TRASHED if volume.spec.trash else VolumePhase.READY
        return VolumePlan(status=_to(status, phase, status.report.trouble, now_s))
    phase = VolumePhase.FAILED if status.report.trouble else VolumePhase.CREATING
    return VolumePlan(status=_to(status, phase, status.report.trouble, now_s))


def into_trash(volume: Volume, keep_s: float, now_s: float) -> Volume:
    """As it is in the trash: nobody has it. Nothing happens on its node. The name that it gets can be given by nobody."""
    trash = Trash(name=volume.name, at=now_s, until=now_s + keep_s)
    return volume.having(
        name=f"{volume.name}~{volume.id[-8:].lower()}",
        generation=volume.generation + 1,
        spec=msgspec.structs.replace(volume.spec, trash=trash, vm=None),
    )


def _without_old_traces(volume: Volume, removed: Container[str]) -> VolumeStatus:
    """Drop nodes that have surely no file of it any more, or were removed."""
    status = volume.status
    makes = None if volume.deleting else status.moving_to  # is to have one
    kept = tuple(n for n in status.traces if n not in removed and not (n != makes and _let_go(status, n)))
    if kept == status.traces:
        return status
    elsewhere = {n: r for n, r in status.elsewhere.items() if n in kept}
    return msgspec.structs.replace(status, traces=kept, elsewhere=elsewhere)


def _let_go(status: VolumeStatus, node: str) -> bool:
    report = status.elsewhere.get(node)
    gone = report is not None and report.state is ObjectState.ABSENT and not report.wanted
    return gone and report is not None and report.stint == status.stint


def _to(status: VolumeStatus, phase: VolumePhase, trouble: Trouble | None, now_s: float) -> VolumeStatus:
    since = status.since if phase is status.phase and status.since else now_s
    return msgspec.structs.replace(status, phase=phase, trouble=trouble, since=since)


def departing(volume: Volume, users: Sequence[VM]) -> VolumeStatus:
    """On its way: by the node that runs its VM, which alone can move a disk that is in use."""
    owner = next((vm.status.node for vm in users if vm.status.node), None)
    return msgspec.structs.replace(
        volume.status, moving=volume.spec.pool, pool=volume.pool, node=owner or volume.status.node
    )


def has_arrived(volume: Volume) -> bool:
    """Whether its node says that all of it is where it shall be, and nothing elsewhere."""
    report = volume.status.report
    return (
        report is not None
        and report.state is ObjectState.READY
        and report.generation == volume.generation
        and report.pool == volume.spec.pool
        and report.progress == 1.0
    )


class VolumeController(Seat):
    """One key a volume."""

    name = "volume"
    workers = 3

    def all_keys(self) -> Iterable[str]:
        return [v.id for v in self.mirror.list(Volume)]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case Volume() as volume:
                yield volume.id
            case Node() as node if change.verb is ChangeVerb.REMOVE:
                yield from (v.id for v in self.mirror.select(Volume, "at", node.id))

    async def reconcile(self, key: str) -> float | None:
        volume = self.mirror.get(key)
        if not isinstance(volume, Volume):
            return None
        if volume.spec.trash and not volume.deleting and volume.spec.trash.until <= self.clock.now_s():
            await self._expire(volume)
            return None
        status = volume.status
        plan = plan_volume(
            volume,
            node=None if status.node or volume.deleting else self._choose(volume),
            now_s=self.clock.now_s(),
            removed={n for n in (status.node, *status.traces) if n and self.mirror.get(n) is None},
        )
        if volume.moves and volume.status.made and not volume.deleting:
            return await self._move(volume)
        if plan.remove:
            await self.desk.commit([Remove(volume.id)], {volume.id: volume.revision})
        elif plan.status != status:
            new = volume.having(status=plan.status)
            images = images_with_copies(self.mirror.get, [new])
            await self.desk.commit([Put(new), *map(Put, images)], {r.id: r.revision for r in (new, *images)})
        if volume.spec.trash and not volume.deleting:
            return min(TRASH_LOOK_S, volume.spec.trash.until - self.clock.now_s())
        return RETRY_S if plan.status.node is None and not plan.remove else None

    async def _expire(self, volume: Volume) -> None:
        """Its time in the trash is over."""
        gone = volume.having(deleted_at=self.clock.now_s(), generation=volume.generation + 1)
        assert volume.spec.trash
        event = self.desk.event(gone, "expired", f"{volume.spec.trash.name}: its time in the trash is over")
        await self.desk.replace(gone, events=[event])

    async def _move(self, volume: Volume) -> float | None:
        """Note where something of it may be before its node is told; make that its place when the node says so."""
        users = self.mirror.select(VM, "volume", volume.id)
        if volume.status.moving is None:
            if any(vm.status.migration for vm in users):
                return RETRY_S
            begun = volume.having(status=departing(volume, users))
            await self.desk.replace(begun, *images_with_copies(self.mirror.get, [begun]))
        elif has_arrived(volume):
            status = msgspec.structs.replace(volume.status, pool=volume.spec.pool, moving=None)
            told = [vm.having(generation=vm.generation + 1) for vm in users]  # to define it with the new path
            event = self.desk.event(volume, "moved", f"{volume.name}: moved")
            events = [event] if volume.pool != volume.spec.pool else []
            await self.desk.replace(volume.having(status=status), *told, events=events)
        return None

    def _choose(self, volume: Volume) -> NodeId | None:
        """A node that has its pool ready, the one with the most room. Volumes of a VM wait for the VM's placement."""
        if users := self.mirror.select(VM, "volume", volume.id):
            return users[0].status.node
        if volume.spec.node:
            return volume.spec.node
        pool = self.mirror.get(volume.spec.pool)
        if not isinstance(pool, StoragePool):
            return None
        needed = (pool.id, *self._pools_of_source(volume))
        ready = [
            (n.status.pools[pool.id].free_bytes, n)
            for n in self.mirror.list(Node)
            if n.reachable and all(id in n.status.pools and n.status.pools[id].ready for id in needed)
        ]
        best = max(ready, key=lambda entry: entry[0], default=None)
        return NodeId(best[1].id) if best else None

    def _pools_of_source(self, volume: Volume) -> tuple[str, ...]:
        """Where what it copies is."""
        source = self.mirror.get(volume.spec.source.volume) if volume.spec.source else None
        return (source.pool,) if isinstance(source, Volume) else ()
