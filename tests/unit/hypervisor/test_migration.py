"""Migration: figures, parameters, and how one ended, with a domain that plays each part."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

libvirt = pytest.importorskip("libvirt")

from corral.clock import SystemClock  # noqa: E402
from corral.hypervisor.interface import (  # noqa: E402
    PLAINLY,
    DomainWish,
    HypervisorGone,
    MigrationCancelled,
    MigrationFailed,
    MigrationLost,
    MigrationProgress,
)
from corral.hypervisor.libvirt import migration  # noqa: E402
from corral.hypervisor.libvirt import moves as moving  # noqa: E402
from corral.hypervisor.libvirt.connection import Pool, _guarded, gone  # noqa: E402
from corral.hypervisor.libvirt.identity import domain_uuid  # noqa: E402
from corral.hypervisor.libvirt.migration import Route  # noqa: E402
from corral.hypervisor.libvirt.moves import Moves  # noqa: E402
from corral.model.ids import VmId  # noqa: E402
from corral.model.migration import MigrationHow  # noqa: E402

T = TypeVar("T")
VM = VmId("vm-1")
WISH = DomainWish(vm=VM, name="web", generation=1, cpus=1, memory_bytes=2**27)
BY_SSH = Route(peer_uri="qemu+ssh://{address}/system")  # nothing is dialled before libvirt does
POST_COPY = MigrationHow(post_copy_after_s=60.0)
JOB = {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}
RUNNING = (libvirt.VIR_DOMAIN_RUNNING, 1)
CRASHED = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED)
MIGRATED = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)


def test_progress_of_figures() -> None:
    figures = {
        "data_total": 1000,
        "data_remaining": 250,
        "memory_total": 5 * 4096,
        "memory_constant": 2,
        "memory_page_size": 4096,
        "memory_iteration": 3,
        "memory_dirty_rate": 10,
        "downtime": 51,
        "time_elapsed": 4312,
    }
    seen = migration.progress(figures)
    assert (seen.progress, seen.figures.downtime_ms, seen.figures.total_s) == (0.75, 51.0, 4.312)
    assert (seen.figures.rounds, seen.figures.remaining_bytes, seen.figures.dirty_bytes_s) == (3, 250, 40960)
    assert seen.figures.zero_bytes == 2 * 4096
    done = migration.final(figures)
    assert (done.progress, done.figures.downtime_ms, done.figures.remaining_bytes) == (1.0, 51.0, 0)


def test_without_figures_the_downtime_is_not_known() -> None:
    assert migration.final({}).figures.downtime_ms is None


@pytest.mark.parametrize("figures", [{}, {"data_total": 0}, {"data_total": 10, "data_remaining": 20}])
def test_progress_stays_within_bounds(figures: Mapping[str, int | str]) -> None:
    assert migration.progress(figures).progress == 0.0


@pytest.mark.parametrize(
    ("address", "uri", "memory"),
    [
        ("10.0.0.2", "qemu+tcp://10.0.0.2/system", "tcp://10.0.0.2"),
        ("node-7", "qemu+tcp://node-7/system", "tcp://node-7"),
        ("fd00::7", "qemu+tcp://[fd00::7]/system", "tcp://[fd00::7]"),
    ],
)
def test_addresses(address: str, uri: str, memory: str) -> None:
    assert migration.peer_uri(Route(), address) == uri
    assert migration.parameters(address, PLAINLY, ())[libvirt.VIR_MIGRATE_PARAM_URI] == memory


async def test_who_does_not_answer_is_named_before_libvirt_dials() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await migration.reach(f"qemu+tcp://127.0.0.1:{port}/system")
    server.close()
    await server.wait_closed()
    with pytest.raises(MigrationFailed, match=f"libvirt on 127.0.0.1 can't be reached at port {port}"):
        await migration.reach(f"qemu+tls://127.0.0.1:{port}/system")


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("qemu+tcp://10.0.0.2/system", ("10.0.0.2", 16509)),
        ("qemu+tls://[fd00::7]/system?pkipath=/etc/pki/corral", ("fd00::7", 16514)),
        ("qemu+tcp://node-7:9/system", ("node-7", 9)),
        ("qemu+ssh://node-7/system", None),
    ],
)
def test_where_the_other_libvirt_listens(uri: str, place: tuple[str, int] | None) -> None:
    assert migration.peer_port(uri) == place


def test_flags() -> None:
    plain = migration.flags(Route(), PLAINLY, ())
    assert not plain & (libvirt.VIR_MIGRATE_UNSAFE | libvirt.VIR_MIGRATE_NON_SHARED_INC)
    assert plain & libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    assert migration.flags(Route(trust_shared=True), PLAINLY, ()) == plain | libvirt.VIR_MIGRATE_UNSAFE
    assert migration.flags(Route(), PLAINLY, ("vda",)) == plain | libvirt.VIR_MIGRATE_NON_SHARED_INC


HOWS = [  # name, fields of MigrationHow, flag that they set
    ("TLS", {"tls": True}, libvirt.VIR_MIGRATE_TLS),
    ("several connections", {"parallel": 4}, libvirt.VIR_MIGRATE_PARALLEL),
    ("compressed", {"compress": True}, libvirt.VIR_MIGRATE_COMPRESSED),
    ("post-copy", {"post_copy_after_s": 3.0}, libvirt.VIR_MIGRATE_POSTCOPY),
]


@pytest.mark.parametrize(("fields", "flag"), [pytest.param(*row[1:], id=row[0]) for row in HOWS])
def test_flags_of_a_method(fields: dict[str, Any], flag: int) -> None:
    plain = migration.flags(Route(), PLAINLY, ())
    assert migration.flags(Route(), MigrationHow(**fields), ()) == plain | flag


def test_parameters_of_a_method() -> None:
    how = MigrationHow(parallel=4, compress=True, bandwidth_bytes_s=7 * 2**20)
    asked = migration.parameters("10.0.0.2", how, ("vda", "vdc"))
    assert asked[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] == 4
    assert asked[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] == 7
    assert asked[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] == ["vda", "vdc"]


def test_tls_goes_to_the_peers_tls_port_with_our_certificates() -> None:
    route = Route(pki_path="/etc/pki/corral")
    assert (
        migration.peer_uri(route, "fd00::7", tls=True)
        == "qemu+tls://[fd00::7]/system?pkipath=/etc/pki/corral"
    )
    assert migration.peer_uri(route, "node-7") == "qemu+tcp://node-7/system"


DOMAIN = """<domain><devices>
<disk type='file'><source file='/p/a.qcow2'/><target dev='vda'/></disk>
<disk type='file'><source file='/s/seed.iso'/><target dev='vdb'/></disk>
<disk type='file'><target dev='sda'/></disk>
<disk type='file'><source file='/p/b.qcow2'/><target dev='vdc'/></disk>
</devices></domain>"""


def test_devices_of_files() -> None:
    assert migration.devices_of(DOMAIN, ["/p/b.qcow2", "/p/a.qcow2", "/p/z"]) == ("vda", "vdc")


def refusal(code: int) -> Exception:
    error = libvirt.libvirtError("refused")
    error.err = (code, 10, "refused", 2, None, None, None, -1, -1)
    return error


class Actor:
    """libvirt's connection and domain in one. `scene` is how the domain is; None: there is none."""

    def __init__(self, scene: tuple[int, int] | None, after: Callable[["Actor"], None]) -> None:
        self.scene, self.after = scene, after
        self.job: dict[str, int] = {}
        self.sent = self.aborted = self.flags = 0

    def isAlive(self) -> bool:  # noqa: N802
        return True

    def lookupByUUIDString(self, uuid: str) -> "Actor":  # noqa: N802
        assert uuid == domain_uuid(VM)
        if self.scene is None:
            raise refusal(libvirt.VIR_ERR_NO_DOMAIN)
        return self

    def state(self) -> tuple[int, int]:
        assert self.scene is not None
        return self.scene

    def jobStats(self) -> dict[str, int]:  # noqa: N802
        job, self.job = self.job, {}  # a job is seen once
        return job

    def migrateToURI3(self, uri: str, parameters: object, flags: int) -> None:  # noqa: N802
        self.sent, self.flags = self.sent + 1, flags
        self.after(self)

    def migrateSetMaxDowntime(self, milliseconds: int) -> None:  # noqa: N802
        assert milliseconds == PLAINLY.downtime_ms_max

    def abortJob(self) -> None:  # noqa: N802
        self.aborted += 1


