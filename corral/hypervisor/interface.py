"""Hypervisor: what an agent needs of the thing that runs VMs.

In this room   the driver interface and its values
Comes in       DomainWish: a VM as it shall be defined on this host
Goes out       Domain: a VM as it is; DomainEvent: something changed, look again
Always true    each call may be repeated: what is already so is no error. A call's return is no proof;
               look() is. No call blocks the event loop, or another VM's calls.
Next door      libvirt/ (real), simulated.py (seeded); tests/contract holds both to it
Start here     Hypervisor
"""

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Final, Protocol, Self

from msgspec import Struct

from corral.errors import CorralError
from corral.model.console import ConsoleKind
from corral.model.domain import Drift
from corral.model.found import FoundReport
from corral.model.hardware import Hardware, Platform
from corral.model.ids import VmId, VolumeId
from corral.model.link import CdAssignment, DiskAssignment, NicAssignment, SnapshotAssignment
from corral.model.migration import MigrationFigures, MigrationHow
from corral.model.node import Inventory
from corral.model.snapshot import SnapshotReport
from corral.model.vm import DomainState, Guest, Pending, StopReason


class HypervisorFailed(CorralError):
    """The hypervisor refused, failed or did not answer; trying again may help."""

    code = "hypervisor.failed"
    status = 502
    retryable = True


class HotplugRefused(HypervisorFailed):
    """QEMU refused the change, or the guest ignored it; the running domain is as it was before."""

    code = "vm.hotplug_refused"
    status = 409
    retryable = False


class HypervisorGone(HypervisorFailed):
    """The connection to the hypervisor is down (libvirtd restarts); it is being set up again."""

    code = "hypervisor.gone"


class MigrationFailed(HypervisorFailed):
    """The live migration ended without success; the VM still runs at the source unless look() says otherwise."""

    code = "migration.failed"


class MigrationCancelled(HypervisorFailed):
    """The live migration was cancelled; the VM still runs at the source."""

    code = "migration.cancelled"


class SnapshotFailed(HypervisorFailed):
    """The snapshot could not be taken, dropped or gone back to."""

    code = "snapshot.failed"


class MemoryNotLoaded(HypervisorFailed):
    """The memory of a snapshot does not fit the VM as it is defined, or can't be read."""

    code = "snapshot.memory_not_loaded"
    retryable = False


class NoScreen(HypervisorFailed):
    """The VM has no display of that kind."""

    code = "console.no_screen"
    status = 409
    retryable = False

    def __init__(self, vm: VmId, kind: str) -> None:
        super().__init__(
            f"{vm} has no {kind} display",
            hint="`corral vm show` says which graphics it has. The serial console is `corral vm console`.",
            vm=vm,
        )


class HardwareLacking(CorralError):
    """The node does not have what the VM's hardware asks for."""

    code = "hardware.lacking"
    status = 409
    retryable = True  # a package may be installed meanwhile


class AdoptionFailed(CorralError):
    """The domain can't be taken over: it is gone, another Corral's, or not as it was found."""

    code = "adoption.failed"
    status = 409


class MigrationStuck(MigrationFailed):
    """The guest wrote faster than its memory could be sent, until the migration's time was up."""

    code = "migration.stuck"

    @classmethod
    def of(cls, wish: "DomainWish", how: MigrationHow) -> Self:
        return cls(
            f"{wish.name} wrote to its memory faster than it could be sent, for {how.timeout_s:g} s ({how.name})",
            hint="Allow auto-converge or post-copy in its migration policy, a longer downtime or more bandwidth; "
            "or migrate it when it is less busy.",
            vm=wish.vm,
        )


class MigrationLost(HypervisorFailed):
    """A post-copy migration broke and stayed so: half of the guest is on each host, and it can't go on anywhere."""

    code = "migration.lost"
    retryable = False

    @classmethod
    def of(cls, wish: "DomainWish", peer: str) -> Self:
        return cls(
            f"the link to {peer} broke while {wish.name} ran there on memory that was still here: "
            "it is paused on both nodes and can't go on",
            hint=f"`corral vm restart --force {wish.name}` starts it anew from its disks.",
            vm=wish.vm,
        )


PLAINLY: Final = MigrationHow()


class DomainWish(Struct, frozen=True, kw_only=True):
    """A VM as it shall be defined."""

    vm: VmId
    name: str
    generation: int
    cpus: int
    memory_bytes: int
    hardware: Hardware = Hardware()
    platform: Platform = Platform()
    disks: tuple[DiskAssignment, ...] = ()
    nics: tuple[NicAssignment, ...] = ()
    seed_path: str = ""  # NoCloud ISO; empty: none
    cd: CdAssignment | None = None
    base_xml: str = ""  # its own definition, to be edited only where the wish differs; empty: Corral's own
    settles: str = ""  # Drift.digest: this change of the definition may be overwritten, and no other


