"""What goes wrong on a whole lab, and what then: programs killed, hosts dead, disks full."""

import time
from collections.abc import Iterator

import pytest

from corral.errors import CorralError
from corral.lab.counting import ran_through
from corral.model.operation import OperationState
from corral.model.vm import MigrationStage, StopReason, VMPhase
from tests.lab.world import World

MOMENTS_S = (0.0, 0.1, 0.4, 1.0)  # after a request: when the server is killed


@pytest.fixture(scope="module")
def steady(world: World) -> Iterator[str]:
    """A VM that counts and has to live through the tests of this file."""
    world.make_up("steady", labels={"keep": "yes"})
    yield "steady"
    world.remove("steady")


def restart_server_after(world: World, seconds: float) -> None:
    time.sleep(seconds)
    world.lab.stop_server()
    world.lab.start_server()


@pytest.mark.parametrize("moment_s", MOMENTS_S)
def test_server_killed_during_create_and_delete(world: World, moment_s: float) -> None:
    """On return it finishes: the VM runs once; then it is gone without a trace."""
    created = world.ask_for("torn")
    restart_server_after(world, moment_s)
    assert world.ended(created).status.state is OperationState.SUCCEEDED
    assert len(world.runs_on("torn")) == 1 and world.strays() == []
    deleted = world.client.vms.delete("torn")
    restart_server_after(world, moment_s)
    assert world.ended(deleted).status.state is OperationState.SUCCEEDED
    assert world.client.vms.find("torn") is None
    world.tidy()


@pytest.mark.parametrize("moment_s", (0.0, 0.5))
def test_server_killed_during_a_migration(world: World, steady: str, moment_s: float) -> None:
    source = world.node_of(steady)
    with world.listening(steady) as listener:
        listener.wait_for(5, 20)
        migrate = world.client.vms.migrate(steady)
        restart_server_after(world, moment_s)
        assert world.ended(migrate).status.state is OperationState.SUCCEEDED
        listener.wait_for(5, 20)
    assert world.runs_on(steady) == [world.node_of(steady)] and world.node_of(steady) != source
    assert ran_through(listener.counts)


def test_agent_killed_guests_do_not_notice(world: World, steady: str) -> None:
    node = world.node_of(steady)
    pid = world.qemu_pid(node, steady)
    with world.listening(steady) as listener:
        listener.wait_for(5, 20)
        world.lab.kill_unit(node, "agent")
        listener.wait_for(5, 20)
    assert ran_through(listener.counts) and world.qemu_pid(node, steady) == pid


def test_agent_killed_what_it_missed_is_known_soon(world: World) -> None:
    """Its VM ends while the agent is dead; 2 s after the agent runs again the API knows."""
    world.make("missed", restart="never")
    node = world.node_of("missed")
    world.lab.stop_unit(node, "agent")
    world.virsh(node, "destroy", "missed")
    world.lab.start_unit(node, "agent")
    took_s = world.until(
        "missed known as stopped", lambda: world.vm("missed").status.phase is VMPhase.STOPPED, 15
    )
    assert took_s < 4.0, took_s  # 2 s, and the start of a Python program on a machine with 2 busy cores


def test_libvirtd_restarted_under_the_agent(world: World, steady: str) -> None:
    node = world.node_of(steady)
    pid = world.qemu_pid(node, steady)
    world.lab.kill_unit(node, "libvirtd")
    world.make("after", node=node)  # asked for while libvirtd starts
    assert world.runs_on("after") == [node] and world.qemu_pid(node, steady) == pid
    assert world.vm(steady).status.phase is VMPhase.RUNNING


def test_qemu_killed_starts_again(world: World) -> None:
    world.make("phoenix")
    node = world.node_of("phoenix")
    pid = world.qemu_pid(node, "phoenix")
    world.lab.run(node, "kill", "-9", str(pid))

    def runs_again() -> bool:
        report = world.vm("phoenix").report
        return report is not None and report.restarts == 1 and world.qemu_pid(node, "phoenix") != pid

    world.until("phoenix runs again", runs_again, 20)


def test_qemu_killed_stays_stopped_with_the_reason(world: World) -> None:
    world.make("mortal", restart="never")
    node = world.node_of("mortal")
    world.lab.run(node, "kill", "-9", str(world.qemu_pid(node, "mortal")))
    world.until("mortal is stopped", lambda: world.vm("mortal").status.phase is VMPhase.STOPPED, 10)
    report = world.vm("mortal").report
    assert report is not None and report.reason is StopReason.CRASHED
    assert world.runs_on("mortal") == []


