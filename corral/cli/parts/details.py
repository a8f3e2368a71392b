"""Details: what `show` tells a person about one resource, as names and values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral.cli.parts.columns import address, vm_phase
from corral.cli.parts.lookup import Names
from corral.cli.parts.machine import (
    choices,
    disk_words,
    hardware_details,
    nic_words,
    offer_details,
    size_words,
)
from corral.cli.parts.words import age, moment, pairs, yes
from corral.model.units import format_size

if TYPE_CHECKING:
    from corral.client.nouns import Adoption
    from corral.model.domain import FoundDisk, FoundNic
    from corral.model.found import FoundDomain
    from corral.model.group import PlacementGroup
    from corral.model.image import Image
    from corral.model.network import Network
    from corral.model.node import Node
    from corral.model.operation import Operation
    from corral.model.policy import SchedulingPolicy
    from corral.model.pool import StoragePool
    from corral.model.port import Port
    from corral.model.profile import VMProfile
    from corral.model.resource import Resource, Trouble
    from corral.model.vm import VM
    from corral.model.volume import Volume

Pairs = Sequence[tuple[str, str]]

DRIFT_LINES = 5  # of a drift, in `vm show`


def vm_details(vm: "VM", names: Names) -> Pairs:
    spec, status, report = vm.spec, vm.status, vm.report
    return _without_gaps(
        *_head(vm),
        ("Phase", vm_phase(vm)),
        ("Since", moment(status.since)),
        ("Node", names.of("nodes", status.node)),
        ("Bound to", names.of("nodes", spec.node) if spec.node else ""),
        ("Doing", report.step if report else ""),
        ("Restarts", str(report.restarts) if report and report.restarts else ""),
        *size_words(spec),
        *hardware_details(vm),
        ("Disks", "\n".join(f"{names.of('volumes', d.volume)} ({disk_words(d)})" for d in spec.disks)),
        ("NICs", "\n".join(f"{names.of('networks', n.network)} {nic_words(n)}" for n in spec.nics)),
        ("CD", _cd(vm, names)),
        ("Pending", "\n".join(_pending(p.text, guest=p.guest) for p in report.pending) if report else ""),
        ("Taken back", status.taken_back.trouble.message if status.taken_back else ""),
        ("Address", address(vm)),
        ("Guest", _guest(vm)),
        ("Migration", _migration(vm, names)),
        ("Last migration", _last_migration(vm, names)),
        ("Definition", "its own, edited where the VM says something else" if spec.base_xml else ""),
        ("Drift", _drift_words(report.drift.lines) if report and report.drift else ""),
        ("Restart", spec.restart),
        ("Placement", spec.policy or "default"),
        ("Groups", ", ".join(names.of("groups", group) for group in spec.groups)),
        ("Protected", yes(spec.protected)),
        *_trouble(status.trouble),
    )


def profile_details(profile: "VMProfile") -> Pairs:
    import msgspec

    spec = msgspec.to_builtins(profile.spec)
    return _without_gaps(
        *(_head(profile) if profile.created_at else (("Name", profile.name),)),
        ("Summary", profile.spec.summary),
        ("CPUs", str(profile.spec.cpus or "")),
        ("Memory", str(profile.spec.memory or "")),
        ("Hardware", choices(spec.get("hardware", {}))),
        ("Disks", choices(spec.get("disk", {}))),
        ("NICs", choices(spec.get("nic", {}))),
        ("cloud-init", ", ".join(name for name, text in spec.get("cloud_init", {}).items() if text)),
        ("Restart", profile.spec.restart or ""),
    )


def policy_details(policy: "SchedulingPolicy") -> Pairs:
    spec = policy.spec
    weights = ", ".join(f"{name} {getattr(spec.weights, name):g}" for name in spec.weights.__struct_fields__)
    return _without_gaps(
        *(_head(policy) if policy.created_at else (("Name", policy.name),)),
        ("Summary", spec.summary),
        ("Score", spec.score),
        ("Weights", weights if spec.score == "balance" else ""),
        ("Spare", spec.spare),
        ("Rebalance", "by itself" if spec.rebalance.automatic else ""),
    )


def group_details(group: "PlacementGroup") -> Pairs:
    return _without_gaps(
        *_head(group),
        ("Summary", group.spec.summary),
        ("Rules", "\n".join(map(str, group.spec.rules))),
        ("Whole", "all of its VMs are placed, or none" if group.spec.whole else ""),
    )


def _cd(vm: "VM", names: Names) -> str:
    cd = vm.spec.cd
    if cd is None:
        return ""
    if cd.image:
        return names.of("images", cd.image)
    return names.of("volumes", cd.volume) if cd.volume else "empty"


def _pending(text: str, *, guest: bool) -> str:
    return text if guest else f"{text} (with the next start)"


def node_details(node: "Node", names: Names, others: "Sequence[FoundDomain]" = ()) -> Pairs:
    inventory = node.status.inventory
    accelerator = inventory.accelerator
    return _without_gaps(
        *_head(node),
        ("Phase", node.status.phase),
        ("Since", moment(node.status.since)),
        ("Host", inventory.hostname),
        ("Kernel", inventory.kernel),
        ("Hypervisor", inventory.hypervisor),
        ("Accelerator", accelerator.kind + (f" ({accelerator.reason})" if accelerator.reason else "")),
        ("CPU", f"{inventory.cpus} x {inventory.cpu.model}".rstrip(" x")),
        ("Overcommit", f"CPU {node.spec.cpu_overcommit:g}, memory {node.spec.memory_overcommit:g}"),
        (
            "Memory",
            f"{format_size(inventory.memory_bytes)}, {format_size(node.spec.reserve_memory_bytes)} for the host",
        ),
        ("Rack", node.spec.rack),
        ("Dedicated CPUs", node.spec.dedicated_cpus),
        *_trouble(node.status.trouble),
        ("NUMA cells", str(len(inventory.cells)) if inventory.cells else ""),
        *offer_details(inventory),
        ("GPUs", "\n".join(f"{g.address} {g.vendor}:{g.device}" for g in inventory.gpus)),
        ("Bridges", ", ".join(inventory.bridges)),
        (
            "Pools",
            "\n".join(
                _on_node(names.of("pools", i), p.ready, p.trouble) for i, p in node.status.pools.items()
            ),
        ),
        (
            "Networks",
            "\n".join(
                _on_node(names.of("networks", i), n.ready, n.trouble) for i, n in node.status.networks.items()
            ),
        ),
        ("Found domains", "\n".join(f"{d.status.name}: {found_words(d)}" for d in others)),
        ("Agent", node.status.agent_version),
    )


def _drift_words(lines: "Sequence[str]") -> str:
    """The first differences, and how many more there are."""
    more = f"\nand {len(lines) - DRIFT_LINES} more: `corral vm drift`" if len(lines) > DRIFT_LINES else ""
    return "\n".join(lines[:DRIFT_LINES]) + more


def found_words(domain: "FoundDomain") -> str:
    """State, size, and whether it can be adopted, in one line."""
    status = domain.status
    if status.refusal:
        return f"{status.state}, can't be adopted: {status.refusal.element}: {status.refusal.reason}"
    model = status.model
    size = f", {model.cpus} vCPUs, {format_size(model.memory_bytes)}" if model else ""
    return f"{status.state}{size}"


def found_details(domain: "FoundDomain", names: Names) -> Pairs:
    status, model = domain.status, domain.status.model
    refusal = status.refusal
    pairs = [
        ("Name", status.name),
        ("UUID", domain.spec.uuid),
        ("Node", names.of("nodes", domain.spec.node)),
        ("State", status.state),
        ("Starts with host", yes(status.autostart)),
        ("Can't be adopted", f"{refusal.element}: {refusal.reason}" if refusal else ""),
    ]
    if model:
        pairs += [
            ("Title", model.title),
            ("vCPUs", str(model.cpus)),
            ("Memory", format_size(model.memory_bytes)),
            ("Machine", f"{model.architecture} {model.machine}, {model.firmware}"),
            ("Disks", "\n".join(_found_disk(disk) for disk in model.disks)),
            ("NICs", "\n".join(_found_nic(nic) for nic in model.nics)),
            ("Kept as it is", ", ".join(model.kept)),
        ]
    return _without_gaps(*pairs)


def adoption_words(adoption: "Adoption") -> str:
    """What would be made of a domain, line by line."""
    files = [f"{v.name}: {v.spec.file.path}" for v in adoption.volumes if v.spec.file]
    networks = [f"{n.name} on bridge {n.spec.bridge}" for n in adoption.networks]
    lines = [f"{adoption.domain} on {adoption.node} would become VM {adoption.vm.name}"]
    for title, values in (
        ("volumes on its files", files),
        ("ports", [port.spec.mac for port in adoption.ports]),
        ("new networks", networks),
        ("kept as it is", adoption.kept),
    ):
        if values:
            lines.append(f"  {title}: {', '.join(values)}")
    return "\n".join(lines)


def _found_disk(disk: "FoundDisk") -> str:
    size = f", {format_size(disk.size_bytes)}" if disk.size_bytes else ""
    return f"{disk.target}: {disk.path or 'nothing'} ({disk.format}{size})" + _kept(disk.kept)


def _found_nic(nic: "FoundNic") -> str:
    return f"{nic.mac or 'no MAC'}: {nic.kind} {nic.source}".rstrip() + _kept(nic.kept)


def _kept(why: str) -> str:
    return f", kept as it is: {why}" if why else ""


def image_details(image: "Image") -> Pairs:
    status = image.status
    return _without_gaps(
        *_head(image),
        ("Phase", status.phase),
        ("Step", f"{status.step} {status.progress:.0%}" if status.phase == "importing" else ""),
        ("Waits for", status.waiting_for),
        ("Format", status.format + (f" (came as {status.converted_from})" if status.converted_from else "")),
        ("Size", format_size(status.size_bytes)),
        ("Virtual size", format_size(status.virtual_bytes)),
        ("SHA-256", status.sha256 or image.spec.sha256),
        ("From", image.spec.url),
        ("OS", image.spec.os),
        ("Copies", "\n".join(status.copies)),
        *_trouble(status.trouble),
    )


def volume_details(volume: "Volume", names: Names) -> Pairs:
    spec, report = volume.spec, volume.status.report
    return _without_gaps(
        *_head(volume),
        ("Phase", volume.status.phase),
        ("Pool", names.of("pools", volume.pool)),
        ("On its way to", names.of("pools", spec.pool) if volume.pool != spec.pool else ""),
        ("Size", format_size(spec.size_bytes)),
        ("Allocated", format_size(report.allocated_bytes) if report and report.allocated_bytes else ""),
        ("Path", report.path if report else ""),
        ("Image", names.of("images", spec.image) if spec.image else ""),
        (
            "In the trash",
            f"was {spec.trash.name}, kept until {moment(spec.trash.until)}" if spec.trash else "",
        ),
        ("Goes with VM", names.of("vms", spec.vm) if spec.vm else ""),
        ("Node", names.of("nodes", volume.status.node)),
        *_trouble(volume.status.trouble),
    )


def pool_details(pool: "StoragePool", nodes: Sequence["Node"], trash: Sequence["Volume"]) -> Pairs:
    """`trash`: its volumes that are in the trash."""
    seen = [(n.name, n.status.pools[pool.id]) for n in nodes if pool.id in n.status.pools]
    lines = [
        f"{name}: {format_size(p.free_bytes)} of {format_size(p.total_bytes)} free"
        if p.ready
        else _on_node(name, p.ready, p.trouble)
        for name, p in seen
    ]
    return _without_gaps(
        *_head(pool),
        ("Path", pool.spec.path),
        ("Shared", yes(pool.spec.shared)),
        (
            "In the trash",
            f"{format_size(sum(map(room_bytes, trash)))} in {len(trash)} volumes" if trash else "",
        ),
        ("On nodes", "\n".join(lines)),
    )


def network_details(
    network: "Network", nodes: Sequence["Node"], ports: Sequence["Port"], names: Names
) -> Pairs:
    spec, subnet = network.spec, network.spec.subnet
    seen = [(n.name, n.status.networks[network.id]) for n in nodes if network.id in n.status.networks]
    leased = {address for _, on in seen for address in on.leases}
    lines = [
        f"{port.spec.address or '-'} {port.spec.mac} {names.of('vms', port.spec.vm)}"
        + (" leased" if port.spec.address in leased else "")
        for port in ports
    ]
    return _without_gaps(
        *_head(network),
        ("Segment", spec.segment),
        ("Bridge", spec.bridge),
        ("VLAN", f"{spec.vlan} of {spec.uplink}" if spec.vlan else ""),
        ("MTU", str(spec.mtu)),
        ("Subnet", subnet.cidr if subnet else ""),
        ("Range", f"{subnet.first} to {subnet.last}" if subnet else ""),
        ("Gateway", subnet.gateway if subnet else ""),
        ("DNS", ", ".join(subnet.dns) if subnet else ""),
        ("Domain", spec.domain),
        ("Forwarders", ", ".join(spec.forwarders)),
        ("DHCP", yes(subnet.dhcp) if subnet else ""),
        ("Anti-spoofing", yes(spec.anti_spoofing)),
        (
            "Forwards",
            "\n".join(f"{w.port}/{w.protocol} to {names.of('vms', w.vm)}:{w.to_port}" for w in spec.forwards),
        ),
        ("Ports", "\n".join(lines)),
        ("On nodes", "\n".join(_on_node(name, n.ready, n.trouble) for name, n in seen)),
    )


def operation_details(operation: "Operation") -> Pairs:
    spec, status = operation.spec, operation.status
    steps = [
        f"{s.name}: {s.ended_at - s.started_at:.1f} s" if s.ended_at else f"{s.name} …" for s in status.steps
    ]
    return _without_gaps(
        ("Id", operation.id),
        ("Verb", spec.verb),
        ("Target", f"{spec.target.kind} {spec.target.name} ({spec.target.id})"),
        ("State", status.state),
        ("Progress", f"{status.progress:.0%}"),
        ("Waits for", status.waiting_for),
        ("Steps", "\n".join(steps)),
        ("Result", "\n".join(f"{k} {v}" for k, v in status.result.items())),
        ("By", spec.by),
        ("Begun", moment(operation.created_at)),
        ("Ended", moment(status.ended_at) if status.ended_at else ""),
        *_trouble(status.error),
    )


def _head(resource: "Resource") -> Pairs:
    return (
        ("Name", resource.name),
        ("Id", resource.id),
        ("Labels", "" if not resource.labels else pairs(resource.labels)),
        ("Created", f"{moment(resource.created_at)} ({age(resource.created_at)} ago)"),
    )


def _trouble(trouble: "Trouble | None") -> Pairs:
    if trouble is None:
        return ()
    return (("Trouble", f"{trouble.message} [{trouble.code}]"), ("Hint", trouble.hint))


def _on_node(name: str, ready: bool, trouble: "Trouble | None") -> str:
    state = "ready" if ready else "not ready"
    return f"{name}: {state}" + (f", {trouble.message}" if trouble else "")


def _guest(vm: "VM") -> str:
    guest = vm.status.guest
    return f"up as {guest.hostname}" if guest.up and guest.hostname else "up" if guest.up else ""


def _migration(vm: "VM", names: Names) -> str:
    now = vm.status.migration
    return (
        f"{now.stage}, from {names.of('nodes', now.source)} to {names.of('nodes', now.target)}" if now else ""
    )


def _last_migration(vm: "VM", names: Names) -> str:
    last = vm.status.last_migration
    if last is None:
        return ""
    way = f"from {names.of('nodes', last.source)} to {names.of('nodes', last.target)}"
    down = "downtime not known" if last.downtime_ms is None else f"{last.downtime_ms:.0f} ms down"
    end = f"{last.total_s:.1f} s, {down}" if last.state == "done" else ""
    seen = last.forecast
    foreseen = f"foreseen {seen.total_s:.1f} s, {seen.downtime_ms:.0f} ms by {seen.method}" if seen else ""
    why = last.trouble.message if last.trouble else ""
    return ", ".join(part for part in (last.state, way, end, foreseen, why) if part)


def _without_gaps(*pairs: tuple[str, str]) -> Pairs:
    return [(name, value) for name, value in pairs if value]


def room_bytes(volume: "Volume") -> int:
    """On disk, as its node last saw it."""
    return volume.status.report.allocated_bytes if volume.status.report else 0
