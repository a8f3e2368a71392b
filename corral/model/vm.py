"""VM: what a user asks for, what runs, and what is on the way between the two.

In this room   VM with its spec and status; phases; what nodes report about it; migrations
Comes in       -
Goes out       types for services (write spec), the VM controller (writes status), agents (write reports)
Always true    status.node is the one node that may run it; it changes only when that node gave the VM up
               or libvirt handed it over. Every node that may hold a trace of it is in status.traces.
Next door      migration.py has what is said of migrations; controllers/vm.py moves it along; model/link.py is what agents get told
Start here     VM
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.domain import Drift
from corral.model.hardware import Bus, DiskTuning, Hardware, NicLimits, NicModel, Platform
from corral.model.ids import GroupId, ImageId, NetworkId, NodeId, SnapshotId, VolumeId
from corral.model.migration import Migration as Migration
from corral.model.migration import MigrationPolicy as MigrationPolicy
from corral.model.migration import MigrationReport as MigrationReport
from corral.model.migration import MigrationResult as MigrationResult
from corral.model.migration import MigrationStage as MigrationStage
from corral.model.migration import MigrationWish as MigrationWish
from corral.model.resource import Resource, Trouble
from corral.model.snapshot import RevertReport, RevertWish, SnapshotReport

DEVICE_KEY_LENGTH: Final = 20  # as much as a virtio disk's serial number holds


class VMPhase(StrEnum):
    PENDING = "pending"  # no node has been found for it yet
    PREPARING = "preparing"  # has a node, which makes its disks and networks ready
    STARTING = "starting"
    RUNNING = "running"
    MIGRATING = "migrating"  # runs, and is moving to another node
    PAUSED = "paused"
    SUSPENDED = "suspended"  # stopped, with its memory kept on its node's disk
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"  # its node can't do what is wanted, and says why
    UNKNOWN = "unknown"  # its node is lost: it may still be running there
    DELETING = "deleting"


_PLACED = frozenset(VMPhase) - {VMPhase.PENDING}
VM_PHASE_NEXT: Final[Mapping[VMPhase, frozenset[VMPhase]]] = {
    **{phase: _PLACED - {phase} for phase in VMPhase},  # what its node reports decides
    VMPhase.DELETING: frozenset(),  # there is no way back
}  # and no way back to pending: a VM that has a node keeps it until it migrates or goes


class RestartPolicy(StrEnum):
    """What the node does when a VM that should run has stopped by itself."""

    NEVER = "never"
    ON_FAILURE = "on-failure"  # QEMU crashed or the host went down; not when the guest shut down
    ALWAYS = "always"


class DomainState(StrEnum):
    """What a node sees of a VM."""

    ABSENT = "absent"  # no domain, and nothing left of it
    STOPPED = "stopped"  # defined, not running
    RUNNING = "running"
    PAUSED = "paused"
    INCOMING = "incoming"  # receiving a live migration: nothing runs, or (post-copy) not all of it is here


class StopReason(StrEnum):
    """Why a domain that ran is not running."""

    NONE = ""  # never ran, or runs
    ASKED = "asked"  # Corral stopped it
    SHUTDOWN = "shutdown"  # the guest shut itself down
    DESTROYED = "destroyed"  # someone on the host ended it
    CRASHED = "crashed"  # QEMU died
    FAILED = "failed"  # it could not be started
    HOST = "host"  # the host or libvirtd restarted


class CloudInit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NoCloud data for the guest's first boot; texts as cloud-init takes them."""

    user_data: str = ""
    meta_data: str = ""  # empty: instance-id and local-hostname from the VM
    network_config: str = ""  # empty: DHCP on each NIC


class Disk(Struct, frozen=True, kw_only=True):
    """A volume as the guest sees it. The first disk is the one it boots from."""

    volume: VolumeId
    bus: Bus = Bus.VIRTIO
    tuning: DiskTuning = DiskTuning()


