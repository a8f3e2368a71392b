"""From a running domain to its definition: what becomes a step, and what has to wait."""

import xml.etree.ElementTree as ET

import pytest

from corral.hypervisor.libvirt.live import (
    Attach,
    Change,
    Detach,
    Difference,
    SetCpus,
    SetMemory,
    Step,
    Tune,
    compare,
)

GIB = 1024 * 1024  # in KiB


def domain(
    *devices: str,
    kind: str = "kvm",
    cpus: str = "<vcpu current='2'>4</vcpu>",
    memory_kib: int = GIB,
    ports: int = 4,
) -> str:
    slots = "".join(
        f"<controller type='pci' index='{n}' model='pcie-root-port'><address type='pci' bus='0x00'/></controller>"
        for n in range(1, ports + 1)
    )
    return (
        f"<domain type='{kind}'><name>web</name><memory unit='KiB'>{memory_kib}</memory>{cpus}"
        f"<devices><controller type='pci' index='0' model='pcie-root'/>{slots}{''.join(devices)}</devices></domain>"
    )


def disk(
    serial: str,
    target: str = "vda",
    slot: int = 1,
    *,
    bus: str = "virtio",
    iops: int = 0,
    cache: str = "none",
) -> str:
    tune = f"<iotune><total_iops_sec>{iops}</total_iops_sec></iotune>" if iops else ""
    place = f"<address type='pci' bus='0x{slot:02x}'/>" if slot and bus == "virtio" else ""
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='{cache}'/><source file='/{serial}'/>"
        f"<target dev='{target}' bus='{bus}'/>{tune}<serial>{serial}</serial><alias name='a-{serial}'/>{place}</disk>"
    )


def nic(mac: str, slot: int = 2, *, bridge: str = "br0", model: str = "virtio") -> str:
    return (
        f"<interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/><model type='{model}'/>"
        f"<alias name='n-{mac}'/><address type='pci' bus='0x{slot:02x}'/></interface>"
    )


RATE = "<bandwidth><inbound average='1250' burst='64'/></bandwidth><model"


def drive(disc: str = "", bus: str = "sata") -> str:
    source = f"<source file='{disc}'/>" if disc else ""
    return (
        f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}<target dev='sda' bus='{bus}'/>"
        "<readonly/><alias name='ua-cd'/></disk>"
    )


def plugged(requested_mib: int, current_mib: int | None = None) -> str:
    """1 GiB of room."""
    now = f"<current unit='KiB'>{current_mib * 1024}</current>" if current_mib is not None else ""
    return (
        f"<memory model='virtio-mem'><target><size unit='KiB'>{GIB}</size><block unit='KiB'>2048</block>"
        f"<requested unit='KiB'>{requested_mib * 1024}</requested>{now}</target></memory>"
    )


M, N = "52:54:00:00:00:01", "52:54:00:00:00:02"
ROOT = disk("root")
SAME = [  # what libvirt writes otherwise while it runs, and is no difference
    ("nothing", domain(ROOT, nic(M)), domain(ROOT, nic(M))),
    ("another letter and slot", domain(ROOT, disk("data", "vdc", 4)), domain(ROOT, disk("data", "vdb", 3))),
    ("the running source has an index", domain(ROOT.replace("file='/root'", "file='/root' index='3'")), domain(ROOT)),
    ("an empty drive had a disc once", domain(drive().replace("<target", "<source index='2'/><target")), domain(drive())),
    ("upper-case MAC address", domain(nic("52:54:00:00:00:AB")), domain(nic("52:54:00:00:00:ab"))),
]  # fmt: skip


@pytest.mark.parametrize(("live", "wished"), [pytest.param(*r[1:], id=r[0]) for r in SAME])
def test_no_difference(live: str, wished: str) -> None:
    assert compare(live, wished) == Difference()


def words(step: Step) -> str:
    """A step in short."""
    match step:
        case Attach(what=what, xml=xml):
            found = ET.fromstring(xml)
            place, target = found.find("address"), found.find("target")
            slot = (
                f" on slot {int(place.get('bus', '0'), 0)}"
                if place is not None and "bus" in place.attrib
                else ""
            )
            return (
                f"attach {what}"
                + (f" as {target.get('dev')}" if target is not None and target.get("dev") else "")
                + slot
            )
        case Detach(alias=alias):
            return f"detach {alias}"
        case Change(what=what):
            return f"change {what}"
        case Tune(disk=target, limits=limits):
            return f"tune {target} {limits['total_iops_sec']}"
        case SetCpus(count=count):
            return f"cpus {count}"
        case SetMemory(requested_bytes=size):
            return f"memory {size >> 20}"


