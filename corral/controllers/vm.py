"""VM controller: places VMs and moves them along.

In this room   the thin part: look at the mirror, let vm_plan.py think, commit
Comes in       changes of VMs, nodes and volumes
Goes out       statuses, placements (a VM's node, its volumes' node, images' copies in one commit), events
Always true    one worker places, so that two VMs never get the same room; a placement that no longer fits
               when it is committed is refused by its expected revisions and decided again
Next door      vm_plan.py and migration_plan.py think; placement.py has the fleet
Start here     VmController.reconcile()
"""

from collections.abc import Awaitable, Iterable, Iterator

import msgspec

from corral.controllers.batching import Batching
from corral.controllers.change_plan import Settled
from corral.controllers.change_plan import settle as settle_change
from corral.controllers.copying import copies_of
from corral.controllers.desk import LeaderDesk, Seat
from corral.controllers.migration_plan import Target, wants_target
from corral.controllers.moving import images_with_copies, with_migration
from corral.controllers.placement import ask_of, keeper_of, local_volumes
from corral.controllers.platform import settle
from corral.controllers.preflight import incompatible
from corral.controllers.vm_plan import VmPlan, plan_vm, seen_of
from corral.controllers.volume import into_trash
from corral.model.event import Event
from corral.model.ids import NodeId, VmId, VolumeId
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.port import Port
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot
from corral.model.vm import VM, VMPhase, VMStatus
from corral.model.volume import Volume, VolumePhase, VolumeStatus
from corral.scheduler.cpus import Cpus
from corral.scheduler.placement import Ask, place, why_not
from corral.scheduler.standings import in_words, standings
from corral.scheduler.wishes import spec_of
from corral.store.interface import Change, ChangeVerb, Put, Remove, Write

ADOPTION_FAILED = "adoption.failed"  # the code of hypervisor.AdoptionFailed
UNDO_LOOK_S = 0.5  # how often an adoption that failed is looked at until its operation has ended
LOOKED_AT_MAX = 2_000  # nodes; up to so many, a placement says how all others stood (0.5 ms)
RETRY_PLACING_S = 5.0  # room may come from facts that are no change of a node
WORKERS = (
    6  # few, so that what waits, waits here and not in front of requests; placements take no await in between
)


