"""Volume: block storage that outlives a VM."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.ids import ImageId, NodeId, PoolId, SnapshotId, VmId, VolumeId
from corral.model.resource import Resource, Trouble


class VolumePhase(StrEnum):
    PENDING = "pending"  # no node makes it yet: waits for its VM's placement
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"  # its node can't make it, and says why; it goes on trying
    TRASHED = "trashed"  # kept as it is until it is restored, or its time is over
    DELETING = "deleting"


VOLUME_PHASE_NEXT: Final[Mapping[VolumePhase, frozenset[VolumePhase]]] = {
    VolumePhase.PENDING: frozenset(VolumePhase) - {VolumePhase.PENDING},
    VolumePhase.CREATING: frozenset(VolumePhase) - {VolumePhase.CREATING},
    VolumePhase.READY: frozenset({VolumePhase.FAILED, VolumePhase.TRASHED, VolumePhase.DELETING}),
    VolumePhase.TRASHED: frozenset({VolumePhase.READY, VolumePhase.FAILED, VolumePhase.DELETING}),
    VolumePhase.FAILED: frozenset(VolumePhase) - {VolumePhase.FAILED},
    VolumePhase.DELETING: frozenset(),
}


class ObjectState(StrEnum):
    """What a node sees of a volume or of an image in a pool."""

    ABSENT = "absent"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"


class ObjectReport(Struct, frozen=True, kw_only=True):
    """A volume or a copy of an image, as one node sees it."""

    state: ObjectState
    wanted: bool = True  # of the assignment that this answers: ABSENT is final only with wanted=False
    progress: float = 0.0  # 0 to 1
    pool: str = ""  # PoolId: of a volume that moves, where it is
    generation: int = 0  # of a volume that moves: of the assignment that this answers
    path: str = ""
    allocated_bytes: int = 0  # on disk, when it was made
    stint: int = 0  # VolumeAssignment.stint that this answers: an older one proves nothing
    size_bytes: int = 0  # of a volume, as its guest sees it; 0: not known
    trouble: Trouble | None = None


class VolumeSource(Struct, frozen=True, kw_only=True):
    """What a new volume begins as a copy of. Nothing may write to it until the copy is whole, unless it is a snapshot."""

    volume: VolumeId
    snapshot: SnapshotId | None = None  # inside that volume


class Trash(Struct, frozen=True, kw_only=True):
    """That a volume was deleted, and can be had back. Its name is free meanwhile."""

    name: str  # that it had
    at: float  # Unix time, seconds
    until: float  # then it goes for good


class FoundFile(Struct, frozen=True, kw_only=True):
    """A file that was there before Corral."""

    path: str
    format: str = "qcow2"
    shared: bool = False  # other nodes see it too


class VolumeSpec(Struct, frozen=True, kw_only=True):
    pool: PoolId
    size_bytes: int  # as the guest sees it
    image: ImageId | None = None  # thin on top of this image; None: empty
    source: VolumeSource | None = None  # begins as a copy of it; with an image: only what lies over the image
    node: NodeId | None = None  # make it here; None: where its VM is placed, or the scheduler says
    file: FoundFile | None = None  # lives in this file; `pool` then is where that lies, or empty
    erase: bool = False  # when it goes, a found file goes too
    vm: VmId | None = None  # goes with this VM when it is deleted without --keep-volumes
    trash: Trash | None = None  # in the trash; no VM can have it there
    wipe: bool = False  # overwrite it before it goes


class VolumeStatus(Struct, frozen=True, kw_only=True):
    phase: VolumePhase = VolumePhase.PENDING
    node: NodeId | None = None  # makes, holds (local pool) and deletes it
    pool: PoolId | None = None  # where its file is; None: in spec.pool
    moving: PoolId | None = None  # where else something of it may be: it is on its way, or being tidied up
    made: bool = False  # its node has made it once: a file that is missing now is lost, and not made anew
    report: ObjectReport | None = None
    moving_to: NodeId | None = None  # its VM is being live-migrated there, and it goes along
    traces: tuple[NodeId, ...] = ()  # other nodes that may have a file of it, sorted
    elsewhere: dict[str, ObjectReport] = {}  # by NodeId; what each of `traces` last said
    stint: int = 0  # counts changes of `moving_to` and `traces`
    trouble: Trouble | None = None
    since: float = 0.0


class Volume(Resource, frozen=True, kw_only=True, tag="Volume"):
    """Block storage in a pool."""

    PREFIX: ClassVar = "vol"
    PLURAL: ClassVar = "volumes"
    SUMMARY: ClassVar = "block storage that outlives a VM"

    spec: VolumeSpec
    status: VolumeStatus = VolumeStatus()

    @property
    def pool(self) -> PoolId:
        """Where its file is. spec.pool is where it shall be."""
        return self.status.pool or self.spec.pool

    @property
    def moves(self) -> bool:
        return self.pool != self.spec.pool or self.status.moving is not None
