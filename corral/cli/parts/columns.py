"""Columns: what the tables of each kind show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral.cli.parts.lookup import Names
from corral.cli.parts.table import Column
from corral.cli.parts.words import age, moment, pairs, yes
from corral.model.units import format_size
from corral.model.vm import device_key

if TYPE_CHECKING:
    from corral.model.vm import VM

NAME = Column("NAME", lambda r: r.name)
AGE = Column("AGE", lambda r: age(r.created_at), right=True)
LABELS = Column("LABELS", lambda r: pairs(r.labels), wide=True)
ID = Column("ID", lambda r: r.id, wide=True)


def vm_columns(names: Names) -> Sequence[Column]:
    return (
        NAME,
        Column("PHASE", vm_phase, phase=True),
        Column("NODE", lambda vm: names.of("nodes", vm.status.node)),
        Column("CPUS", lambda vm: str(vm.spec.cpus), right=True),
        Column("MEMORY", lambda vm: format_size(vm.spec.memory_bytes), right=True),
        Column("ADDRESS", address),
        AGE,
        Column("RESTART", lambda vm: vm.spec.restart, wide=True),
        Column("PROTECTED", lambda vm: yes(vm.spec.protected), wide=True),
        LABELS,
        ID,
        Column("TROUBLE", lambda vm: vm.status.trouble.message if vm.status.trouble else "-", wide=True),
    )


def pending_columns(vm: "VM", names: Names) -> Sequence[Column]:
    """Of a VM's pending changes."""
    volumes = {device_key(v): v for v in (*vm.spec.volumes, *vm.spec.leaving_volumes)}
    return (
        Column("WHAT", lambda p: p.what),
        Column("DEVICE", lambda p: names.of("volumes", volumes[p.key]) if p.key in volumes else p.key or "-"),
        Column("WAITS FOR", lambda p: "the guest" if p.guest else "the next start"),
        Column("CHANGE", lambda p: p.text),
    )


def found_columns(names: Names) -> Sequence[Column]:
    return (
        Column("NAME", lambda f: f.status.name),
        Column("NODE", lambda f: names.of("nodes", f.spec.node)),
        Column("STATE", lambda f: f.status.state, phase=True),
        Column("CPUS", lambda f: str(f.status.model.cpus) if f.status.model else "-", right=True),
        Column("MEMORY", lambda f: format_size(f.status.model.memory_bytes) if f.status.model else "-", right=True),
        Column("DISKS", lambda f: str(len(f.status.model.disks)) if f.status.model else "-", right=True),
        Column("ADOPTABLE", lambda f: f"no: {f.status.refusal.element}" if f.status.refusal else "yes"),
        Column("UUID", lambda f: f.spec.uuid, wide=True),
        Column("REASON", lambda f: f.status.refusal.reason if f.status.refusal else "-", wide=True),
    )  # fmt: skip


def node_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("PHASE", lambda n: n.status.phase, phase=True),
        Column("CPUS", lambda n: str(n.status.inventory.cpus), right=True),
        Column("MEMORY", lambda n: format_size(n.status.inventory.memory_bytes), right=True),
        Column("ACCELERATOR", lambda n: n.status.inventory.accelerator.kind),
        AGE,
        Column("HOST", lambda n: n.status.inventory.hostname or "-", wide=True),
        Column("HYPERVISOR", lambda n: n.status.inventory.hypervisor or "-", wide=True),
        Column("AGENT", lambda n: n.status.agent_version or "-", wide=True),
        LABELS,
        ID,
    )


def image_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("PHASE", lambda i: i.status.phase, phase=True),
        Column("FORMAT", lambda i: i.status.format or "-"),
        Column("SIZE", lambda i: format_size(i.status.size_bytes), right=True),
        Column("VIRTUAL", lambda i: format_size(i.status.virtual_bytes), right=True),
        AGE,
        Column("OS", lambda i: i.spec.os or "-", wide=True),
        Column("SHA256", lambda i: i.status.sha256[:16] or "-", wide=True),
        LABELS,
        ID,
    )


def volume_columns(names: Names) -> Sequence[Column]:
    return (
        NAME,
        Column("PHASE", lambda v: v.status.phase, phase=True),
        Column("POOL", lambda v: names.of("pools", v.pool)),
        Column("SIZE", lambda v: format_size(v.spec.size_bytes), right=True),
        Column("IMAGE", lambda v: names.of("images", v.spec.image)),
        Column("VM", lambda v: names.of("vms", v.spec.vm)),
        AGE,
        Column("NODE", lambda v: names.of("nodes", v.status.node), wide=True),
        LABELS,
        ID,
    )


def trash_columns(names: Names) -> Sequence[Column]:
    return (
        Column("NAME", lambda v: v.spec.trash.name),
        Column("POOL", lambda v: names.of("pools", v.spec.pool)),
        Column("SIZE", lambda v: format_size(v.spec.size_bytes), right=True),
        Column(
            "ON DISK",
            lambda v: format_size(v.status.report.allocated_bytes) if v.status.report else "-",
            right=True,
        ),
        Column("DELETED", lambda v: age(v.spec.trash.at), right=True),
        Column("KEPT UNTIL", lambda v: moment(v.spec.trash.until)),
        ID,
    )


