"""Placement by hardware: what a node must have, devices one by one, and what is pinned."""

import msgspec
import pytest

from corral.controllers.placement import FleetKeeper, ask_of
from corral.controllers.platform import settle
from corral.hypervisor.libvirt.baseline import LibvirtCpus
from corral.model.hardware import (
    DeviceKind,
    Firmware,
    Graphics,
    GuestCpu,
    Hardware,
    HeldDevice,
    HostDevice,
    NicLimits,
    Pinning,
    Platform,
)
from corral.model.ids import NetworkId, NodeId
from corral.model.node import (
    Accelerator,
    AcceleratorKind,
    Inventory,
    NetworkOnNode,
    Node,
    NodePhase,
    NodeSpec,
    NodeStatus,
    NumaCell,
    Offers,
    PciDevice,
    UsbDevice,
)
from corral.model.units import GiB, MiB
from corral.model.vm import VM, Nic, VMSpec, VMStatus
from corral.scheduler.cpus import PlainCpus
from corral.scheduler.placement import place
from corral.scheduler.traits import cpu_name, newest
from corral.store.interface import Snapshot
from corral.store.mirror import Mirror

SKYLAKE = GuestCpu(model="Skylake-Server-IBRS", vendor="Intel", require=("md-clear",), disable=("hle", "rtm"))
HASWELL = GuestCpu(model="Haswell-noTSX-IBRS", vendor="Intel")
ROME = GuestCpu(model="EPYC-Rome", vendor="AMD")
NO_PLATFORM = Platform()
ALL = Offers(
    machines=("pc-q35-7.1", "pc-q35-7.2"),
    cpu_models=("Haswell",),
    firmware=("uefi", "uefi-secure"),
    tpm=True,
    nested=True,
    graphics=("spice", "vnc"),
    nic_limits=True,
)
GPU, SOUND, BRIDGE, NET = (
    PciDevice(address=a, vendor=v, device=d, pci_class=c, iommu_group=g)
    for a, v, d, c, g in (
        ("0000:3b:00.0", "0x10de", "0x2204", "0x030000", 12),
        ("0000:3b:00.1", "0x10de", "0x1aef", "0x040300", 12),
        ("0000:3a:00.0", "0x8086", "0x2030", "0x060400", 12),
        ("0000:5e:00.0", "0x15b3", "0x1017", "0x020000", 30),
    )
)


def a_node(name: str, **inventory: object) -> Node:
    plain = {"cpus": 4, "memory_bytes": 8 * GiB, "offers": ALL}
    status = NodeStatus(
        phase=NodePhase.READY,
        inventory=Inventory(**{**plain, **inventory}),  # type: ignore[arg-type]
        networks={"net-1": NetworkOnNode(ready=True)},
    )
    return Node(id=name, name=name, spec=NodeSpec(reserve_memory_bytes=0), status=status)


def kvm(name: str, cpu: GuestCpu | None, **offers: object) -> Node:
    return a_node(
        name,
        accelerator=Accelerator(kind=AcceleratorKind.KVM),
        offers=msgspec.structs.replace(ALL, cpu=cpu, **offers),  # type: ignore[arg-type]
    )


def a_vm(name: str = "web", *, node: str = "", platform: Platform = NO_PLATFORM, **hardware: object) -> VM:
    nics = hardware.pop("nics", ())
    spec = VMSpec(cpus=1, memory_bytes=GiB, hardware=Hardware(**hardware), nics=nics)  # type: ignore[arg-type]
    status = VMStatus(node=NodeId(node) if node else None, platform=platform)
    return VM(id=f"vm-{name}", name=name, spec=spec, status=status)


def keeper_of(*resources: Node | VM, cpus: LibvirtCpus | PlainCpus | None = None) -> FleetKeeper:
    mirror = Mirror()
    mirror.reload(Snapshot(len(resources), resources))
    return FleetKeeper(mirror, cpus or PlainCpus())


def out(keeper: FleetKeeper, vm: VM) -> list[str]:
    return list(place(keeper.fleet, ask_of(keeper, vm)).out)


