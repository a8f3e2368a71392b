"""Rest: how a history must end, once no new faults come.

In this room   unsettled(): what is not yet as it has to be, in words
Comes in       a Sim: what its store has, and what is on its hosts
Always true    looks only. Everybody's word is checked against what is really there: domains, files, networks
Next door      history.py waits until nothing is left
Start here     unsettled()
"""

from typing import TYPE_CHECKING

from corral.hypervisor.libvirt.identity import domain_uuid
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.pool import StoragePool
from corral.model.port import Port
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.vm import VM, DomainState, StopReason, VMPhase, device_key
from corral.model.volume import Volume
from corral.server.assignments import assignment
from corral.storage.interface import volume_path
from tests.sim.users import OLD, old_uuid

if TYPE_CHECKING:
    from tests.sim.history import Sim


NO_DEVICES = ("placement.no_room", "placement.never_fits")  # more are asked for than there are


def waits_for_devices(vm: Resource | None) -> bool:
    """Whether more devices are asked for than there are: it says so, and gets no node and no volumes."""
    if not isinstance(vm, VM) or vm.status.node or not vm.spec.hardware.devices:
        return False
    return vm.status.trouble is not None and vm.status.trouble.code in NO_DEVICES


def unsettled(sim: "Sim") -> list[str]:
    """What is not yet as it has to be in the end."""
    left: list[str] = []
    vms = {r.id: r for r in sim.watch.last.values() if isinstance(r, VM)}
    for resource in sim.watch.last.values():
        if isinstance(resource, Operation) and not resource.ended:
            left.append(
                f"{resource.spec.verb} {resource.spec.target.name} still runs: {resource.status.waiting_for}"
            )
        if isinstance(resource, Node) and not resource.reachable:
            left.append(f"{resource.name} is {resource.status.phase}")
    for vm in vms.values():
        left += _unsettled_vm(sim, vm)
    for node in sim.nodes:
        for id in node.host.domains:
            if id not in vms or vms[id].status.node != node.id:
                left.append(f"orphan domain {id} on {node.name}")
    return left + _orphans(sim) + _lost(sim) + _unsettled_snapshots(sim) + _unsettled_networks(sim)


def _unsettled_vm(sim: "Sim", vm: VM) -> list[str]:
    if vm.deleting:
        return [f"{vm.name} is not deleted yet: {vm.status.trouble}"]
    if waits_for_devices(vm):
        return []
    running = list(sim.world.where(vm.id))
    names = {n.id: n.name for n in sim.nodes}
    own = [names[vm.status.node]] if vm.status.node else []
    if vm.status.traces != tuple(own_id for own_id in (vm.status.node,) if own_id):
        return [f"{vm.name} has traces on {vm.status.traces}"]
    if vm.spec.running and vm.status.phase is VMPhase.STOPPED and _stopped_itself(vm):
        return []
    wanted = own if vm.spec.running else []
    phase = VMPhase.RUNNING if vm.spec.running else VMPhase.STOPPED
    if vm.spec.running and vm.spec.paused:
        phase = VMPhase.PAUSED
    elif not vm.spec.running and vm.spec.saved and vm.report and vm.report.saved:
        phase = VMPhase.SUSPENDED
    if running != wanted or vm.status.phase is not phase:
        return [f"{vm.name} runs on {running}, wanted {wanted}, is {vm.status.phase}: {vm.status.trouble}"]
    return _unlike_its_spec(sim, vm)


def _unlike_its_spec(sim: "Sim", vm: VM) -> list[str]:
    """The running machine has what the spec says, but for what is shown as pending."""
    left = [
        f"{vm.name}: {e.key} has not left" for e in vm.spec.leaving if not (vm.report and vm.report.saved)
    ]
    left += [f"{vm.name}: the change of {vm.spec.undo.operation} is open"] if vm.spec.undo else []
    held = next((n.host.domains[vm.id] for n in sim.nodes if n.host.runs(vm.id)), None)
    live, report = (held.running.wish if held and held.running else None), vm.report
    if live is None or report is None:
        return left
    later = {(p.what, p.key) for p in report.pending}
    wanted = {("disk", device_key(d.volume)) for d in vm.spec.disks} | {("nic", n.mac) for n in vm.spec.nics}
    has = {("disk", device_key(d.volume)) for d in live.disks} | {("nic", n.mac) for n in live.nics}
    left += [f"{vm.name}: {what} {key} is not as wanted" for what, key in sorted((wanted ^ has) - later)]
    limits = {d.volume: d.tuning.limits for d in vm.spec.disks}
    left += [
        f"{vm.name}: limits of {d.volume} are not as wanted"
        for d in live.disks
        if limits.get(d.volume, d.tuning.limits) != d.tuning.limits
        and ("disk", device_key(d.volume)) not in later
    ]
    if live.cpus != vm.spec.cpus and ("cpus", "") not in later:
        left.append(f"{vm.name} has {live.cpus} vCPUs")
    if live.memory_bytes != vm.spec.memory_bytes and ("memory", "") not in later:
        left.append(f"{vm.name} has {live.memory_bytes} bytes of memory")
    return left