class VmController(Seat):
    """One key a VM."""

    name = "vm"
    workers = WORKERS

    def __init__(self, desk: LeaderDesk, cpus: Cpus) -> None:
        super().__init__(desk)
        self.keeper = keeper_of(desk.mirror, cpus)
        self.batching = Batching(self.keeper)
        self.reach: dict[
            str, bool | None
        ] = {}  # whether each node was reachable when last seen; None: removed

    def all_keys(self) -> Iterable[str]:
        return [vm.id for vm in self.mirror.list(VM)]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case VM() as vm:
                yield vm.id
            case Node() as node:
                if self._reach_changed(node, removed=change.verb is ChangeVerb.REMOVE):
                    yield from (vm.id for vm in self.mirror.select(VM, "node", node.id))
                yield from (vm.id for vm in self.mirror.select(VM, "unplaced", "yes"))
            case Volume() as volume if volume.spec.vm and (
                volume.deleting or volume.status.phase is VolumePhase.FAILED
            ):
                yield volume.spec.vm

    def _reach_changed(self, node: Node, *, removed: bool) -> bool:
        """Whether its VMs have to be looked at. Other changes of a node, room in a pool say, are nothing to them."""
        now = None if removed else node.reachable
        changed = node.id not in self.reach or self.reach[node.id] is not now
        self.reach[node.id] = now
        return changed

    async def reconcile(self, key: str) -> float | None:
        vm = self.mirror.get(key)
        if not isinstance(vm, VM):
            return None
        if adoption_failed(vm):
            return await self._undo_adoption(vm)
        if settled := settle_change(vm, self._made(vm), self.clock.now_s()):
            await self._settle(settled)
            return 0.0
        target = self._target(vm) if wants_target(vm) else None
        plan = plan_vm(vm, seen_of(self.mirror, vm, self.clock.now_s(), target))
        if plan.place:
            return await self._place(vm, plan)
        if plan.delete_volumes:
            return await self._clear(vm, plan)
        await self._write(vm, plan)
        return plan.wait_s

    def _made(self, vm: VM) -> list[Volume]:
        """Volumes that exist for its last change only."""
        ids = vm.spec.undo.made if vm.spec.undo else ()
        return [volume for id in ids if isinstance(volume := self.mirror.get(id), Volume)]

    async def _settle(self, settled: Settled) -> None:
        """Write down how a change went, together with what goes with it."""
        vm, now_s = settled.vm, self.clock.now_s()
        ports = [p for p in self.mirror.select(Port, "vm", vm.id) if p.spec.mac in settled.unplugged]
        volumes = [
            v for id in settled.gone if isinstance(v := self.mirror.get(id), Volume) and not v.deleting
        ]
        going = [v.having(deleted_at=now_s, generation=v.generation + 1) for v in volumes]
        before = self.mirror.get(vm.id)
        events: list[Event] = []
        if (
            isinstance(before, VM)
            and vm.status.taken_back != before.status.taken_back
            and vm.status.taken_back
        ):
            why = vm.status.taken_back.trouble.message
            events = [
                self.desk.event(vm, "change-refused", f"{vm.name}: change taken back: {why}", "warning")
            ]
        writes: list[Write] = [*map(Put, events), *map(Put, (vm, *going)), *(Remove(p.id) for p in ports)]
        expect = {r.id: r.revision for r in (vm, *volumes, *ports)}
        await self._claimed(vm, self.desk.commit(writes, expect))

    def _target(self, vm: VM) -> Target:
        assert vm.spec.migration is not None
        self.keeper.look_at_ages(self.clock.now_s())
        ask = ask_of(self.keeper, vm, target=vm.spec.migration.target, moving=True)
        ask = msgspec.structs.replace(ask, without=ask.without | self._unfit(vm))
        decision = place(self.keeper.fleet, ask)
        if decision.node is None:
            return Target(trouble=why_not(decision, ask, self._name))
        return Target(
            node=decision.node, volumes=tuple(VolumeId(v.id) for v in local_volumes(self.mirror, vm))
        )

    def _unfit(self, vm: VM) -> frozenset[NodeId]:
        """Nodes that the running guest can't live on."""
        nodes = self.mirror.list(Node)
        return frozenset(NodeId(n.id) for n in nodes if incompatible(self.mirror, vm, n))

    def _name(self, word: str) -> str:
        """The name behind an id; other words stay as they are."""
        resource = self.mirror.get(word)
        return resource.name if resource else word

    async def _write(self, vm: VM, plan: VmPlan) -> None:
        if plan.status == vm.status and not plan.news:
            return
        new = vm.having(status=plan.status)
        also = with_migration(self.mirror.get, vm, new)
        await self._claimed(new, self.desk.replace(new, *also, events=self._events(new, plan)))

    def _events(self, vm: VM, plan: VmPlan) -> list[Event]:
        return [self.desk.event(vm, reason, f"{vm.name}: {text}", level) for reason, text, level in plan.news]

    async def _claimed(self, vm: VM, commit: Awaitable[None]) -> None:
        """Hold the VM's claims while its commit is on the way; the mirror's word counts in the end."""
        self.keeper.fleet.see_vm(vm)
        try:
            await commit
        except BaseException:
            if isinstance(now := self.mirror.get(vm.id), VM):
                self.keeper.fleet.see_vm(now)
            else:
                self.keeper.fleet.forget_vm(VmId(vm.id))
            raise

    async def _place(self, vm: VM, plan: VmPlan) -> float | None:
        self.keeper.look_at_ages(self.clock.now_s())
        ask, decision = self.batching.decide(vm)
        if decision.node is None:
            trouble = why_not(decision, ask, self._name)
            status = msgspec.structs.replace(plan.status, trouble=trouble)
            if not _same_refusal(status, vm):
                await self.desk.replace(vm.having(status=status))
            return RETRY_PLACING_S
        await self._take(vm, plan, self._why(ask), decision.node)
        return None

    def _why(self, ask: Ask) -> str:
        """The terms of the winner, and who came next. Of a large fleet the winner only: a look at all costs too much."""
        fleet = self.keeper.fleet
        if fleet.size > LOOKED_AT_MAX:
            return ""
        best, *next_ = standings(fleet, ask)
        words = f"{spec_of(ask.policy).score} {best.score:.3f}: {in_words(best, ask.policy)}"
        others = ", ".join(f"{self._name(other.node)} {other.score:.3f}" for other in next_)
        return f"{words}; {f'next {others}' if others else 'no other node takes it'}"

    async def _take(self, vm: VM, plan: VmPlan, why: str, node: NodeId) -> None:
        """Commit the placement: the VM's node, its new volumes' node, and copies of images noted first."""
        now_s = self.clock.now_s()
        status = msgspec.structs.replace(
            plan.status,
            phase=VMPhase.PREPARING,
            since=now_s,
            node=node,
            traces=tuple(sorted({*plan.status.traces, node})),
            stint=plan.status.stint + 1,
            platform=settle(self.keeper, vm, node),
            why_here=why,
            trouble=None,
        )
        placed = vm.having(status=status)
        volumes = [
            v.having(status=on_node(v.status, v.spec.node or node, now_s))
            for id in vm.spec.volumes
            if isinstance(v := self.mirror.get(id), Volume) and v.status.node is None
        ]
        images = images_with_copies(self.mirror.get, volumes)
        because = f" ({why})" if why else ""
        event = self.desk.event(vm, "placed", f"{vm.name}: placed on {self._name(node)}{because}")
        new: list[Resource] = [placed, *volumes, *images, event]
        expect = {r.id: r.revision for r in new}
        if there := self.mirror.get(node):
            expect[node] = there.revision  # a node that was removed or cordoned meanwhile: decide again
        await self._claimed(placed, self.desk.commit([Put(r) for r in new], expect))

    async def _undo_adoption(self, vm: VM) -> float | None:
        """Nothing was taken over, so nothing stays: once its operation has said why."""
        if any(not op.ended for op in self.mirror.select(Operation, "target", vm.id)):
            return UNDO_LOOK_S
        spec = msgspec.structs.replace(vm.spec, released=True)
        gone = vm.having(spec=spec, deleted_at=self.clock.now_s(), generation=vm.generation + 1)
        await self.desk.replace(gone)
        return None

    async def _let_go(self, vm: VM) -> None:
        """Its domain goes on without Corral: all records go, all files stay."""
        volumes = [v for d in vm.spec.disks if isinstance(v := self.mirror.get(d.volume), Volume)]
        own = self.mirror.select(Volume, "vm", vm.id)
        gone: dict[str, Resource] = {
            r.id: r for r in (vm, *volumes, *own, *self.mirror.select(Port, "vm", vm.id))
        }
        gone |= {r.id: r for r in self.mirror.select(Snapshot, "vm", vm.id)}
        event = self.desk.event(vm, "released", f"{vm.name}: released, its domain goes on without Corral")
        writes: list[Write] = [Put(event), *(Remove(id) for id in gone)]
        await self.desk.commit(writes, {r.id: r.revision for r in gone.values()})

    def _gone(self, volume: Volume, vm: VM) -> Volume:
        now_s = self.clock.now_s()
        if is_kept(volume, vm):
            return into_trash(volume, vm.spec.trash_s, now_s)
        return volume.having(deleted_at=now_s, generation=volume.generation + 1)

    async def _clear(self, vm: VM, plan: VmPlan) -> float | None:
        """No node has anything of the VM any more: its volumes go, then its record and ports."""
        if vm.spec.released:
            await self._let_go(vm)
            return None
        left = [v for v in self.mirror.select(Volume, "vm", vm.id) if not v.deleting]
        volumes = [v for v in left if not copies_of(v, self.mirror)]
        if left and not volumes:
            return RETRY_PLACING_S  # until the copies that are being made of them are whole
        if volumes:
            await self.desk.replace(*(self._gone(v, vm) for v in volumes))
            return 0.0  # what is in the trash is not the VM's any more, and calls nobody
        if plan.remove:
            gone: list[Resource] = [vm, *self.mirror.select(Port, "vm", vm.id)]
            gone += self.mirror.select(Snapshot, "vm", vm.id)
            event = self.desk.event(vm, "deleted", f"{vm.name}: deleted")
            networks = dict.fromkeys(nic.network for nic in vm.spec.nics)
            freed = [n for id in networks if (n := _without_forwards(self.mirror.get(id), vm))]
            writes: list[Write] = [Put(event), *(Put(n) for n in freed), *(Remove(r.id) for r in gone)]
            await self.desk.commit(writes, {r.id: r.revision for r in (*gone, *freed)})
        else:
            await self._write(vm, plan)
        return None


