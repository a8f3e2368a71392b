"""Link: what a server and an agent say to each other.

In this room   the messages of the stream, and the assignments: what a node is to do
Comes in       -
Goes out       AgentMessage and ServerMessage, carried by gRPC (proto/link.proto) or, in simulation, as they are
Always true    assignments are complete per object and level-triggered: the latest one says all. An object that
               is not mentioned is left alone; what must go is named with wanted=False.
Next door      server/hub.py derives assignments from the mirror; agent/reconcile.py carries them out
Start here     Assignment
"""

from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from corral.model.console import ConsoleKind
from corral.model.found import FoundAll, FoundReport
from corral.model.hardware import Bus, DiskTuning, Hardware, NicLimits, NicModel, Platform
from corral.model.ids import ImageId, NetworkId, NodeId, PoolId, SnapshotId, VmId, VolumeId
from corral.model.migration import MigrationHow
from corral.model.network import Segment, Subnet, tap_name
from corral.model.node import Inventory, NetworkOnNode, PoolOnNode
from corral.model.vm import CloudInit, RestartPolicy, VMReport
from corral.model.volume import ObjectReport


class ImageSource(Struct, frozen=True, kw_only=True):
    """An image, as a node needs to know it to fetch and check it."""

    image: ImageId
    sha256: str
    format: str
    size_bytes: int


class CopySource(Struct, frozen=True, kw_only=True):
    """A volume that another one is made from. Its file is POOL/volumes/ID.qcow2."""

    volume: VolumeId
    pool_path: str
    snapshot: str = ""  # inside it; empty: as it is, and nothing may write to it


class OtherPlace(Struct, frozen=True, kw_only=True):
    """The other one of the two pools of a volume that moves."""

    pool: PoolId
    pool_path: str


class ImageAssignment(Struct, frozen=True, kw_only=True, tag="image"):
    """A copy of an image that has to go from a pool. Fetching is part of making a volume."""

    image: ImageId
    pool: PoolId
    pool_path: str
    wanted: bool = False

    @property
    def key(self) -> str:
        return f"{self.image}@{self.pool}"


class VolumeAssignment(Struct, frozen=True, kw_only=True, tag="volume"):
    """A volume that this node has to make, or to delete. Its file is POOL/volumes/ID.qcow2."""

    volume: VolumeId
    pool: PoolId
    pool_path: str
    size_bytes: int
    image: ImageSource | None = None
    source: CopySource | None = None  # begins as a copy of it: of all of it, or of what lies over the image
    grows: bool = True  # False: a VM has it, whose node makes it larger
    path: str = ""  # of its file, where that was there before Corral: it is never made
    made: bool = False  # it was there before: if it is not now, say so instead of making it anew
    wanted: bool = True
    wipe: bool = False  # overwrite it before it is deleted
    other: OtherPlace | None = None  # on its way: where it is, or something of it may be, besides here
    generation: int = 0  # on the way: of the volume; the report repeats it
    stint: int = 0  # VolumeStatus.stint

    @property
    def key(self) -> str:
        return self.volume


class DiskAssignment(Struct, frozen=True, kw_only=True):
    volume: VolumeId
    path: str  # of the file
    size_bytes: int = 0  # as the guest shall see it; 0: as it is
    format: str = "qcow2"
    bus: Bus = Bus.VIRTIO
    tuning: DiskTuning = DiskTuning()
    shared: bool = False  # other nodes see the file too


class CdAssignment(Struct, frozen=True, kw_only=True):
    """A CD drive."""

    disk: DiskAssignment | None = None  # None: empty
    bus: str = "scsi"


class NicAssignment(Struct, frozen=True, kw_only=True):
    network: NetworkId
    bridge: str
    mac: str
    address: str = ""
    mtu: int = 1500
    model: NicModel = NicModel.VIRTIO
    queues: int = 1
    limits: NicLimits = NicLimits()

    @property
    def tap(self) -> str:
        return tap_name(self.mac)


class VmRole(StrEnum):
    """What a node is to a VM."""

    OWNER = "owner"  # runs it, if it is to run
    SOURCE = "source"  # owner that is to migrate it away; must never start it by itself
    TARGET = "target"  # gets ready to receive it; must never start it by itself
    NONE = "none"  # must not have it: stop it, undefine it, forget it


class MigrateAssignment(Struct, frozen=True, kw_only=True):
    """For the source: migrate now. For the target: be ready for it."""

    wish: str
    peer: NodeId
    peer_address: str  # where the other node's libvirt is reached
    go: bool = False  # source: start; until then, say how fast the guest writes
    cancel: bool = False
    how: MigrationHow = MigrationHow()


