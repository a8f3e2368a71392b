"""Node: a machine that runs VMs, as its agent reports it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.hardware import GuestCpu
from corral.model.migration import MigrationLink
from corral.model.resource import Resource, Trouble

ROOM_LOW: Final = 0.10  # share of a pool that is left when people should hear of it


class NodePhase(StrEnum):
    JOINING = "joining"  # has a certificate; its agent has not reported an inventory yet
    READY = "ready"
    CORDONED = "cordoned"  # keeps its VMs, takes no new ones
    LOST = "lost"  # silent: its VMs may still be running


NODE_PHASE_NEXT: Final[Mapping[NodePhase, frozenset[NodePhase]]] = {
    NodePhase.JOINING: frozenset({NodePhase.READY, NodePhase.CORDONED, NodePhase.LOST}),
    NodePhase.READY: frozenset({NodePhase.CORDONED, NodePhase.LOST}),
    NodePhase.CORDONED: frozenset({NodePhase.READY, NodePhase.LOST}),
    NodePhase.LOST: frozenset({NodePhase.READY, NodePhase.CORDONED, NodePhase.JOINING}),
}


class AcceleratorKind(StrEnum):
    KVM = "kvm"
    TCG = "tcg"  # software emulation, about nine times slower


class Accelerator(Struct, frozen=True, kw_only=True):
    """What a tiny guest showed when it was booted with KVM: a device file proves nothing."""

    kind: AcceleratorKind = AcceleratorKind.TCG
    reason: str = ""  # why not KVM, in words
    tried_s: float = 0.0  # how long the trial took


class NumaCell(Struct, frozen=True, kw_only=True):
    """CPUs and memory that are near each other."""

    id: int
    cpus: tuple[int, ...]
    memory_bytes: int
    hugepages: dict[str, int] = {}  # pages by size in bytes: {"2097152": 512}
    cores: tuple[tuple[int, ...], ...] = ()  # CPUs that are threads of one core; empty: not told


class CpuInfo(Struct, frozen=True, kw_only=True):
    model: str = ""
    vendor: str = ""
    sockets: int = 1
    cores: int = 1  # a socket
    threads: int = 1  # a core
    features: tuple[str, ...] = ()


class HostDisk(Struct, frozen=True, kw_only=True):
    name: str  # vda, nvme0n1
    size_bytes: int
    rotational: bool = False
    model: str = ""


class MdevType(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Slices of a sort that a device can be cut into."""

    type: str  # nvidia-63
    name: str = ""  # GRID P40-2Q
    instances: int = 0  # that there could be of it at the moment, those that are there included
    made: int = 0  # that are there
    most: int = 0  # of it on the whole card, its virtual functions together; 0: nobody says


class PciDevice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A PCI function, with what passthrough needs to know."""

    address: str  # 0000:3b:00.0
    vendor: str
    device: str
    pci_class: str  # 0x030200
    iommu_group: int | None = None
    numa_cell: int | None = None
    model: str = ""  # as the list of PCI ids calls it: GH100 [H100 PCIe]
    driver: str = ""  # of the host, that it is bound to; vfio-pci: set aside for guests
    physical_function: str = ""  # address of the device that it is a virtual function of
    virtual_functions: int = 0  # that it has been split into
    links: tuple[
        str, ...
    ] = ()  # of a NIC or its virtual function: the host's link, and bonds and bridges upon it
    busy: str = ""  # what the host does with it, as far as one can see; empty: nothing
    slices: tuple[MdevType, ...] = ()  # that it can be cut into

    @property
    def card(self) -> str:
        """Address of the physical device that it is, or is a part of."""
        return self.physical_function or self.address

    @property
    def id(self) -> str:
        """`10de:2204` of what sysfs says, 0x10de and 0x2204."""
        return f"{self.vendor.removeprefix('0x')}:{self.device.removeprefix('0x')}"


class UsbDevice(Struct, frozen=True, kw_only=True):
    address: str  # bus and device: 1-4
    id: str  # vendor:product, 046d:c52b
    name: str = ""


class Offers(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What VMs can get from a host's QEMU and libvirt, beyond what every host has. Tuples are sorted."""

    machines: tuple[str, ...] = ()  # pc-q35-*, with their versions
    cpu: GuestCpu | None = None  # all of the host's CPU that a guest may have; None: emulated
    cpu_models: tuple[str, ...] = ()  # that can be asked for by name
    firmware: tuple[str, ...] = ()  # beside bios
    tpm: bool = False
    nested: bool = False
    graphics: tuple[str, ...] = ()
    nic_limits: bool = False  # its kernel can shape traffic


