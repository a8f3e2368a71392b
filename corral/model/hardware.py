"""Hardware: the machine that a guest sees.

In this room   Hardware of a VM; how a disk and a NIC are attached; Platform, what was settled at placement
Comes in       -
Goes out       parts of VMSpec, Disk and Nic; carried unchanged in VmAssignment and DomainWish to domain_xml.py
Always true    what users leave open is `auto` or 0 in the spec. What a guest would notice if it changed later
               (machine version, CPU) is pinned in Platform when the VM gets its node, and stays.
Next door      vm.py has them as fields; services/hardware.py checks them; hypervisor/libvirt/*_xml.py build them
Start here     Hardware
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class GuestKind(StrEnum):
    """What the defaults are made for."""

    LINUX = "linux"  # virtio everywhere, clock in UTC
    WINDOWS = "windows"  # devices that Windows has drivers for, Hyper-V enlightenments, clock in local time


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"
    UEFI_SECURE = "uefi-secure"  # Secure Boot on, with the usual vendors' keys enrolled


class Bus(StrEnum):
    """How a disk is attached."""

    VIRTIO = "virtio"  # virtio-blk: a PCI device each
    SCSI = "scsi"  # virtio-scsi: many disks on one PCI device
    SATA = "sata"
    NVME = "nvme"
    USB = "usb"


class DiskCache(StrEnum):
    AUTO = "auto"  # none where the file system allows it, else writeback
    NONE = "none"  # around the host's page cache
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"  # none, and each write is on the disk before it is answered
    UNSAFE = "unsafe"  # flushes are ignored: a crash of the host loses data


class DiskIo(StrEnum):
    AUTO = "auto"  # native where the page cache is left out, else threads
    NATIVE = "native"  # Linux AIO; needs cache none or directsync
    THREADS = "threads"
    IO_URING = "io_uring"


class NicModel(StrEnum):
    VIRTIO = "virtio"
    E1000E = "e1000e"  # for guests without virtio drivers


class Graphics(StrEnum):
    VNC = "vnc"
    SPICE = "spice"  # with audio and USB redirection
    NONE = "none"  # serial console only


class Video(StrEnum):
    AUTO = "auto"  # qxl for SPICE, else virtio for Linux and vga for Windows
    VIRTIO = "virtio"
    VGA = "vga"  # needs no driver
    QXL = "qxl"


class Watchdog(StrEnum):
    """What happens to a guest that has stopped to feed its watchdog."""

    NONE = "none"  # no watchdog
    RESET = "reset"
    POWEROFF = "poweroff"
    PAUSE = "pause"
    INJECT_NMI = "inject-nmi"  # the guest's kernel decides, with a crash dump mostly


class DeviceKind(StrEnum):
    PCI = "pci"  # by its address, or any with this vendor:device
    USB = "usb"
    GPU = "gpu"  # any of its class, from here on
    VF = "vf"  # virtual function of a NIC (SR-IOV)
    NVME = "nvme"
    MDEV = "mdev"  # slice of a device that is shared (mediated device): a vGPU, with or without MIG


BY_CLASS: Final = frozenset({DeviceKind.GPU, DeviceKind.VF, DeviceKind.NVME, DeviceKind.MDEV})


SLICES: Final = (
    "c044a100-"  # how names (UUIDs) of slices begin that are Corral's: a node tells them from others'
)


class DiskLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """0: no limit. A total goes without read and write limits of the same sort."""

    iops: int = 0  # operations a second, reads and writes together
    read_iops: int = 0
    write_iops: int = 0
    bytes_s: int = 0
    read_bytes_s: int = 0
    write_bytes_s: int = 0


class DiskTuning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How QEMU carries a disk's I/O."""

    cache: DiskCache = DiskCache.AUTO
    io: DiskIo = DiskIo.AUTO
    iothread: bool = False  # a thread of its own; virtio and scsi only
    discard: bool = True  # what the guest trims is given back to the pool
    limits: DiskLimits = DiskLimits()


class NicLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Mbit/s (10^6 bits). 0: no limit."""

    in_mbit: int = 0  # to the guest
    out_mbit: int = 0  # from the guest


class Topology(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How vCPUs are shown to the guest. The product is the maximum number of vCPUs."""

    sockets: int = 1
    dies: int = 1  # a socket
    cores: int = 1  # a die
    threads: int = 1  # a core