def pool_columns(names: Names) -> Sequence[Column]:
    return (
        NAME,
        Column("PATH", lambda p: p.spec.path),
        Column("SHARED", lambda p: yes(p.spec.shared)),
        Column("NODES", lambda p: names.all("nodes", p.spec.nodes) or "all"),
        AGE,
        LABELS,
        ID,
    )


def network_columns(names: Names) -> Sequence[Column]:
    return (
        NAME,
        Column("SEGMENT", lambda n: n.spec.segment),
        Column("BRIDGE", lambda n: n.spec.bridge),
        Column("SUBNET", lambda n: n.spec.subnet.cidr if n.spec.subnet else "-"),
        Column("DHCP", lambda n: yes(n.spec.subnet is not None and n.spec.subnet.dhcp)),
        Column("NODES", lambda n: names.all("nodes", n.spec.nodes) or "all"),
        AGE,
        Column("MTU", lambda n: str(n.spec.mtu), wide=True, right=True),
        LABELS,
        ID,
    )


def profile_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("GUEST", lambda p: p.spec.hardware.guest or "linux"),
        Column("CPUS", lambda p: str(p.spec.cpus or "-"), right=True),
        Column("MEMORY", lambda p: str(p.spec.memory or "-"), right=True),
        Column("FIRMWARE", lambda p: p.spec.hardware.firmware or "-"),
        Column("SUMMARY", lambda p: p.spec.summary or "-"),
        LABELS,
        ID,
    )


def policy_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("SCORE", lambda p: p.spec.score),
        Column(
            "WEIGHTS",
            lambda p: (
                " ".join(f"{n} {getattr(p.spec.weights, n):g}" for n in p.spec.weights.__struct_fields__)
                if p.spec.score == "balance"
                else "-"
            ),
        ),
        Column("SPARE", lambda p: p.spec.spare),
        Column("SUMMARY", lambda p: p.spec.summary or "-"),
        LABELS,
        ID,
    )


def group_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("RULES", lambda g: "; ".join(map(str, g.spec.rules)) or "-"),
        Column("SUMMARY", lambda g: g.spec.summary or "-"),
        LABELS,
        ID,
    )


def rebalance_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("GOAL", lambda r: r.spec.goal),
        Column("PHASE", lambda r: r.status.phase, phase=True),
        Column("MADE", lambda r: str(sum(m.state == "done" for m in r.status.moves)), right=True),
        Column("MOVES", lambda r: str(sum(m.state != "dropped" for m in r.status.moves)), right=True),
        Column(
            "SCORE", lambda r: f"{r.status.before:.3f} to {r.status.after:.3f}" if r.status.plans else "-"
        ),
        ID,
    )


def operation_columns() -> Sequence[Column]:
    return (
        Column("ID", lambda o: o.id),
        Column("VERB", lambda o: o.spec.verb),
        Column("TARGET", lambda o: f"{o.spec.target.kind} {o.spec.target.name}"),
        Column("STATE", lambda o: o.status.state, phase=True),
        Column("DONE", lambda o: f"{o.status.progress:.0%}", right=True),
        Column("BY", lambda o: o.spec.by or "-"),
        AGE,
        Column("WAITS FOR", lambda o: o.status.waiting_for or "-", wide=True),
        Column("ERROR", lambda o: o.status.error.message if o.status.error else "-", wide=True),
    )


def event_columns() -> Sequence[Column]:
    return (
        Column("TIME", lambda e: moment(e.created_at)),
        Column("LEVEL", lambda e: e.spec.level, phase=True),
        Column("ABOUT", lambda e: f"{e.spec.about.kind} {e.spec.about.name or e.spec.about.id}"),
        Column("REASON", lambda e: e.spec.reason),
        Column("MESSAGE", lambda e: e.spec.message),
        Column("BY", lambda e: e.spec.by or "-", wide=True),
    )


def token_columns() -> Sequence[Column]:
    return (
        NAME,
        Column("ROLE", lambda t: t.spec.role),
        Column("EXPIRES", lambda t: moment(t.spec.expires_at) if t.spec.expires_at else "never"),
        AGE,
        ID,
    )


def console_columns() -> Sequence[Column]:
    return (
        Column("ID", lambda c: c.id),
        Column("VM", lambda c: c.vm_name),
        Column("KIND", lambda c: c.kind),
        Column("BY", lambda c: c.by),
        Column("FROM", lambda c: c.client or "-"),
        Column("SINCE", lambda c: moment(c.since)),
        Column("TYPED", lambda c: format_size(c.to_guest_bytes), right=True),
        Column("SHOWN", lambda c: format_size(c.from_guest_bytes), right=True),
        Column("NODE", lambda c: c.node, wide=True),
    )


def vm_phase(vm: "VM") -> str:
    return "deleting" if vm.deleting else vm.status.phase


def address(vm: "VM") -> str:
    """What the guest says of itself, else what DHCP gives it."""
    own = vm.status.guest.addresses or tuple(nic.address for nic in vm.spec.nics if nic.address)
    return ",".join(own) or "-"
