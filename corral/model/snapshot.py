"""Snapshot: a VM's disks, and its memory if that was asked for, as they were at one moment.

In this room   Snapshot with its spec and status; what nodes report of it; wishes to go back to one
Always true    a snapshot lives inside the volumes it is of (docs/decisions): it goes when they go, and a volume's file
               has the same path before and after. `parent` is the snapshot that the disks stood on when it was taken.
Next door      controllers/snapshot.py follows it; agent/snapshots.py plans what a node does
Start here     Snapshot
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.hardware import Hardware
from corral.model.ids import SnapshotId, VmId, VolumeId
from corral.model.resource import Resource, Trouble


class SnapshotPhase(StrEnum):
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"  # it could not be taken; it is not tried again, unless it is only there to be copied
    DELETING = "deleting"


SNAPSHOT_PHASE_NEXT: Final[Mapping[SnapshotPhase, frozenset[SnapshotPhase]]] = {
    SnapshotPhase.CREATING: frozenset({SnapshotPhase.READY, SnapshotPhase.FAILED, SnapshotPhase.DELETING}),
    SnapshotPhase.READY: frozenset({SnapshotPhase.DELETING}),
    SnapshotPhase.FAILED: frozenset(
        {SnapshotPhase.CREATING, SnapshotPhase.DELETING}
    ),  # again, if only to be copied
    SnapshotPhase.DELETING: frozenset(),
}


class SnapshotState(StrEnum):
    """What a node sees of a snapshot."""

    ABSENT = "absent"  # on none of the disks
    PARTIAL = "partial"  # on some of them: somebody was interrupted
    READY = "ready"
    FAILED = "failed"


class Beside(StrEnum):
    """State of a machine that is on none of its disks. Saved memory brings it along; disks alone do not."""

    VARIABLES = "uefi-variables"
    TPM = "tpm-state"


class SnapshotReport(Struct, frozen=True, kw_only=True):
    """A snapshot that a node takes or drops, as it sees it."""

    state: SnapshotState
    wanted: bool = True  # of the assignment that this answers: ABSENT is final only with wanted=False
    taken_at: float = 0.0  # Unix time, seconds
    frozen: bool = False  # the guest had its file systems at rest
    memory_bytes: int = 0  # of saved memory
    trouble: Trouble | None = None


class RevertWish(Struct, frozen=True, kw_only=True):
    """To go back to a snapshot. A new wish replaces an older one."""

    id: str  # of the operation that follows it
    snapshot: SnapshotId


class RevertReport(Struct, frozen=True, kw_only=True):
    """How a wish ended: done, or failed without harm or with its memory lost, as the trouble says."""

    wish: str
    state: str  # done, failed
    trouble: Trouble | None = None


class SnapshotSpec(Struct, frozen=True, kw_only=True):
    vm: VmId
    disks: tuple[VolumeId, ...]  # that it is of; the first one also holds the memory
    memory: bool = False
    freeze: bool = True  # have the guest's agent put file systems to rest, if it is there
    parent: SnapshotId | None = None
    description: str = ""
    cpus: int = 0  # hardware of the VM at that time: memory fits into no other
    memory_bytes: int = 0
    nics: int = 0
    sizes_bytes: tuple[int, ...] = ()  # of the disks
    hardware: Hardware = Hardware()
    left_out: tuple[Beside, ...] = ()  # what the VM has, and keeps as it is then when its disks are put back
    copy_for: VmId | None = None  # taken to copy from for this new VM: goes when that is done


class SnapshotStatus(Struct, frozen=True, kw_only=True):
    phase: SnapshotPhase = SnapshotPhase.CREATING
    taken_at: float = 0.0
    frozen: bool = False
    memory_bytes: int = 0  # that the saved memory takes
    trouble: Trouble | None = None
    since: float = 0.0


class Snapshot(Resource, frozen=True, kw_only=True, tag="Snapshot"):
    """Named VM.NAME."""

    PREFIX: ClassVar = "snap"
    PLURAL: ClassVar = "snapshots"
    SUMMARY: ClassVar = "a VM's disks, and memory, at one moment"

    spec: SnapshotSpec
    status: SnapshotStatus = SnapshotStatus()