class SnapshotAssignment(Struct, frozen=True, kw_only=True):
    """A snapshot to take, to drop, or to go back to."""

    snapshot: SnapshotId
    disks: tuple[DiskAssignment, ...]  # that it is of; the first one also holds the memory
    memory: bool = False
    freeze: bool = False
    wanted: bool = True


class RevertAssignment(Struct, frozen=True, kw_only=True):
    """Go back to a snapshot, once."""

    wish: str
    to: SnapshotAssignment


class VmAssignment(Struct, frozen=True, kw_only=True, tag="vm"):
    """All that a node has to know to run a VM."""

    vm: VmId
    name: str
    role: VmRole
    generation: int
    stint: int = 0  # VMStatus.stint; VMReport.stint repeats it, also when nothing else changes
    boot: int = 0
    running: bool = True
    cpus: int = 1
    memory_bytes: int = 0
    hardware: Hardware = Hardware()
    platform: Platform = Platform()
    disks: tuple[DiskAssignment, ...] = ()
    nics: tuple[NicAssignment, ...] = ()
    cloud_init: CloudInit = CloudInit()
    stop_timeout_s: float = 90.0
    restart: RestartPolicy = RestartPolicy.ON_FAILURE
    migrate: MigrateAssignment | None = None
    snapshots: tuple[SnapshotAssignment, ...] = ()  # owner: to take or to drop; others are left alone
    revert: RevertAssignment | None = None  # owner: not carried out yet, as far as the server knows
    cd: CdAssignment | None = None
    paused: bool = False
    turn: int = 0
    saved: bool = False  # when not running: keep its memory on disk
    forced: bool = False  # unplugging may end in a power cycle
    base_xml: str = ""  # VMSpec.base_xml
    settles: str = ""  # VMSpec.settles
    adopt: bool = False  # its domain is there, without Corral's mark: mark it
    keep: bool = False  # with role NONE: take the mark off, and leave all else as it is
    autostart: bool = False  # with keep: libvirtd is to start it with the host
    adopted: bool = False  # its domain was there before Corral: what it boots with is its own

    @property
    def key(self) -> str:
        return self.vm


class PoolAssignment(Struct, frozen=True, kw_only=True, tag="pool"):
    """A pool to open (make the directory, look at its room) on this node."""

    pool: PoolId
    path: str
    shared: bool = False
    marker: str = ""  # what its marker file has to say; empty: it was never open, and gets one
    wanted: bool = True

    @property
    def key(self) -> str:
        return self.pool


class Port(Struct, frozen=True, kw_only=True):
    """A NIC of a VM of this node."""

    mac: str
    address: str  # empty: not managed
    name: str
    anti_spoofing: bool = True

    @property
    def tap(self) -> str:
        return tap_name(self.mac)


class HostName(Struct, frozen=True, kw_only=True):
    """A VM's name in the network's domain."""

    name: str
    address: str


class Forward(Struct, frozen=True, kw_only=True):
    """What comes to this port of the node goes on to a VM of the node."""

    protocol: str
    port: int
    address: str
    to_port: int


class NetworkAssignment(Struct, frozen=True, kw_only=True, tag="network"):
    """A network to serve on this node, with the addresses of the node's own VMs for DHCP."""

    network: NetworkId
    bridge: str
    name: str = ""  # for people who look at the host
    generation: int = 0  # of the network's spec; NetworkOnNode.generation answers it
    segment: Segment = Segment.BRIDGE
    uplink: str = ""
    vlan: int = 0
    mtu: int = 1500
    subnet: Subnet | None = None
    domain: str = ""
    forwarders: tuple[str, ...] = ()
    names: tuple[HostName, ...] = ()  # of all VMs that can be reached on it
    ports: tuple[Port, ...] = ()
    forwards: tuple[Forward, ...] = ()
    wanted: bool = True

    @property
    def key(self) -> str:
        return self.network

    @property
    def own(self) -> bool:
        """Whether the bridge is Corral's to make."""
        return self.segment is not Segment.BRIDGE


Assignment = PoolAssignment | NetworkAssignment | VolumeAssignment | ImageAssignment | VmAssignment


# ---- agent to server


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """First message of a stream: who it is, and what it knows already, so that only the rest is sent."""

    node: NodeId
    agent_version: str
    assigned: dict[str, str] = {}  # digest by key of each assignment it holds


