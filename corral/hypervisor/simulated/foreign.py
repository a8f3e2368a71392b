"""Foreign domains of a simulated host: what someone defined there without Corral.

Start here     foreign_report()
"""

from msgspec.structs import replace

from corral.hypervisor.interface import AdoptionFailed, DomainWish
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.simulated.world import Running, SimulatedHost
from corral.model.domain import DomainModel, FoundDisk, FoundNic
from corral.model.found import FoundReport
from corral.model.ids import VmId
from corral.model.units import KiB, MiB
from corral.model.vm import DomainState


def add_foreign(host: SimulatedHost, report: FoundReport) -> None:
    """Define it there, as `virsh define` would."""
    assert report.model
    host.foreign[report.model.uuid] = report


def adopt_foreign(host: SimulatedHost, wish: DomainWish, *, running: bool) -> None:
    """Make it this VM's. raises AdoptionFailed"""
    if wish.vm in host.domains:
        return
    uuid = domain_uuid(wish.vm)
    found = host.foreign.get(uuid)
    if found is None:
        raise AdoptionFailed(
            f"the domain that {wish.name} was to take over is not there any more", vm=wish.vm
        )
    runs = found.state is not DomainState.STOPPED
    if runs and not running:
        raise AdoptionFailed(f"{found.name} runs by now, and did not when it was found", vm=wish.vm)
    del host.foreign[uuid]
    host.put(wish, Running(host.world.clock.monotonic_s(), 0.0) if runs else None)
    held = host.domains[wish.vm]
    held.domain = replace(held.domain, name=found.name)
    host.tell(wish.vm, "adopted")


def release_domain(host: SimulatedHost, vm: VmId, *, autostart: bool) -> None:
    """Let it go on as nobody's."""
    held = host.domains.pop(vm, None)
    if held is None:
        return
    wish = held.wish
    report = foreign_report(
        held.domain.name, domain_uuid(vm), running=held.running is not None,
        paths=tuple(d.path for d in wish.disks), macs=tuple(n.mac for n in wish.nics),
        cpus=wish.cpus, memory_bytes=wish.memory_bytes,
    )  # fmt: skip
    add_foreign(host, replace(report, autostart=autostart))
    host.tell(vm, "released")


def foreign_report(
    name: str,
    uuid: str,
    *,
    running: bool = True,
    paths: tuple[str, ...] = (),
    macs: tuple[str, ...] = (),
    bridge: str = "br0",
    cpus: int = 1,
    memory_bytes: int = 128 * MiB,
    size_bytes: int = 64 * MiB,
) -> FoundReport:
    """As a node would report it."""
    disks = tuple(
        FoundDisk(
            target=f"vd{letter}",
            bus="virtio",
            source="file",
            path=path,
            format="qcow2",
            size_bytes=size_bytes,
        )
        for letter, path in zip("abcdefgh", paths, strict=False)
    )
    nics = tuple(FoundNic(mac=mac, kind="bridge", source=bridge, model="virtio") for mac in macs)
    model = DomainModel(
        uuid=uuid, name=name, cpus=cpus, cpus_max=cpus, memory_bytes=memory_bytes, disks=disks, nics=nics,
        architecture="x86_64", machine="pc-q35-7.2", kept=("devices/rng", "os"),
    )  # fmt: skip
    state = DomainState.RUNNING if running else DomainState.STOPPED
    return FoundReport(name=name, state=state, model=model, xml=xml_of(model))


def xml_of(model: DomainModel) -> str:
    """A domain document that reading.py reads as this model."""
    disks = "".join(
        f"<disk type='{d.source}' device='{d.device}'><driver name='qemu' type='{d.format}'/>"
        f"<source file='{d.path}'/><target dev='{d.target}' bus='{d.bus}'/></disk>"
        for d in model.disks
    )
    nics = "".join(
        f"<interface type='{n.kind}'><mac address='{n.mac}'/><source bridge='{n.source}'/>"
        f"<model type='{n.model}'/></interface>"
        for n in model.nics
    )
    return (
        f"<domain type='{model.type}'><name>{model.name}</name><uuid>{model.uuid}</uuid>"
        f"<memory unit='KiB'>{model.memory_bytes // KiB}</memory><vcpu>{model.cpus}</vcpu>"
        f"<os><type arch='{model.architecture}' machine='{model.machine}'>hvm</type></os>"
        f"<devices>{disks}{nics}<rng model='virtio'/></devices></domain>"
    )