NIC = Nic(network=NetworkId("net-1"), mac="0e:00:00:00:00:01", limits=NicLimits(in_mbit=10))
LACKING = [  # name, hardware, what the node does not offer, reason
    ("UEFI", {"firmware": Firmware.UEFI}, {"firmware": ()}, "no UEFI firmware (OVMF) there"),
    ("Secure Boot", {"firmware": Firmware.UEFI_SECURE}, {"firmware": ("uefi",)},
     "no UEFI firmware with Secure Boot (OVMF) there"),
    ("TPM", {"tpm": True}, {"tpm": False}, "no TPM emulator (swtpm) there"),
    ("machine", {"machine": "pc-q35-7.2"}, {"machines": ("pc-q35-7.1",)}, "its QEMU has no machine pc-q35-7.2"),
    ("CPU model", {"cpu_model": "Haswell"}, {"cpu_models": ()}, "its CPU or QEMU has no model Haswell"),
    ("nested", {"nested": True}, {"nested": False}, "no nested virtualisation there"),
    ("SPICE", {"graphics": Graphics.SPICE}, {"graphics": ("vnc",)}, "its QEMU has no SPICE"),
    ("limits of a NIC", {"nics": (NIC,)}, {"nic_limits": False},
     "its kernel can't limit a NIC (it lacks htb, sfq or police)"),
]  # fmt: skip


@pytest.mark.parametrize(("hardware", "offers", "reason"), [pytest.param(*r[1:], id=r[0]) for r in LACKING])
def test_what_a_node_lacks_is_the_reason(
    hardware: dict[str, object], offers: dict[str, object], reason: str
) -> None:
    poor = a_node("poor", offers=msgspec.structs.replace(ALL, **offers))  # type: ignore[arg-type]
    vm = a_vm(**hardware)  # type: ignore[arg-type]
    assert out(keeper_of(poor), vm) == [reason]
    keeper = keeper_of(poor, a_node("rich"))
    assert place(keeper.fleet, ask_of(keeper, vm)).node == "rich"


def test_ordinary_hardware_needs_nothing() -> None:
    assert out(keeper_of(a_node("old", offers=Offers())), a_vm()) == []


# ---- hugepages, pinning


def test_hugepages_are_counted_and_not_given_twice() -> None:
    cell = NumaCell(id=0, cpus=(0, 1, 2, 3), memory_bytes=8 * GiB, hugepages={str(2 * MiB): 1024})
    first = a_vm("first", node="n", hugepage_bytes=2 * MiB)
    node = a_node("n", cells=(cell,))
    assert out(keeper_of(node, first), a_vm(hugepage_bytes=2 * MiB)) == []
    assert out(
        keeper_of(node, first, a_vm("second", node="n", hugepage_bytes=2 * MiB)), a_vm(hugepage_bytes=2 * MiB)
    ) == ["too few free hugepages of 2 MiB"]
    assert out(keeper_of(node), a_vm(hugepage_bytes=GiB)) == ["too few free hugepages of 1 GiB"]


def test_memory_in_hugepages_is_not_there_for_others() -> None:
    cell = NumaCell(id=0, cpus=(0,), memory_bytes=8 * GiB, hugepages={str(GiB): 8})
    assert out(keeper_of(a_node("n", cells=(cell,))), a_vm()) == ["too little memory"]
    assert out(keeper_of(a_node("n", cells=(cell,))), a_vm(hugepage_bytes=GiB)) == []


@pytest.mark.parametrize(
    ("pinning", "fits"),
    [
        (Pinning(vcpus=("0-1", "3")), True),
        (Pinning(vcpus=("4",)), False),
        (Pinning(emulator="0,7"), False),
        (Pinning(cells="0"), True),
        (Pinning(cells="1"), False),
    ],
)
def test_pinning(pinning: Pinning, fits: bool) -> None:
    node = a_node("n", cells=(NumaCell(id=0, cpus=(0, 1, 2, 3), memory_bytes=8 * GiB),))
    assert (out(keeper_of(node), a_vm(pinning=pinning)) == []) is fits