class Report(Struct, frozen=True, kw_only=True, tag="report"):
    """What changed on the node since the last report. All fields are differences."""

    seq: int = 0
    inventory: Inventory | None = None
    pools: dict[str, PoolOnNode] = {}
    networks: dict[str, NetworkOnNode] = {}
    volumes: dict[str, ObjectReport] = {}
    images: dict[str, ObjectReport] = {}  # by ImageAssignment.key
    vms: dict[str, VMReport] = {}
    found: dict[str, FoundReport] = {}  # by UUID: domains that are not Corral's
    found_all: FoundAll | None = None


class Facts(Struct, frozen=True, kw_only=True, tag="facts"):
    """Fast-moving figures, never stored. Also the sign of life. Rows are floats in the order of *_COLUMNS."""

    at: float  # Unix time, seconds, by the node's clock
    node: tuple[float, ...] = ()
    vm_ids: tuple[VmId, ...] = ()
    vms: tuple[tuple[float, ...], ...] = ()


NODE_COLUMNS: Final = (
    "cpu_share",  # 0 to 1 of all CPUs, over the last interval
    "memory_used_bytes",
    "psi_cpu",  # share of the last 10 s in which some task waited, 0 to 1
    "psi_memory",
    "psi_io",
    "load1",
)
VM_COLUMNS: Final = (
    "cpu_share",  # CPUs in use, 0 to the number of vCPUs
    "memory_bytes",  # resident on the host
    "block_read_bytes_s",
    "block_write_bytes_s",
    "net_in_bytes_s",
    "net_out_bytes_s",
    "dirty_bytes_s",  # memory that the guest writes to; -1: not measured yet
)

AgentMessage = Hello | Report | Facts


# ---- server to agent


class Welcome(Struct, frozen=True, kw_only=True, tag="welcome"):
    """Answer to Hello: what the server holds of this node's reports, so that only the rest is sent."""

    reported: dict[str, str] = {}  # digest by report_key() of each report it holds
    facts_interval_s: float = 2.0


class Assign(Struct, frozen=True, kw_only=True, tag="assign"):
    """Assignments that are new or changed, and keys to forget (nothing is done about those)."""

    items: tuple[Assignment, ...] = ()
    forget: tuple[str, ...] = ()


class Ack(Struct, frozen=True, kw_only=True, tag="ack"):
    """The report with this number is committed."""

    seq: int


class OpenConsole(Struct, frozen=True, kw_only=True, tag="console"):
    """Someone wants a console of a VM: open a console stream for this session."""

    session: str
    vm: VmId
    kind: ConsoleKind = ConsoleKind.SERIAL
    replay_bytes: int = 0  # serial: begin with so much of what the guest printed before


class TakeScreenshot(Struct, frozen=True, kw_only=True, tag="screenshot"):
    """Someone wants to see a VM's screen: open a console stream for this session, send a PNG, close it."""

    session: str
    vm: VmId


class SendDisk(Struct, frozen=True, kw_only=True, tag="send-disk"):
    """Someone wants a disk of a snapshot as a file: open a console stream for this session and send it there."""

    session: str
    vm: VmId
    volume: VolumeId
    pool_path: str
    snapshot: str
    format: str  # qcow2 or vmdk


ServerMessage = Welcome | Assign | Ack | OpenConsole | TakeScreenshot | SendDisk

_AGENT: Final[msgspec.json.Decoder[AgentMessage]] = msgspec.json.Decoder(AgentMessage)
_SERVER: Final[msgspec.json.Decoder[ServerMessage]] = msgspec.json.Decoder(ServerMessage)


def encode_message(message: AgentMessage | ServerMessage) -> bytes:
    return msgspec.json.encode(message)


def decode_agent_message(document: bytes) -> AgentMessage:
    return _AGENT.decode(document)


def decode_server_message(document: bytes) -> ServerMessage:
    return _SERVER.decode(document)


def digest(document: Struct) -> str:
    """64 bits that tell whether two sides hold the same document."""
    return blake2b(msgspec.json.encode(document, order="deterministic"), digest_size=8).hexdigest()


def report_digests(report: Report) -> dict[str, str]:
    """Digest by key ("vm/vm-01J…", "inventory/") of each part of a report."""
    parts: dict[str, Struct] = {}
    if report.inventory is not None:
        parts["inventory/"] = report.inventory
    if report.found_all is not None:
        parts["found_all/"] = report.found_all
    for field in ("pools", "networks", "volumes", "images", "vms", "found"):
        parts |= {f"{field}/{key}": part for key, part in getattr(report, field).items()}
    return {key: digest(part) for key, part in parts.items()}