def test_target_dies_midway_in_a_migration(world: World, steady: str) -> None:
    """The VM goes on at its source, and the operation says what happened."""
    source = world.node_of(steady)
    target = next(n for n in world.nodes if n != source)
    with world.listening(steady) as listener:
        listener.wait_for(5, 20)
        migrate = world.client.vms.migrate(steady, target)
        moving(world, steady)
        world.lab.kill(target)
        ended = world.ended(migrate, timeout_s=90)
        if ended.status.state is OperationState.SUCCEEDED:  # it was over before the plug was out
            pytest.fail(f"the migration was faster than the fault: {ended.status.result}")
        assert ended.status.error is not None and ended.status.error.code
        assert world.node_of(steady) == source and world.runs_on(steady) == [source]
        listener.wait_for(5, 20)
    assert ran_through(listener.counts)
    world.lab.heal(target)
    world.until("nothing of it at the target", lambda: steady not in world.domains(target), 30)


def test_source_dies_midway_in_a_migration(world: World) -> None:
    """It never runs twice; once the source is back, it runs again, once."""
    world.make_up("torn")
    source = world.node_of("torn")
    target = next(n for n in world.nodes if n != source)
    migrate = world.client.vms.migrate("torn", target)
    moving(world, "torn")
    world.lab.kill(source)
    time.sleep(3)
    assert len(world.runs_on("torn")) <= 1
    world.lab.heal(source)
    world.ended(migrate, timeout_s=120)
    world.until("torn runs once", lambda: len(world.runs_on("torn")) == 1, 60)
    world.until("the API agrees", lambda: world.runs_on("torn") == [world.node_of("torn")], 30)


def moving(world: World, name: str) -> None:
    """Until the source was told to go."""

    def told() -> bool:
        migration = world.vm(name).status.migration
        return migration is not None and migration.stage is MigrationStage.MOVING

    world.until(f"{name} is moving", told, 20)


def test_disk_full_says_so_and_goes_on_once_there_is_room(world: World) -> None:
    """A pool too small for the image: a clear trouble, nothing half-made; with room it goes on by itself."""
    path = "/var/lib/corral/pools/tiny"
    world.lab.run("node1", "mkdir", "-p", path)
    world.lab.run("node1", "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path)
    try:
        world.wait(world.client.pools.create(name="tiny", path=path, nodes=["node1"]))
        created = world.ask_for("full", pool="tiny")

        def says_full() -> bool:
            volume = world.client.volumes.get(world.vm("full").spec.disks[0].volume)
            trouble = volume.status.trouble or (volume.status.report and volume.status.report.trouble)
            return bool(trouble) and trouble.code == "storage.full"  # type: ignore[union-attr]

        world.until("trouble storage.full", says_full, 30)
        assert world.lab.run("node1", "sh", "-c", f"ls {path}/volumes").split() == []
        world.lab.run("node1", "mount", "-o", "remount,size=256m", path)
        assert world.ended(created, timeout_s=90).status.state is OperationState.SUCCEEDED
        world.remove("full")
        world.wait(world.client.pools.delete("tiny"))
    finally:
        world.lab.run("node1", "umount", "--lazy", path)


def test_a_cut_node_is_lost_and_its_vm_is_not_started_elsewhere(world: World) -> None:
    world.make("alone")
    node = world.node_of("alone")
    world.lab.cut(node)
    world.until("its state is unknown", lambda: world.vm("alone").status.phase is VMPhase.UNKNOWN, 60)
    assert world.runs_on("alone") == [node]
    world.lab.heal(node)
    world.until("it is known again", lambda: world.vm("alone").status.phase is VMPhase.RUNNING, 60)
    assert world.runs_on("alone") == [node]


def test_a_host_that_died_comes_back_and_runs_its_vm(world: World) -> None:
    world.make("reborn", restart="always")
    node = world.node_of("reborn")
    world.lab.kill(node)
    world.until("its state is unknown", lambda: world.vm("reborn").status.phase is VMPhase.UNKNOWN, 60)
    world.lab.heal(node)
    world.until("it runs again", lambda: world.runs_on("reborn") == [node], 60)


BAD = [  # name, bytes, what is promised, code
    ("not an image", b"GIF89a" + b"\0" * 4096, {"format": "qcow2"}, "image.bad"),
    ("wrong checksum", b"\0" * 65536, {"sha256": "0" * 64}, "image.bad"),
]


@pytest.mark.parametrize(("content", "promised", "code"), [pytest.param(*r[1:], id=r[0]) for r in BAD])
def test_bad_images_are_refused(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    promised: dict[str, str],
    code: str,
) -> None:
    path = tmp_path_factory.mktemp("images") / "bad.img"
    path.write_bytes(content)
    with pytest.raises(CorralError) as error:
        world.client.images.upload("bad", path, **promised)  # type: ignore[arg-type]
    assert error.value.code == code
    if world.client.images.find("bad"):
        world.wait(world.client.images.delete("bad"))