class Nic(Struct, frozen=True, kw_only=True):
    """A port on a network."""

    network: NetworkId
    mac: str
    address: str = ""  # IPv4 address that DHCP gives it; empty: not managed
    model: NicModel = NicModel.VIRTIO
    queues: int = 1  # pairs of them, so that several vCPUs can work on its packets; virtio only
    limits: NicLimits = NicLimits()
    anti_spoofing: bool = True  # False: a router, that sends for others


class Cd(Struct, frozen=True, kw_only=True):
    """A CD drive, and what is in it."""

    volume: VolumeId | None = None  # None: empty
    image: ImageId | None = None  # that the volume was made from for this drive: it goes when it is ejected
    bus: str = "scsi"


class Leaving(Struct, frozen=True, kw_only=True):
    """A disk or NIC that the VM is to have no more, and that its guest may still hold: nobody else may have it yet."""

    generation: int  # that is without it
    volume: VolumeId | None = None
    mac: str = ""
    discard: bool = False  # the volume was made for this VM's CD drive: delete it

    @property
    def key(self) -> str:
        """What a node calls it, in Pending.key."""
        return device_key(self.volume) if self.volume else self.mac


class Undo(Struct, frozen=True, kw_only=True):
    """How the VM was before a change, so that one which its node refuses can be taken back."""

    operation: str
    generation: int  # that has the change
    cpus: int
    memory_bytes: int
    hardware: Hardware = Hardware()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cd: Cd | None = None
    leaving: tuple[Leaving, ...] = ()
    made: tuple[str, ...] = ()  # ids of volumes and ports that exist for the change only


class VMSpec(Struct, frozen=True, kw_only=True):
    cpus: int
    memory_bytes: int
    hardware: Hardware = Hardware()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cloud_init: CloudInit = CloudInit()
    running: bool = True
    boot: int = 1  # counts requests to (re)start: a node that has not carried out this one yet does it
    stop_timeout_s: float = 90.0  # how long the guest may take to shut down before it is forced
    restart: RestartPolicy = RestartPolicy.ON_FAILURE
    protected: bool = False
    policy: str = ""  # name of the policy by which its node is chosen; empty: `default`, or balance
    groups: tuple[GroupId, ...] = ()  # placement groups whose rules it keeps
    profile: str = (
        ""  # that it was made with; what it chose stands here, so that a later change of it changes nothing
    )
    node: NodeId | None = None  # run here and nowhere else
    migration: MigrationWish | None = None
    snapshot: SnapshotId | None = None  # that its disks stand on: the newest, or the one it was reverted to
    revert: RevertWish | None = None
    migration_policy: MigrationPolicy = MigrationPolicy()
    cd: Cd | None = None
    paused: bool = False  # its vCPUs stand still
    turn: int = 0  # counts requests to pause or resume: a node that has not carried out this one yet does it
    saved: bool = False  # when not running: its memory is kept on disk, and it goes on from there
    forced: bool = False  # a guest that does not let go of a device loses its power
    leaving: tuple[Leaving, ...] = ()
    undo: Undo | None = None  # None: the last change was taken
    base_xml: str = (
        ""  # its domain's own definition, kept but for what the spec says; empty: Corral builds it
    )
    adoption: int = 0  # VMStatus.stint in which its node takes its domain over; 0: Corral made it
    autostart: bool = False  # libvirtd started its domain with the host, and will again once it is released
    settles: str = ""  # Drift.digest that a user settled: that one may be overwritten
    trash_s: float = 0.0  # when it goes, its volumes can be had back for so long; 0: they go with it
    released: bool = False  # when it goes, its domain stays, without Corral

    @property
    def volumes(self) -> tuple[VolumeId, ...]:
        """All that it is to have in its drives."""
        medium = (self.cd.volume,) if self.cd and self.cd.volume else ()
        return (*(disk.volume for disk in self.disks), *medium)

    @property
    def leaving_volumes(self) -> tuple[VolumeId, ...]:
        return tuple(entry.volume for entry in self.leaving if entry.volume)