def domain_names(name: str, vm: VmId) -> tuple[str, str]:
    """What its domain may be called: like the VM, or with the end of its id where another domain has that name."""
    return name, f"{name}-{vm[-6:].lower()}"


class Domain(Struct, frozen=True, kw_only=True):
    """A VM as it is."""

    vm: VmId
    name: str
    state: DomainState  # never ABSENT: absent domains are not listed
    generation: int  # from DomainWish, kept in the domain itself
    reason: StopReason = StopReason.NONE  # as far as the hypervisor knows it
    persistent: bool = True  # False: a migration is creating it
    lost: bool = False  # half of a guest: its migration broke in post-copy. Paused, and can't go on
    saved: bool = False  # its memory is on disk: its next start goes on from there


class MigrationProgress(Struct, frozen=True, kw_only=True):
    progress: float = 0.0  # 0 to 1, of memory and disks (it may go back)
    figures: MigrationFigures = MigrationFigures()


class DiskPlace(Struct, frozen=True, kw_only=True):
    """Where a disk of a VM is, and how far the copy of it is that was begun."""

    running: bool = False  # the domain is
    path: str = (
        ""  # of the file that it has open; that it would open, when it does not run. Empty: none of those
    )
    copy_path: str = ""  # where it is being copied to
    copied: bool = False  # the copy has all of it, and is kept up to date
    progress: float = 0.0  # of the copy, 0 to 1


class DomainEvent(Struct, frozen=True):
    """Something changed with this VM; what, look() says. `what` is for logs."""

    vm: VmId
    what: str


class DomainFacts(Struct, frozen=True, kw_only=True):
    """Counters of a running VM; rates come from their differences."""

    cpu_s: float = 0.0  # CPU time used
    memory_bytes: int = 0  # resident
    block_read_bytes: int = 0
    block_write_bytes: int = 0
    net_in_bytes: int = 0
    net_out_bytes: int = 0


class Console(Protocol):
    """An open console: bytes both ways. Of serial ones one at a time a VM; opening it again ends the older one."""

    async def read(self) -> bytes:
        """The next bytes from the guest; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Bytes for the guest."""

    async def close(self) -> None:
        """End it. May be repeated."""


