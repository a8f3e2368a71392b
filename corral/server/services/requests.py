"""Requests: the bodies that the API takes. Unknown fields are refused; sizes may be written like 4GiB."""

from msgspec import UNSET, Struct, UnsetType

from corral.model.console import ConsoleKind
from corral.model.group import PlacementGroupSpec
from corral.model.hardware import DiskLimits, NicLimits
from corral.model.migration import MigrationPolicy
from corral.model.network import Segment, Subnet
from corral.model.policy import SchedulingPolicySpec
from corral.model.profile import DiskChoice, HardwareChoice, NicChoice, Size, VMProfileSpec
from corral.model.rebalance import Goal
from corral.model.token import Role
from corral.model.vm import CloudInit, RestartPolicy


class NewDisk(DiskChoice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A disk of a new VM: a new volume, or one that exists."""

    volume: str = ""  # an existing volume; then nothing else is given
    image: str = ""  # a new volume on top of this image
    size: Size = 0  # of the new volume; 0: as large as the image
    pool: str = ""  # where the new volume lives; empty: the only pool, or the one called default


class NewNic(NicChoice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    network: str
    mac: str = ""  # empty: made up
    address: str = ""  # empty: the next free one of the subnet
    anti_spoofing: bool = True  # false: a router, that sends for others


class CreateVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms."""

    name: str
    project: str = "default"
    labels: dict[str, str] = {}
    profile: str = ""  # whose choices count where this body makes none; also linux and windows
    cpus: int | None = None  # what is not chosen comes from the profile, then from the guest's preset
    memory: Size | None = None
    hardware: HardwareChoice = HardwareChoice()
    disks: tuple[NewDisk, ...] = ()
    nics: tuple[NewNic, ...] = ()
    cloud_init: CloudInit | None = None
    running: bool = True
    restart: RestartPolicy | None = None
    protected: bool = False
    stop_timeout_s: float | None = None
    policy: str = ""  # by which its node is chosen; empty: the one called default, or balance
    groups: tuple[str, ...] = ()  # placement groups whose rules it keeps
    node: str = ""  # run on this node only
    migration_policy: MigrationPolicy = MigrationPolicy()


class CreateProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /profiles."""

    name: str
    labels: dict[str, str] = {}
    spec: VMProfileSpec = VMProfileSpec()


class UpdateProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /profiles/{profile}; spec replaces all of it."""

    labels: dict[str, str] | UnsetType = UNSET
    spec: VMProfileSpec | UnsetType = UNSET


class CreatePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /policies."""

    name: str
    labels: dict[str, str] = {}
    spec: SchedulingPolicySpec = SchedulingPolicySpec()


class UpdatePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /policies/{policy}; spec replaces all of it."""

    labels: dict[str, str] | UnsetType = UNSET
    spec: SchedulingPolicySpec | UnsetType = UNSET


class CreateGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /groups."""

    name: str
    labels: dict[str, str] = {}
    spec: PlacementGroupSpec = PlacementGroupSpec()


class UpdateGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /groups/{group}; spec replaces all of it."""

    labels: dict[str, str] | UnsetType = UNSET
    spec: PlacementGroupSpec | UnsetType = UNSET


class UpdateVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /vms/{vm}; what is not given stays as it is. labels replaces all labels."""

    name: str | UnsetType = UNSET
    cpus: int | UnsetType = UNSET
    memory: Size | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    restart: RestartPolicy | UnsetType = UNSET
    stop_timeout_s: float | UnsetType = UNSET
    policy: str | UnsetType = UNSET  # counts when it is placed or moved next
    groups: tuple[str, ...] | UnsetType = UNSET  # all of them; likewise
    migration_policy: MigrationPolicy | UnsetType = UNSET


class LimitDisk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /vms/{vm}/disks/{volume}: all of its limits, in the place of those that it had."""

    limits: DiskLimits


class LimitNic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /vms/{vm}/nics/{nic}: all of its limits, in the place of those that it had."""

    limits: NicLimits


class InsertMedium(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/insert: an image, or an existing volume."""

    image: str = ""
    volume: str = ""
    pool: str = ""  # where the image's copy lives; empty: where the VM's first disk is
    force: bool = False  # although the guest has locked the drive


class SettleDrift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/drift."""

    settle: str  # accept: the VM takes it over; revert: the definition becomes the VM's again
    digest: str = ""  # of the drift that was looked at; empty: whichever there is


class AdoptDomain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /found-domains/{found}/adopt."""

    name: str = ""  # of the VM; empty: as the domain is called, in letters that a VM may have
    labels: dict[str, str] = {}


class MigrateVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/migrate."""

    target: str = ""  # node; empty: the scheduler chooses


class CreateSnapshot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/snapshots."""

    name: str  # after the VM's: VM.NAME
    labels: dict[str, str] = {}
    memory: bool = False  # of a running VM: it goes on from there when it is reverted
    freeze: bool = True  # have the guest's agent put file systems to rest, if it is there
    description: str = ""


class CreateConsoleTicket(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/console-tickets."""

    kind: ConsoleKind = ConsoleKind.SERIAL


class CloneVM(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/clone."""

    name: str  # of the new VM
    full: bool = (
        False  # copy everything; else it stands on the same image, and only what was written is copied
    )
    snapshot: str = ""  # copy this one of the VM; empty: the VM as it is now
    running: bool = True
    labels: dict[str, str] | None = None  # None: the same
    pool: str = ""  # where its volumes live; empty: where those of the VM do
    node: str = ""  # run on this node only


class CreateVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /volumes."""

    name: str
    project: str = "default"
    labels: dict[str, str] = {}
    pool: str = ""
    size: Size = 0
    image: str = ""
    node: str = ""  # local pools: where; empty: the scheduler chooses


class CloneVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /volumes/{volume}/clone."""

    name: str
    labels: dict[str, str] = {}
    pool: str = ""  # empty: the pool of what it copies
    size: Size = 0  # 0: as large as what it copies
    linked: bool = False  # keeps standing on the image; only what was written over it is copied


class MoveVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /volumes/{volume}/move."""

    pool: str


class RestoreVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /volumes/{volume}/restore."""

    name: str = ""  # empty: the one that it had


class ResizeVolume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /volumes/{vol}/resize."""

    size: Size


class CreateImage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /images; the bytes follow by PUT /images/{image}/content, or are fetched from a URL."""

    name: str
    project: str = "default"
    labels: dict[str, str] = {}
    sha256: str = ""
    format: str = ""
    os: str = ""
    url: str = ""  # the server fetches the bytes from there; http or https


class CreatePool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /pools."""

    name: str
    labels: dict[str, str] = {}
    path: str
    shared: bool = False
    nodes: tuple[str, ...] = ()  # empty: every node


class CreateNetwork(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /networks."""

    name: str
    labels: dict[str, str] = {}
    segment: Segment = Segment.BRIDGE
    bridge: str = ""  # segment bridge: which one
    uplink: str = ""  # segment vlan: the link of the nodes that carries it
    vlan: int = 0  # segment vlan: its number
    subnet: Subnet | None = None
    domain: str | None = (
        None  # of the VMs' names; left out: NAME.internal where Corral makes the bridge, else no DNS
    )
    forwarders: tuple[str, ...] = ()  # who is asked other names; none: as the node does it
    mtu: int = 1500
    anti_spoofing: bool = True
    nodes: tuple[str, ...] = ()


class UpdateSubnet(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can change of a network's addresses; what is not given stays as it is."""

    cidr: str | UnsetType = UNSET  # as it is
    first: str | UnsetType = UNSET  # of the range to give out
    last: str | UnsetType = UNSET
    gateway: str | UnsetType = UNSET
    dns: tuple[str, ...] | UnsetType = UNSET
    dhcp: bool | UnsetType = UNSET
    server: str | UnsetType = UNSET


class UpdateNetwork(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /networks/{net}; what is not given stays as it is. labels replaces all labels."""

    labels: dict[str, str] | UnsetType = UNSET
    subnet: UpdateSubnet | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    forwarders: tuple[str, ...] | UnsetType = UNSET
    mtu: int | UnsetType = UNSET
    anti_spoofing: bool | UnsetType = UNSET


class AddForward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /networks/{net}/forwards."""

    port: int  # of the node that runs the VM
    vm: str
    to_port: int = 0  # of the VM; 0: the same
    protocol: str = "tcp"


class SetAddress(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /vms/{vm}/address."""

    network: str = ""  # empty: the only one that the VM is on
    address: str = ""  # empty: the next free one


class UpdateNode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /nodes/{node}."""

    labels: dict[str, str] | UnsetType = UNSET
    cordoned: bool | UnsetType = UNSET
    reserve_memory: Size | UnsetType = UNSET
    cpu_overcommit: float | UnsetType = UNSET
    memory_overcommit: float | UnsetType = UNSET
    reserve_cpus: int | UnsetType = UNSET
    dedicated_cpus: str | UnsetType = UNSET  # a set like 4-15; empty: none
    rack: str | UnsetType = UNSET
    iops: int | UnsetType = UNSET
    io_overcommit: float | UnsetType = UNSET
    network_mbit: int | UnsetType = UNSET
    network_overcommit: float | UnsetType = UNSET
    power_watts: int | UnsetType = UNSET
    idle_watts: int | UnsetType = UNSET


class UpdateLabels(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH on kinds of which nothing else can change yet."""

    labels: dict[str, str]


class CreateToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /tokens."""

    name: str
    role: Role = Role.VIEWER
    ttl_s: float | None = None  # seconds until it expires; None: never


class CreateJoinToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /nodes/join-tokens."""

    ttl_s: float = 3600.0


class AskRebalance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /rebalance and POST /rebalance/plan."""

    goal: Goal = Goal.BALANCE
    nodes: tuple[str, ...] = ()  # drain: names or ids of the nodes to be emptied
    moves_max: int = 100
    bytes_max: Size = 0  # that all migrations send; 0: no limit
    parallel: int = 2  # migrations side by side