class Inventory(Struct, frozen=True, kw_only=True):
    """What a host has. Changes seldom; sent when it does."""

    hostname: str = ""
    kernel: str = ""
    architecture: str = "x86_64"
    hypervisor: str = ""  # "QEMU 7.2.22, libvirt 9.0.0"
    cpus: int = 0  # hardware threads
    cpu: CpuInfo = CpuInfo()
    memory_bytes: int = 0
    cells: tuple[NumaCell, ...] = ()
    disks: tuple[HostDisk, ...] = ()
    bridges: tuple[str, ...] = ()
    gpus: tuple[PciDevice, ...] = ()  # by PCI class 0x03
    iommu_groups: dict[str, tuple[str, ...]] = {}  # PCI addresses by group
    devices: tuple[PciDevice, ...] = ()  # all with an IOMMU group, and those that can be cut into slices
    usb: tuple[UsbDevice, ...] = ()
    offers: Offers = Offers()
    accelerator: Accelerator = Accelerator()
    migration_address: str = ""  # where other nodes reach this one's libvirt
    migration_tls: bool = False  # its libvirt takes TLS there, with a certificate of the server's CA
    domains: tuple[str, ...] = ()  # names of domains that Corral does not manage


class PoolOnNode(Struct, frozen=True, kw_only=True):
    """A storage pool as one node sees it. Bytes are rounded, so that noise is no change."""

    ready: bool = False
    total_bytes: int = 0
    free_bytes: int = 0
    marker: str = ""  # what its marker file says: another one, or none, is another file system
    trouble: Trouble | None = None

    @property
    def low(self) -> bool:
        """Whether it is nearly full."""
        return self.ready and self.total_bytes > 0 and self.free_bytes < ROOM_LOW * self.total_bytes


class NetworkOnNode(Struct, frozen=True, kw_only=True):
    """A network as one node sees it."""

    ready: bool = False
    generation: int = 0  # of the spec that is in place there
    leases: tuple[str, ...] = ()  # addresses that guests have taken by DHCP
    trouble: Trouble | None = None  # also when ready: what of it does not work


class NodeSpec(Struct, frozen=True, kw_only=True):
    cordoned: bool = False
    reserve_memory_bytes: int = 512 * 1024**2  # kept for the host itself
    cpu_overcommit: float = 4.0  # vCPUs promised for each CPU
    memory_overcommit: float = 1.0
    reserve_cpus: int = 0  # CPUs kept for the host itself, before overcommit
    dedicated_cpus: str = (
        ""  # CPUs that vCPUs get for themselves, a set like 4-15; all other VMs stay off them
    )
    rack: str = ""  # what it stands in, and fails with
    iops: int = 0  # operations a second that its disks are good for; 0: no limit known
    io_overcommit: float = 1.0
    network_mbit: int = 0  # Mbit/s of its uplinks; 0: no limit known
    network_overcommit: float = 1.0
    power_watts: int = 0  # that it may draw at most; 0: no limit known
    idle_watts: int = 0  # that it draws with no guest


class NodeStatus(Struct, frozen=True, kw_only=True):
    phase: NodePhase = NodePhase.JOINING
    since: float = 0.0  # of the phase; Unix time, seconds
    inventory: Inventory = Inventory()
    agent_version: str = ""
    certificate: str = ""  # serial number of the certificate in use, hexadecimal
    next_certificate: str = ""  # of one that it renewed to and has not used yet; then this one takes over
    pools: dict[str, PoolOnNode] = {}  # by PoolId
    networks: dict[str, NetworkOnNode] = {}  # by NetworkId
    trouble: Trouble | None = None  # why its inventory was not taken
    links: dict[str, MigrationLink] = {}  # by NodeId of the target; from migrations that left here


class Node(Resource, frozen=True, kw_only=True, tag="Node"):
    """A machine that runs VMs, as last reported by its agent."""

    PREFIX: ClassVar = "node"
    PLURAL: ClassVar = "nodes"
    SUMMARY: ClassVar = "a machine that runs VMs"

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def takes_vms(self) -> bool:
        return self.status.phase is NodePhase.READY and not self.spec.cordoned and not self.deleting

    @property
    def has_concerns(self) -> bool:
        """Whether it sees a pool or network that is in trouble, or a pool that is nearly full."""
        pools, networks = self.status.pools.values(), self.status.networks.values()
        return any(pool.trouble or pool.low for pool in pools) or any(n.trouble for n in networks)

    @property
    def reachable(self) -> bool:
        return self.status.phase in (NodePhase.READY, NodePhase.CORDONED)