# ---- devices


def pci(id: str) -> HostDevice:
    return HostDevice(kind=DeviceKind.PCI, id=id)


USB = HostDevice(kind=DeviceKind.USB, id="046d:c52b")
HAS_USB = HeldDevice(kind=DeviceKind.USB, id="046d:c52b")
HAS_NET = HeldDevice(kind=DeviceKind.PCI, id="0000:5e:00.0")
STICK = UsbDevice(address="1-4", id="046d:c52b")
WHOLE_GPU = (pci("0000:3b:00.0"), pci("0000:3b:00.1"))
DEVICES = [  # name, the node's, what others hold, asked, reasons why not
    ("whole group, bridge aside", {"devices": (GPU, SOUND, BRIDGE)}, (), WHOLE_GPU, []),
    ("by vendor and device", {"devices": (NET,)}, (), (pci("15b3:1017"),), []),
    ("part of a group", {"devices": (GPU, SOUND)}, (), (pci("10de:2204"),),
     ["IOMMU group shared with 0000:3b:00.1 there"]),
    ("absent", {"devices": (GPU,)}, (), (pci("0000:99:00.0"),),
     ["no PCI device 0000:99:00.0 with an IOMMU group there"]),
    ("busy", {"devices": (NET,)}, (HAS_NET,), (pci("15b3:1017"),), ["PCI device 15b3:1017 is in use there"]),
    ("two of which one is there", {"devices": (NET,)}, (), (pci("15b3:1017"),) * 2,
     ["PCI device 15b3:1017 is in use there"]),
    ("USB", {"usb": (STICK,)}, (), (USB,), []),
    ("USB absent", {}, (), (USB,), ["no USB device 046d:c52b there"]),
    ("USB busy", {"usb": (STICK,)}, (HAS_USB,), (USB,), ["USB device 046d:c52b is in use there"]),
    ("USB that can't be told apart", {"usb": (STICK, STICK)}, (), (USB,), ["2 USB devices 046d:c52b there"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("has", "held", "asked", "reasons"), [pytest.param(*r[1:], id=r[0]) for r in DEVICES]
)
def test_devices(
    has: dict[str, object], held: tuple[HeldDevice, ...], asked: tuple[HostDevice, ...], reasons: list[str]
) -> None:
    other = a_vm("other", node="n", platform=Platform(devices=held))
    keeper = keeper_of(a_node("n", **has), other)
    vm = a_vm(devices=asked)
    assert out(keeper, vm) == reasons
    if not reasons:
        settled = settle(keeper, vm, NodeId("n")).devices
        assert len(settled) == len(asked) and all(len(d.id) in (9, 12) for d in settled)


def test_a_device_is_free_again_when_its_vm_is_gone() -> None:
    other = a_vm("other", node="n", platform=Platform(devices=(HAS_USB,)))
    keeper = keeper_of(a_node("n", usb=(STICK,)), other)
    keeper.fleet.forget_vm(other.id)
    assert out(keeper, a_vm(devices=(USB,))) == []


TWO_CELLS = tuple(NumaCell(id=c, cpus=(2 * c, 2 * c + 1), memory_bytes=4 * GiB) for c in (0, 1))
NEAR = [  # name, NUMA cells of the devices, hardware, where its memory comes from first
    ("all in one cell", (1, 1), {}, 1),
    ("in two", (0, 1), {}, None),
    ("nobody says where", (None, None), {}, None),
    ("a cell without memory", (2, 2), {}, None),
    ("what the user says counts more", (1, 1), {"pinning": Pinning(cells="0")}, None),
]


@pytest.mark.parametrize(("cells", "hardware", "near"), [pytest.param(*r[1:], id=r[0]) for r in NEAR])
def test_memory_comes_from_where_the_devices_are(
    cells: tuple[int | None, ...], hardware: dict[str, object], near: int | None
) -> None:
    devices = tuple(
        msgspec.structs.replace(NET, address=f"0000:5e:0{n}.0", iommu_group=n, numa_cell=cell)
        for n, cell in enumerate(cells)
    )
    keeper = keeper_of(a_node("n", devices=devices, cells=TWO_CELLS))
    vm = a_vm(devices=(pci("15b3:1017"),) * 2, **hardware)  # type: ignore[arg-type]
    settled = settle(keeper, vm, NodeId("n"))
    assert len(settled.devices) == 2 and settled.near_cell == near
    assert settle(keeper, a_vm(), NodeId("n")).near_cell is None


# ---- what is pinned


def test_newest_machine_that_all_have() -> None:
    keeper = keeper_of(a_node("a"), a_node("b", offers=Offers(machines=("pc-q35-6.2", "pc-q35-7.1"))))
    assert settle(keeper, a_vm(), NodeId("a")).machine == "pc-q35-7.1"
    bound = msgspec.structs.replace(a_vm().spec, node=NodeId("a"))
    assert settle(keeper, a_vm().having(spec=bound), NodeId("a")).machine == "pc-q35-7.2"
    assert settle(keeper, a_vm(machine="pc-q35-6.2"), NodeId("b")).machine == "pc-q35-6.2"
    assert newest(frozenset({"pc-q35-9.2", "pc-q35-10.0", "pc-q35-2.12"})) == "pc-q35-10.0"


def test_baseline_of_the_nodes_it_may_run_on() -> None:
    """Nodes of another vendor, and those that emulate, do not count."""
    keeper = keeper_of(
        kvm("sky", SKYLAKE), kvm("has", HASWELL), kvm("rome", ROME), a_node("tcg"), cpus=LibvirtCpus()
    )
    cpu = settle(keeper, a_vm(), NodeId("sky")).cpu
    assert cpu and cpu.vendor == "Intel" and cpu.model.startswith("Haswell")
    features = LibvirtCpus().features
    assert features(cpu) == features(SKYLAKE) & features(HASWELL)
    assert settle(keeper, a_vm(), NodeId("rome")).cpu == ROME
    assert settle(keeper, a_vm(), NodeId("tcg")).cpu is None


def test_a_running_vm_goes_only_where_its_cpu_is() -> None:
    cpus = LibvirtCpus()
    nodes = (kvm("sky", SKYLAKE), kvm("has", HASWELL), kvm("rome", ROME), a_node("tcg"))
    small = Platform(cpu=cpus.baseline(frozenset({SKYLAKE, HASWELL})))
    for platform, goes_to in ((small, "has"), (Platform(cpu=SKYLAKE), None)):
        vm = a_vm(node="sky", platform=platform)
        keeper = keeper_of(*nodes, vm, cpus=cpus)
        assert place(keeper.fleet, ask_of(keeper, vm)).node == goes_to
    assert out(keeper, vm) == [
        "the VM is there already",
        "it runs with KVM, which is not used there",
        "its CPU lacks features that the guest sees",
    ]


def test_the_hosts_own_cpu_binds_to_equal_ones() -> None:
    vm = a_vm(node="a", cpu_model="host", platform=Platform(host_cpu=cpu_name(SKYLAKE)))
    keeper = keeper_of(kvm("a", SKYLAKE), kvm("b", HASWELL), vm)
    assert "its CPU is another than the one that the guest sees" in out(keeper, vm)
    keeper = keeper_of(kvm("a", SKYLAKE), kvm("b", SKYLAKE), vm)
    assert place(keeper.fleet, ask_of(keeper, vm)).node == "b"


def test_cpus_without_libvirt_are_equal_or_not() -> None:
    plain = PlainCpus()
    assert plain.baseline(frozenset({ROME})) == ROME and plain.baseline(frozenset({ROME, HASWELL})) is None
    assert plain.fits(ROME, ROME) and not plain.fits(ROME, HASWELL)


def test_a_model_that_libvirt_does_not_know() -> None:
    odd = GuestCpu(model="Made-Up", vendor="Intel")
    assert LibvirtCpus().baseline(frozenset({odd, HASWELL})) is None
    assert not LibvirtCpus().fits(HASWELL, odd) and LibvirtCpus().fits(odd, odd)