class Pinning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which CPUs and NUMA cells of the node it uses. Sets are written like 0-3,8."""

    vcpus: tuple[str, ...] = ()  # CPUs of vCPU 0, 1, …; the last entry holds for all further ones
    emulator: str = ""  # CPUs of QEMU's own threads and I/O threads; empty: any
    cells: str = ""  # NUMA cells that its memory comes from, strictly; empty: any


class HostDevice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device of its node that a VM asks for: that one, or any of its class."""

    kind: DeviceKind
    id: str = ""  # PCI: 0000:3b:00.0, or any of 10de:2204 (vendor:device); USB: 046d:c52b (vendor:product); mdev: its type
    model: str = ""  # GPU, NVMe: words of its name (H100), or vendor:device; empty: any
    network: str = ""  # VF: the network that its NIC is on; empty: any
    count: int = 1  # so many of them

    @property
    def words(self) -> str:
        """For people: GPU of model H100."""
        match self.kind:
            case DeviceKind.GPU | DeviceKind.NVME:
                title = {DeviceKind.GPU: "GPU", DeviceKind.NVME: "NVMe drive"}[self.kind]
                return f"{title} of model {self.model}" if self.model else title
            case DeviceKind.VF:
                return f"virtual function on network {self.network}" if self.network else "virtual function"
            case DeviceKind.MDEV:
                return f"slice of type {self.id}"
        return f"{self.kind.upper()} device {self.id}"


class HeldDevice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device of its node that a VM has got."""

    kind: DeviceKind  # pci, usb, vf or mdev: how it is handed over
    id: str  # PCI, VF: its address; USB: vendor:product; mdev: its type
    parent: str = ""  # mdev: PCI address of the device that it is a slice of
    uuid: str = ""  # mdev: its name on the node
    network: str = ""  # VF: the network that was asked for
    mac: str = ""  # VF: of its own, the same at each start
    vlan: int = 0  # VF: that its packets are tagged with outside of the guest; 0: none

    @property
    def key(self) -> str:
        """What of the node it takes. Slices of one type and device share a key: they are counted."""
        if self.kind == DeviceKind.MDEV:
            return f"{self.kind}:{self.parent}:{self.id}"
        return f"{DeviceKind.PCI if self.kind == DeviceKind.VF else self.kind}:{self.id}"


class Hardware(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The machine that the guest sees, apart from its disks and NICs."""

    guest: GuestKind = GuestKind.LINUX
    firmware: Firmware = Firmware.BIOS
    tpm: bool = False  # TPM 2.0, emulated by swtpm
    machine: str = (
        ""  # like pc-q35-7.2; empty: the newest that all nodes it may run on have, pinned at placement
    )
    cpu_model: str = (
        "auto"  # auto: the best that all nodes it may run on have; host: the node's own; or a name
    )
    nested: bool = False  # the guest may run VMs itself
    topology: Topology | None = None  # None: one socket, a core for each vCPU
    cpus_max: int = 0  # vCPUs that it can be given while it runs; 0: as many as it has
    memory_max_bytes: int = 0  # memory that it can be given while it runs; 0: what it has
    pinning: Pinning | None = None
    dedicated: bool = False  # each vCPU has a CPU of its node for itself, in as few NUMA cells as can be
    hugepage_bytes: int = 0  # memory in pages of this size; 0: ordinary pages
    graphics: Graphics = Graphics.VNC
    video: Video = Video.AUTO
    watchdog: Watchdog = Watchdog.NONE
    devices: tuple[HostDevice, ...] = ()


class GuestCpu(Struct, frozen=True, kw_only=True):
    """A CPU by libvirt's names, which means the same on each node that has it."""

    model: str
    vendor: str = ""  # empty: any
    require: tuple[str, ...] = ()  # features beyond the model's
    disable: tuple[str, ...] = ()  # features of the model that are left out


class CellPart(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a VM has of one NUMA cell of its node."""

    cell: int
    cpus: str = ""  # that are its own, in the order of its vCPUs: 4,20,5,21
    memory_bytes: int = 0


class Platform(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was settled when the VM got its node, and stays wherever it goes."""

    machine: str = ""  # with its version; empty: the node's newest
    cpu: GuestCpu | None = None  # None: the node's choice (software emulation: the model that is fastest)
    host_cpu: str = ""  # with CPU model host: name of the node's CPU, as scheduler/traits.py has it
    devices: tuple[HeldDevice, ...] = ()  # of its node, for those that it asks for
    cells: tuple[CellPart, ...] = ()  # of its node, where its CPUs are dedicated
    near_cell: int | None = (
        None  # where its memory comes from first, as all its devices are there; None: anywhere
    )
