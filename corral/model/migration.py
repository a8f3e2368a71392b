"""Migration: what is asked for, allowed, foreseen and said of a live migration.

In this room   policy (a VM's own), wish (a user's), how (the method chosen), forecast, report, result
Comes in       -
Goes out       plain values: part of VMSpec, VMStatus, VMReport and the assignments
Always true    a figure that nobody measured is None, never 0
Next door      vm.py holds them; controllers/forecast.py foresees; hypervisor/ carries out
Start here     MigrationPolicy
"""

from enum import StrEnum

from msgspec import Struct

from corral.model.ids import NodeId, VolumeId
from corral.model.resource import Trouble

PARALLEL_MAX = 16
TIMEOUT_S_LEAST = 480.0  # what a migration gets at least, where its policy names no timeout


class MigrationTls(StrEnum):
    AUTO = "auto"  # where both nodes have certificates for it
    ALWAYS = "always"  # else not at all


class MigrationPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a VM may be live-migrated. The forecast chooses among what is allowed."""

    auto_converge: bool = True  # slow the guest down when it writes faster than the link carries
    post_copy: bool = False  # let the guest run at the target before its memory is there, when nothing else
    # helps: the guest stands still while the link is broken, and is lost if it stays so
    local_disks: bool = True  # copy volumes of local pools along
    parallel: int = 0  # connections for memory; 0: as the forecast says
    compress: bool = False  # send pages as differences: less on the link, more CPU
    tls: MigrationTls = MigrationTls.AUTO
    downtime_ms_max: int = 300  # the pause that is aimed at
    bandwidth_bytes_s: int = 0  # 0: as fast as it goes
    timeout_s: float = 0.0  # 0: three times the forecast, eight minutes at least


class MigrationWish(Struct, frozen=True, kw_only=True):
    """A live migration that a user asked for. A new wish replaces an older one."""

    id: str  # of the operation that follows it
    target: NodeId | None = None  # None: the scheduler chooses
    cancel: bool = False


class MigrationHow(Struct, frozen=True, kw_only=True):
    """The method, chosen from the policy and the forecast."""

    auto_converge: bool = True
    post_copy_after_s: float | None = None  # seconds after the start, if it has not converged; None: never
    parallel: int = 1  # connections for memory
    compress: bool = False
    tls: bool = False  # of the guest's memory and disks, and between the two libvirts
    downtime_ms_max: int = 300
    bandwidth_bytes_s: int = 0
    timeout_s: float = TIMEOUT_S_LEAST  # then it is cancelled

    @property
    def name(self) -> str:
        """In words: "pre-copy, auto-converge, TLS"."""
        parts = [
            ("pre-copy", True),
            ("auto-converge", self.auto_converge),
            (f"{self.parallel} connections", self.parallel > 1),
            ("compressed", self.compress),
            ("post-copy", self.post_copy_after_s is not None),
            ("TLS", self.tls),
        ]
        return ", ".join(name for name, is_so in parts if is_so)


class Forecast(Struct, frozen=True, kw_only=True):
    """What a migration will take, as far as it can be known before."""

    total_s: float
    downtime_ms: float
    rounds: int  # passes over the memory
    converges: bool  # False: it takes post-copy, or ends at its timeout
    memory_bytes: int  # of the first pass
    resident_bytes: int = 0  # what the VM took of its node's memory then; 0: not known
    disk_bytes: int = 0  # of local volumes
    dirty_bytes_s: float | None = None  # None: not measured
    bandwidth_bytes_s: float = 0.0
    rest_ms: float = 0.0  # of the downtime: sending what is left then
    measured: bool = False  # the link's figures come from earlier migrations, else they are assumed
    method: str = ""  # MigrationHow.name
    why: str = ""  # this method


class MigrationFigures(Struct, frozen=True, kw_only=True):
    """What was measured. None: not known."""

    downtime_ms: float | None = None
    total_s: float = 0.0
    rounds: int = 0
    memory_bytes: int = 0  # sent, all rounds together
    zero_bytes: int = 0  # pages of zeros, which cost nothing
    disk_bytes: int = 0
    bandwidth_bytes_s: float = 0.0  # while memory was sent
    dirty_bytes_s: float = 0.0  # at the end
    remaining_bytes: int = 0
    throttle: int = 0  # percent of its CPU time that auto-converge takes from the guest
    post_copy: bool = False  # the guest runs at the target; the rest of its memory follows


class MigrationReport(Struct, frozen=True, kw_only=True):
    """A migration as one of its two nodes sees it."""

    wish: str  # MigrationWish.id
    state: str  # source: "measured", "running", "done", "failed", "cancelled", "lost"; target: "ready"
    progress: float = 0.0  # 0 to 1
    figures: MigrationFigures = MigrationFigures()
    dirty_bytes_s: float | None = None  # "measured": how fast the guest writes to its memory
    working_bytes: float | None = None  # "measured": all that it writes to again and again; None: no end seen
    memory_bytes: int = 0  # "measured": resident
    trouble: Trouble | None = None


class MigrationStage(StrEnum):
    PREPARING = "preparing"  # the target gets ready
    MOVING = "moving"  # the source was told to migrate: from here on libvirt decides where it runs
    CANCELLING = "cancelling"
    SETTLING = "settling"  # the guest stopped at its source: its target has to say what it has
    LOST = "lost"  # its link broke in post-copy and stayed so: half of the guest is on each node, both are paused


class Migration(Struct, frozen=True, kw_only=True):
    """A live migration in progress."""

    wish: str
    source: NodeId
    target: NodeId
    stage: MigrationStage = MigrationStage.PREPARING
    started_at: float = 0.0  # of the stage
    volumes: tuple[VolumeId, ...] = ()  # in local pools: they go along
    how: MigrationHow = MigrationHow()
    forecast: Forecast | None = None
    boot: int = 0  # LOST: VMSpec.boot then; a later one is a request to start it anew


class MigrationResult(Struct, frozen=True, kw_only=True):
    """How the last migration wish ended."""

    wish: str
    source: NodeId | None = None
    target: NodeId | None = None
    state: str = "done"  # done, failed, cancelled, lost
    downtime_ms: float | None = None  # None: not known, as when an agent died meanwhile
    total_s: float = 0.0
    figures: MigrationFigures | None = None
    forecast: Forecast | None = None
    trouble: Trouble | None = None


class LinkSample(Struct, frozen=True, kw_only=True):
    """What one migration showed of its link."""

    bandwidth_bytes_s: float
    overhead_s: float
    downtime_ms: float


class MigrationLink(Struct, frozen=True, kw_only=True):
    """What migrations from one node to another were like: the middle of the last few."""

    bandwidth_bytes_s: float
    overhead_s: float  # of total_s, besides sending
    downtime_ms: float  # besides sending the rest
    migrations: int = 0
    last: tuple[LinkSample, ...] = ()  # the last few, the newest at the end