class Hypervisor(Protocol):
    """Runs VMs on one host."""

    name: ClassVar[str]

    async def open(self) -> None:
        """Connect, and keep connecting again by itself whenever the connection breaks."""

    async def close(self) -> None:
        """Let go. VMs go on running."""

    async def inventory(self) -> Inventory:
        """What the host has, the trial of its accelerator included (tried once, then remembered)."""

    async def look(self) -> Mapping[VmId, Domain]:
        """All domains that are Corral's, as they are now."""

    async def found(self) -> Mapping[str, FoundReport]:
        """By UUID: domains that are not Corral's. Nothing of them is touched."""

    async def adopt(self, wish: DomainWish, *, running: bool) -> None:
        """Make the domain with the VM's UUID Corral's. Its guest and its definition stay as they are.

        raises  AdoptionFailed: no such domain, another Corral's, or it runs and `running` says that it did not
        """

    async def drifts(self) -> Mapping[VmId, Drift]:
        """What was changed in definitions behind Corral's back; VMs without a drift are left out."""

    async def release(self, vm: VmId, *, autostart: bool) -> None:
        """Let the domain go on without Corral, started with the host or not. No error when there is none."""

    async def define(self, wish: DomainWish) -> None:
        """Define it, or define it anew. A running domain keeps running; what differs applies at its next start.

        A definition that somebody else has changed since stays as it is, unless the wish settles that drift; the
        domain then has the wish's generation all the same.
        """

    async def update(self, vm: VmId, *, force: bool = False) -> tuple[Pending, ...]:
        """Bring the running domain to its definition, as far as that goes while it runs.

        force    take a medium out although the guest has locked the drive
        returns  what it does not have yet: with the next start, or when the guest lets go (ask again then)
        raises   HotplugRefused: that step was undone; those before it were taken
        """

    async def pending(self, vm: VmId) -> tuple[Pending, ...]:
        """What the running domain does not have yet of its definition. Changes nothing; empty when it does not run."""

    async def pause(self, vm: VmId) -> None:
        """Stop its vCPUs. No error when they stand still."""

    async def resume(self, vm: VmId) -> None:
        """Let its vCPUs go on. No error when they do."""

    async def save(self, vm: VmId) -> None:
        """Write its memory to disk and end it, however long that takes. No error when it does not run."""

    async def discard(self, vm: VmId) -> None:
        """Forget the memory that save() wrote: the next start is a fresh one. No error when there is none."""

    async def resize(self, vm: VmId, volume: VolumeId, size_bytes: int) -> None:
        """Let the running guest see that the volume of this disk grew: to this size, which it is given too."""

    async def start(self, vm: VmId) -> None:
        """Start the defined domain; no error when it runs."""

    async def shutdown(self, vm: VmId) -> None:
        """Ask the guest to shut down (agent, else ACPI); returns at once."""

    async def destroy(self, vm: VmId) -> None:
        """End it at once, like pulling the plug. No error when it does not run."""

    async def undefine(self, vm: VmId) -> None:
        """Remove the definition and what belongs to it (NVRAM, …). No error when there is none."""

    async def forget(self, vm: VmId) -> None:
        """Remove files that its domain left here (NVRAM, TPM state, logs). Nothing happens while there is a domain."""

    async def prepare_incoming(self, wish: DomainWish) -> None:
        """On the target: check that it can come, and allow it."""

    async def migrate(
        self,
        vm: VmId,
        peer_address: str,
        *,
        wish: DomainWish,
        how: MigrationHow = PLAINLY,
        begun: bool = False,
    ) -> MigrationProgress:
        """On the source: live-migrate to the host at `peer_address` and wait for the end.

        Disks that are not shared are copied into the files that are there at the target already.

        begun    it is under way, began by somebody who is not here any more: only see it through
        returns  the final figures; the domain then is persistent at the target and gone here
        raises   MigrationFailed (MigrationStuck: its time was up), MigrationCancelled, MigrationLost
        """

    async def migration(self, vm: VmId) -> MigrationProgress | None:
        """How far it is; None: none is running."""

    async def cancel_migration(self, vm: VmId) -> None:
        """Ask a running migration to stop; no error when there is none."""

    async def disk_place(self, vm: VmId, paths: tuple[str, ...]) -> DiskPlace:
        """Where the disk is that has one of these files."""

    async def disk_user(self, paths: tuple[str, ...]) -> VmId | None:
        """The VM whose running domain has one of these files open, whatever this node was told about it."""

    async def copy_disk(self, vm: VmId, path: str, to_path: str, format: str = "qcow2") -> None:
        """Begin to copy a running VM's disk into a file that is there; no error when that has begun."""

    async def pivot_disk(self, vm: VmId, path: str) -> None:
        """Have the guest go on with the copy, which has to be complete. disk_place() is the proof."""

    async def end_disk_copy(self, vm: VmId, path: str) -> None:
        """Give up copying; the guest goes on with what it has. No error when nothing is copied."""

    async def see_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        """How much of it is there; waits for one that is being taken. A guest that an interrupted one left frozen
        is thawed.
        """

    async def take_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> SnapshotReport:
        """Take it, of all disks at one moment; the VM runs or not. READY when it returns. What lies below the disks
        is verified before and after.

        raises  SnapshotFailed, and then it may be there in part
        """

    async def drop_snapshot(self, vm: VmId, wish: SnapshotAssignment) -> None:
        """Take it off all disks, as far as it is there. raises SnapshotFailed"""

    async def revert(self, vm: VmId, wish: SnapshotAssignment) -> None:
        """Put the disks of a VM that does not run back to it. Saved state of a suspended VM is dropped.

        raises  SnapshotFailed, and then it has to be repeated before the VM may run
        """

    async def start_from(self, vm: VmId, wish: SnapshotAssignment) -> None:
        """Start the domain with the memory in the snapshot, its disks being reverted. raises MemoryNotLoaded"""

    async def dirty_bytes(self, vm: VmId, seconds: int = 1) -> float | None:
        """How much of its memory the guest writes to in so many seconds, each page counted once. Takes that long.

        returns  None: it does not run, or can't be measured
        """

    async def guest(self, vm: VmId) -> Guest:
        """What the guest's agent says; up=False when it does not answer within a second or so."""

    async def facts(self) -> Mapping[VmId, DomainFacts]:
        """Counters of all running VMs, in one call."""

    async def console(self, vm: VmId, kind: ConsoleKind = ConsoleKind.SERIAL) -> Console:
        """Open a console. raises HypervisorFailed: not running, or it has no serial line; NoScreen"""

    async def serial_log(self, vm: VmId, most_bytes: int) -> bytes:
        """The last of what the guest printed on its serial line; b"" where none of it is kept."""

    async def screenshot(self, vm: VmId) -> bytes:
        """What the guest shows on its screen, as PNG. raises HypervisorFailed: not running; NoScreen"""

    def events(self) -> AsyncIterator[DomainEvent]:
        """Changes, within milliseconds. Also after a reconnect (one event for each VM: look again)."""