def device_key(volume: str) -> str:
    """A disk as its guest and its node know it: the end of the volume's id."""
    return volume[-DEVICE_KEY_LENGTH:]


class Guest(Struct, frozen=True, kw_only=True):
    """What the guest says of itself through its agent."""

    up: bool = False
    hostname: str = ""
    addresses: tuple[str, ...] = ()


class Pending(Struct, frozen=True, kw_only=True):
    """A change that the running domain does not have yet."""

    what: str  # cpus, memory, disk, nic, cd, name, hardware
    key: str = ""  # of a disk: device_key(volume); of a NIC: its MAC address
    text: str = ""
    guest: bool = False  # True: waits for the guest; False: comes when the VM is stopped and started


class Refusal(Struct, frozen=True, kw_only=True):
    """A change that could not be made while the VM runs, and was taken back there."""

    generation: int
    trouble: Trouble


class VMReport(Struct, frozen=True, kw_only=True):
    """A VM as one node sees it. Written by that node's agent, for as long as the node is in traces."""

    state: DomainState
    stint: int = 0  # VmAssignment.stint that this answers: an older one proves nothing
    role: str = ""  # VmAssignment.role that it acts in
    generation: int = 0  # of the definition in place; 0: none
    boot: int = 0  # the last VMSpec.boot that this node carried out
    reason: StopReason = StopReason.NONE
    step: str = ""  # what the agent is doing now: "waiting for volumes", "starting"
    started_at: float = 0.0  # Unix time, seconds; of the present run
    guest: Guest = Guest()
    migration: MigrationReport | None = None
    trouble: Trouble | None = None  # of the last step, None when it went well
    restarts: int = 0  # by restart policy, since the last boot
    drift: Drift | None = None  # what somebody else changed in the domain's definition
    snapshots: dict[str, SnapshotReport] = {}  # by SnapshotId; those of the assignment
    revert: RevertReport | None = None
    lost: bool = False  # half of a guest: its migration broke in post-copy
    applied: int = 0  # generation that the running domain was brought to, as far as that goes while it runs
    pending: tuple[Pending, ...] = ()
    refusal: Refusal | None = None
    turn: int = 0  # the last VMSpec.turn that this node carried out
    saved: bool = False  # its memory is on disk


class TakenBack(Struct, frozen=True, kw_only=True):
    """The last change that was refused: the VM is as it was before."""

    operation: str
    trouble: Trouble


class VMStatus(Struct, frozen=True, kw_only=True):
    phase: VMPhase = VMPhase.PENDING
    node: NodeId | None = None  # the one node that may run it; its capacity is claimed there
    stint: int = 0  # counts changes of who is what to it (owner, target, …)
    traces: tuple[NodeId, ...] = ()  # nodes that may hold something of it, sorted
    reports: dict[str, VMReport] = {}  # by NodeId; what each of `traces` last said
    platform: Platform = Platform()  # pinned when it got its node
    why_here: str = ""  # by which terms its node was chosen, and what came next
    migration: Migration | None = None
    last_migration: MigrationResult | None = None
    last_revert: RevertReport | None = None
    taken_back: TakenBack | None = None
    guest: Guest = Guest()
    trouble: Trouble | None = None  # what stands in the way
    since: float = 0.0  # of the phase; Unix time, seconds


class VM(Resource, frozen=True, kw_only=True, tag="VM"):
    """A virtual machine."""

    PREFIX: ClassVar = "vm"
    PLURAL: ClassVar = "vms"
    SUMMARY: ClassVar = "a virtual machine"

    spec: VMSpec
    status: VMStatus = VMStatus()

    @property
    def claimed_on(self) -> tuple[NodeId, ...]:
        """Nodes whose capacity it holds: its own, and the one it migrates to."""
        target = self.status.migration.target if self.status.migration else None
        return tuple(n for n in (self.status.node, target) if n is not None)

    @property
    def report(self) -> VMReport | None:
        """What its own node says of it."""
        return self.status.reports.get(self.status.node) if self.status.node else None