class Stage:
    """A Connection whose calls run at once, in front of the actor; `gone_for` calls find nobody there."""

    def __init__(self, actor: Actor) -> None:
        self.actor, self.clock, self.gone_for = actor, SystemClock(), 0

    async def call(self, lane: str, what: str, work: Callable[[object], T], **_: object) -> T:
        if self.gone_for:
            self.gone_for -= 1
            raise gone("it restarts")
        return _guarded(self.actor, what, work)


def leave(actor: Actor) -> None:
    actor.scene = None


def refuse(actor: Actor) -> None:
    raise refusal(libvirt.VIR_ERR_OPERATION_FAILED)


def was_aborted(actor: Actor) -> None:
    raise refusal(libvirt.VIR_ERR_OPERATION_ABORTED)


def leave_and_complain(actor: Actor) -> None:
    leave(actor)
    refuse(actor)


def die(actor: Actor) -> None:
    actor.scene = CRASHED
    refuse(actor)


def leave_a_shell(actor: Actor) -> None:
    actor.scene = MIGRATED


def answer_early(actor: Actor) -> None:
    actor.job = dict(JOB)
    refuse(actor)


async def ending(actor: Actor, **more: int) -> str:
    moves = Moves(Stage(actor), BY_SSH)  # type: ignore[arg-type]
    try:
        figures = await moves.migrate(VM, "10.0.0.2", WISH, PLAINLY)
    except (MigrationCancelled, MigrationFailed) as error:
        return error.code
    assert figures.progress == 1.0
    return "done"