def is_kept(volume: Volume, vm: VM) -> bool:
    """Whether it goes into the trash when its VM goes.

    Not one that was never whole, that is a file of somebody else's (it stays, or it was asked to go), or that was made
    from an image for a CD drive. Of one that was on its way to another node nobody knows which file is the right one.
    """
    medium = vm.spec.cd.volume if vm.spec.cd and vm.spec.cd.image else None
    whole = volume.status.made and volume.status.moving_to is None
    return vm.spec.trash_s > 0 and whole and volume.spec.file is None and volume.id != medium


def _without_forwards(network: Resource | None, vm: VM) -> Network | None:
    """The network without forwards to the VM; None: it has none."""
    if not isinstance(network, Network) or all(way.vm != vm.id for way in network.spec.forwards):
        return None
    left = tuple(way for way in network.spec.forwards if way.vm != vm.id)
    spec = msgspec.structs.replace(network.spec, forwards=left)
    return network.having(spec=spec, generation=network.generation + 1)


def adoption_failed(vm: VM) -> bool:
    """Whether its node could not take the domain over: it is gone, or another's."""
    report = vm.report
    return (
        0 < vm.spec.adoption == vm.status.stint
        and not vm.deleting
        and report is not None
        and report.generation == 0
        and report.trouble is not None
        and report.trouble.code == ADOPTION_FAILED
    )


def on_node(status: VolumeStatus, node: NodeId, now_s: float) -> VolumeStatus:
    """The status of a volume whose node has just been decided on."""
    return msgspec.structs.replace(status, node=node, phase=VolumePhase.CREATING, since=now_s)


def _same_refusal(status: VMStatus, vm: VM) -> bool:
    """Whether people have been told already: the message counts, not the time."""
    new, old = status.trouble, vm.status.trouble
    told = old is not None and new is not None and old.message == new.message
    return told and vm.status.phase is VMPhase.PENDING