def _unsettled_networks(sim: "Sim") -> list[str]:
    """Each node serves just what it is assigned; addresses and forwards are those of VMs that are there."""
    if sim.core is None:
        return ["no server"]
    left, mirror = [], sim.core.mirror
    for node in sim.nodes:
        wanted = {n.id: assignment(mirror, node.id, n.id) for n in mirror.list(Network) if n.on(node.id)}
        if node.networking.served != wanted:
            left.append(f"{node.name} serves {node.networking.served}, not {wanted}")
    nics = {(vm.id, nic.network, nic.mac, nic.address) for vm in mirror.list(VM) for nic in vm.spec.nics}
    ports = {(p.spec.vm, p.spec.network, p.spec.mac, p.spec.address) for p in mirror.list(Port)}
    held = {  # memory on disk goes on with a NIC that was taken away: nobody else gets its address before
        (vm.id, entry.mac)
        for vm in mirror.list(VM)
        for entry in vm.spec.leaving
        if vm.report and vm.report.saved
    }
    if differ := {port for port in nics ^ ports if (port[0], port[2]) not in held}:
        left.append(f"ports and NICs differ: {differ}")
    ways = [way for network in mirror.list(Network) for way in network.spec.forwards]
    left += [f"a forward to nobody: {way}" for way in ways if mirror.get(way.vm) is None]
    return left


def _stopped_itself(vm: VM) -> bool:
    """A guest that shut itself down stays down by its restart policy."""
    report = vm.report
    return report is not None and report.state is DomainState.STOPPED and report.reason is StopReason.SHUTDOWN


def _lost(sim: "Sim") -> list[str]:
    """A domain of before Corral is on exactly one host, as Corral's or as nobody's; nobody deletes these."""
    left = []
    for name in OLD:
        uuid = old_uuid(name)
        places = [n.name for n in sim.nodes if uuid in n.host.foreign]
        places += [n.name for n in sim.nodes for vm in n.host.domains if domain_uuid(vm) == uuid]
        if len(places) != 1:
            left.append(f"{name} is on {places}")
    return left


def _orphans(sim: "Sim") -> list[str]:
    volumes = {r.id: r for r in sim.watch.last.values() if isinstance(r, Volume)}
    for place in (sim.shared, *(n.files for n in sim.nodes)):
        for volume, image in place.standing.items():
            if image not in place.sizes:
                sim.violate(f"{volume} stands on {image}, which is gone")
    shared = {volume_path("/shared", v.id) for v in volumes.values() if v.pool == "pool-s"}
    seeds = {f"/seeds/{r.id}.iso" for r in sim.watch.last.values() if isinstance(r, VM)}
    left = [f"volume {v.name} moves still: {v.status}" for v in volumes.values() if v.moves]
    left += [
        f"volume {v.name} is {v.status.phase}"
        for v in volumes.values()
        if v.status.phase not in ("ready", "trashed")
        and not waits_for_devices(sim.watch.last.get(v.spec.vm or ""))
    ]
    places = [(sim.shared, shared)]
    for node in sim.nodes:
        own = [v for v in volumes.values() if v.status.node == node.id and v.pool == "pool-l"]
        places.append((node.files, {volume_path("/local", v.id) for v in own} | seeds))
    for place, known in places:
        left += [
            f"orphan file {p}"
            for p in place.sizes
            if "/images/" not in p and "/old/" not in p and p not in known
        ]
    return left


def _unsettled_snapshots(sim: "Sim") -> list[str]:
    """Each that is ready is on all of its disks, and no disk has one that nobody knows."""
    left: list[str] = []
    snapshots = {r.id: r for r in sim.watch.last.values() if isinstance(r, Snapshot)}
    volumes = [r for r in sim.watch.last.values() if isinstance(r, Volume)]
    contents = sim.world.contents.disks
    for snapshot in snapshots.values():
        if snapshot.status.phase not in (SnapshotPhase.READY, SnapshotPhase.FAILED):
            left.append(f"snapshot {snapshot.name} is {snapshot.status.phase}: {snapshot.status.trouble}")
    for volume in volumes:
        pool = sim.watch.last.get(volume.spec.pool)
        path = volume_path(pool.spec.path, volume.id) if isinstance(pool, StoragePool) else ""
        inside = set(contents[path].snapshots) if path in contents else set()
        left += [f"{volume.name} has an orphan snapshot {id}" for id in sorted(inside - set(snapshots))]
        ready = {s.id for s in snapshots.values() if volume.id in s.spec.disks and s.status.phase == "ready"}
        left += [f"{volume.name} lacks snapshot {id}" for id in sorted(ready - inside)]
    return left