ROWS: list[tuple[str, str, str, list[str], list[str]]] = [  # name, live, wished, steps, pending ("guest:" asks it)
    ("a new disk on its own slot", domain(ROOT), domain(ROOT, disk("data", "vdb", 3)), ["attach disk data as vdb on slot 3"], []),
    ("its slot is taken: anywhere", domain(ROOT, nic(M, 3)), domain(ROOT, nic(M, 3), disk("data", "vdb", 3)), ["attach disk data as vdb"], []),
    ("its letter is taken: the next", domain(ROOT, disk("old", "vdb", 2)), domain(ROOT, disk("old", "vdc", 2), disk("new", "vdb", 3)), ["attach disk new as vdc on slot 3"], []),
    ("no slot is free", domain(ROOT, nic(M), ports=2), domain(ROOT, nic(M), disk("data", "vdb", 3), ports=4), [], ["disk data"]),
    ("one slot for two devices", domain(ROOT, ports=2), domain(ROOT, disk("d", "vdb", 2), nic(N, 3)), ["attach disk d as vdb on slot 2"], [f"nic {N}"]),
    ("a SATA disk waits", domain(ROOT), domain(ROOT, disk("s", "sda", bus="sata")), [], ["disk s"]),
    ("a SCSI disk brings its controller", domain(ROOT), domain(ROOT, disk("s", "sda", bus="scsi"), "<controller type='scsi' index='0' model='virtio-scsi'/>"), ["attach SCSI controller 0", "attach disk s as sda"], []),
    ("a disk goes", domain(ROOT, disk("data", "vdb", 2)), domain(ROOT), ["detach a-data"], []),
    ("a SATA disk stays until the next start", domain(ROOT, disk("s", "sda", bus="sata")), domain(ROOT), [], ["disk s"]),
    ("NICs come and go", domain(nic(M)), domain(nic(N, 3)), [f"detach n-{M}", f"attach NIC {N} on slot 3"], []),
    ("limits", domain(ROOT), domain(disk("root", iops=500)), ["tune vda 500"], []),
    ("no limits any more", domain(disk("root", iops=500)), domain(ROOT), ["tune vda 0"], []),
    ("another cache mode waits", domain(ROOT), domain(disk("root", cache="writeback")), [], ["disk root"]),
    ("another bridge", domain(nic(M)), domain(nic(M, bridge="br9")), [f"change network of NIC {M}"], []),
    ("another rate", domain(nic(M)), domain(nic(M).replace("<model", RATE)), [f"change limits of NIC {M}"], []),
    ("another NIC model waits", domain(nic(M)), domain(nic(M, model="e1000e")), [], [f"nic {M}"]),
    ("a disc comes", domain(drive()), domain(drive("/a.iso")), ["change medium of cd"], []),
    ("another disc", domain(drive("/a.iso")), domain(drive("/b.iso")), ["change medium of cd"], []),
    ("a disc goes", domain(drive("/a.iso")), domain(drive()), ["change medium of cd"], []),
    ("a SATA drive waits", domain(), domain(drive("/a.iso")), [], ["disk cd"]),
    ("an empty SCSI drive waits for its disc", domain(), domain(drive("", "scsi")), [], ["disk cd"]),
    ("more vCPUs", domain(), domain(cpus="<vcpu current='4'>4</vcpu>"), ["cpus 4"], []),
    ("more vCPUs than there is room for", domain(), domain(cpus="<vcpu>8</vcpu>"), [], ["cpus "]),
    ("fewer vCPUs", domain(), domain(cpus="<vcpu current='1'>4</vcpu>"), ["cpus 1"], ["guest:cpus "]),
    ("fewer vCPUs of an emulated machine", domain(kind="qemu"), domain(kind="qemu", cpus="<vcpu current='1'>4</vcpu>"), [], ["cpus "]),
    ("more room for vCPUs waits", domain(), domain(cpus="<vcpu current='2'>9</vcpu>"), [], ["cpus "]),
    ("more memory", domain(plugged(0, 0), memory_kib=2 * GIB), domain(plugged(512), memory_kib=2 * GIB), ["memory 512"], ["guest:memory "]),
    ("more memory, defined as base", domain(plugged(0, 0), memory_kib=2 * GIB), domain(plugged(0).replace(str(GIB), str(GIB // 2)), memory_kib=2 * GIB), ["memory 512"], ["guest:memory "]),
    ("asked for, not taken yet", domain(plugged(512, 128), memory_kib=2 * GIB), domain(plugged(512), memory_kib=2 * GIB), [], ["guest:memory "]),
    ("taken", domain(plugged(512, 512), memory_kib=2 * GIB), domain(plugged(512), memory_kib=2 * GIB), [], []),
    ("less memory than at the start waits", domain(plugged(0, 0), memory_kib=2 * GIB), domain(memory_kib=GIB // 2), [], ["memory "]),
    ("more memory than there is room for waits", domain(plugged(0, 0), memory_kib=2 * GIB), domain(memory_kib=3 * GIB), [], ["memory "]),
    ("memory of a machine without room waits", domain(), domain(memory_kib=2 * GIB), [], ["memory "]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("live", "wished", "steps", "pending"), [pytest.param(*r[1:], id=r[0]) for r in ROWS]
)
def test_difference(live: str, wished: str, steps: list[str], pending: list[str]) -> None:
    found = compare(live, wished)
    assert [words(step) for step in found.steps] == steps
    assert [f"{'guest:' if p.guest else ''}{p.what} {p.key}" for p in found.pending] == pending
    assert all(p.text for p in found.pending), "people are told in words"