ENDINGS = [  # name, how the domain is, what the call does, ending, whether it was sent
    ("gone here: done", RUNNING, leave, "done", 1),
    ("the call failed but it is gone here: done", RUNNING, leave_and_complain, "done", 1),
    ("migrated, its definition is left: done", RUNNING, leave_a_shell, "done", 1),
    ("still here, refused: failed", RUNNING, refuse, "migration.failed", 1),
    ("still here, aborted: cancelled", RUNNING, was_aborted, "migration.cancelled", 1),
    (
        "still here, and the call knows of no error: failed",
        RUNNING,
        lambda actor: None,
        "migration.failed",
        1,
    ),
    ("the call failed, a job runs yet, then none: failed", RUNNING, answer_early, "migration.failed", 1),
    ("it died on the way: failed", RUNNING, die, "migration.failed", 1),
    ("it does not run: failed, never sent", CRASHED, leave, "migration.failed", 0),
    ("there is none: failed, never sent", None, leave, "migration.failed", 0),
]


@pytest.mark.parametrize(
    ("scene", "does", "expected", "sent"), [pytest.param(*row[1:], id=row[0]) for row in ENDINGS]
)
async def test_ending(
    scene: tuple[int, int] | None,
    does: Callable[[Actor], None],
    expected: str,
    sent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("corral.hypervisor.libvirt.moves.FIGURES_S_MAX", 0.01)
    actor = Actor(scene, does)
    assert await ending(actor) == expected
    assert actor.sent == sent


async def test_a_migration_under_way_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor(RUNNING, leave)
    actor.job = dict(JOB)
    assert await ending(actor) == "migration.failed"  # it came to nothing by itself
    assert actor.sent == 0


async def test_libvirtd_away_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its return is waited for; the domain then decides."""
    monkeypatch.setattr("corral.hypervisor.libvirt.moves.FIGURES_S_MAX", 0.01)

    def vanish(actor: Actor) -> None:
        leave(actor)
        stage.gone_for = 3
        raise gone("it restarts")

    actor = Actor(RUNNING, vanish)
    stage = Stage(actor)
    moves = Moves(stage, BY_SSH)  # type: ignore[arg-type]
    assert (await moves.migrate(VM, "10.0.0.2", WISH, PLAINLY)).progress == 1.0


async def test_libvirtd_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corral.hypervisor.libvirt.moves.BACK_S_MAX", 0.05)

    def vanish(actor: Actor) -> None:
        stage.gone_for = 10**6
        raise gone("it restarts")

    stage = Stage(Actor(RUNNING, vanish))
    with pytest.raises(HypervisorGone):
        await Moves(stage, BY_SSH).migrate(VM, "10.0.0.2", WISH, PLAINLY)  # type: ignore[arg-type]


async def test_cancel_of_none_is_no_error() -> None:
    for scene in (None, RUNNING, CRASHED):
        actor = Actor(scene, leave)
        await Moves(Stage(actor), BY_SSH).cancel(VM)  # type: ignore[arg-type]
        assert actor.aborted == 0


async def test_the_job_event_brings_the_downtime() -> None:
    def leave_with_figures(actor: Actor) -> None:
        moves.job_ended(domain_uuid(VM), {"downtime": 51, "time_elapsed": 2000})
        leave(actor)

    moves = Moves(Stage(Actor(RUNNING, leave_with_figures)), BY_SSH)  # type: ignore[arg-type]
    done = await moves.migrate(VM, "10.0.0.2", WISH, PLAINLY)
    assert (done.progress, done.figures.downtime_ms, done.figures.total_s) == (1.0, 51.0, 2.0)


async def test_one_that_is_to_be_followed_is_never_begun() -> None:
    actor = Actor(RUNNING, leave)
    with pytest.raises(MigrationFailed):
        await Moves(Stage(actor), BY_SSH).migrate(VM, "10.0.0.2", WISH, PLAINLY, begun=True)  # type: ignore[arg-type]
    assert actor.sent == 0


BROKEN = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)


def break_off(actor: Actor) -> None:
    """In post-copy; what is tried then is refused until `actor.after` says otherwise."""
    actor.scene, actor.after = BROKEN, refuse
    refuse(actor)


async def broken_off(moves: Moves, actor: Actor) -> "asyncio.Task[MigrationProgress]":
    """A migration whose link broke, and which was tried again and refused."""
    goes = asyncio.create_task(moves.migrate(VM, "10.0.0.2", WISH, POST_COPY))
    while actor.sent < 3:
        await asyncio.sleep(0.01)
    return goes


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "SEND_AGAIN_S", 0.01)


@pytest.mark.usefixtures("at_once")
async def test_post_copy_that_broke_goes_on_when_the_link_is_back() -> None:
    actor = Actor(RUNNING, break_off)
    moves = Moves(Stage(actor), BY_SSH)  # type: ignore[arg-type]
    goes = await broken_off(moves, actor)
    actor.after = leave
    assert (await goes).figures.post_copy
    assert actor.flags & libvirt.VIR_MIGRATE_POSTCOPY_RESUME and actor.flags & libvirt.VIR_MIGRATE_POSTCOPY


@pytest.mark.usefixtures("at_once")
async def test_post_copy_that_broke_and_is_cancelled_is_a_lost_guest() -> None:
    actor = Actor(RUNNING, break_off)
    moves = Moves(Stage(actor), BY_SSH)  # type: ignore[arg-type]
    goes = await broken_off(moves, actor)
    await asyncio.wait_for(asyncio.gather(moves.cancel(VM), return_exceptions=True), 10)
    with pytest.raises(MigrationLost):
        await goes


async def test_post_copy_whose_target_has_nothing_left_is_a_lost_guest() -> None:
    def nothing_there(actor: Actor) -> None:
        actor.scene, actor.after = BROKEN, not_there
        refuse(actor)

    def not_there(_: Actor) -> None:
        raise refusal(libvirt.VIR_ERR_NO_DOMAIN)

    actor = Actor(RUNNING, nothing_there)
    with pytest.raises(MigrationLost):
        await Moves(Stage(actor), BY_SSH).migrate(VM, "10.0.0.2", WISH, POST_COPY)  # type: ignore[arg-type]
    assert actor.sent == 2


class Stuck(Stage):
    """The call that sends it never returns, and half of it is at the target by then."""

    async def call(self, lane: str, what: str, work: Callable[[object], T], **more: object) -> T:
        if "job" in lane and self.actor.sent:
            await asyncio.Event().wait()
        if more.get("pool") is not Pool.MOVE:
            return await super().call(lane, what, work)
        self.actor.scene, self.actor.sent = BROKEN, self.actor.sent + 1
        async with asyncio.timeout(more["timeout_s"]):  # type: ignore[arg-type]
            await asyncio.Event().wait()
        raise AssertionError


async def test_one_that_broke_is_given_up_whatever_libvirt_does_not_answer() -> None:
    moves = Moves(Stuck(Actor(RUNNING, leave)), BY_SSH)  # type: ignore[arg-type]
    moved = asyncio.create_task(moves.migrate(VM, "10.0.0.2", WISH, POST_COPY))
    await asyncio.sleep(0.01)
    assert not moved.done()
    await moves.cancel(VM)
    with pytest.raises(MigrationLost):
        await asyncio.wait_for(moved, 1.0)


async def test_its_half_is_not_destroyed_before_the_call_has_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moving, "LET_GO_S_MAX", 0.01)
    await Moves(Stuck(Actor(RUNNING, leave)), BY_SSH).let_go(VM)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        await Moves(Stuck(Actor(BROKEN, leave)), BY_SSH).let_go(VM)  # type: ignore[arg-type]
