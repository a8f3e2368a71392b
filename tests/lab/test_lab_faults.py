"""What goes wrong on a whole lab, and what then: programs killed, hosts dead, disks full."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corral.errors import CorralError
from corral.lab.counting import ran_through
from corral.model.operation import OperationState
from corral.model.resource import Trouble
from corral.model.units import MiB
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
    assert took_s < 2.0, took_s


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


@contextmanager
def tiny_pool(world: World, *, full: bool) -> Iterator[str]:
    """A pool on node1 of 256 MiB, by itself on its file system; yields its path."""
    path = "/var/lib/corral/pools/tiny"
    world.lab.run("node1", "mkdir", "-p", path)
    world.lab.run("node1", "mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", path)
    if full:
        fill(world, path)
    world.wait(world.client.pools.create(name="tiny", path=path, nodes=["node1"]))
    yield path
    world.remove("full")
    world.wait(world.client.pools.delete("tiny"))
    world.until("the pool is let go", lambda: _let_go(world, path), 20)


def fill(world: World, path: str) -> None:
    world.lab.run("node1", "fallocate", "-l", "252M", f"{path}/filler")


def make_room(world: World, path: str) -> None:
    world.lab.run("node1", "rm", f"{path}/filler")


def _let_go(world: World, path: str) -> bool:
    world.lab.run("node1", "umount", path)
    return True


def test_no_room_is_said_and_room_is_used(world: World) -> None:
    """A pool that is known to be full: the VM waits, says why, and is placed once there is room."""
    with tiny_pool(world, full=True) as path:
        created = world.ask_for("full", pool="tiny")
        world.until(
            "it says why it waits", lambda: _code(world.vm("full").status.trouble) == "placement.no_room", 20
        )
        make_room(world, path)
        assert world.ended(created, timeout_s=90).status.state is OperationState.SUCCEEDED


def test_disk_full_while_importing(world: World) -> None:
    """The pool fills up behind Corral's back: a clear trouble, nothing half-made; with room it goes on by itself."""
    with tiny_pool(world, full=False) as path:
        world.until("the pool is known to be empty", lambda: _free_bytes(world) > 150 * MiB, 20)
        fill(world, path)
        created = world.ask_for("full", pool="tiny")
        world.until("trouble storage.full", lambda: _volume_trouble(world, "full") == "storage.full", 30)
        assert world.lab.run("node1", "ls", f"{path}/volumes").split() == []
        make_room(world, path)
        assert world.ended(created, timeout_s=90).status.state is OperationState.SUCCEEDED


def _free_bytes(world: World) -> int:
    return world.client.nodes.get("node1").status.pools[world.client.pools.get("tiny").id].free_bytes


def _volume_trouble(world: World, vm: str) -> str:
    status = world.client.volumes.get(world.vm(vm).spec.disks[0].volume).status
    return _code(status.trouble) or _code(status.report.trouble if status.report else None)


def _code(trouble: Trouble | None) -> str:
    return trouble.code if trouble else ""


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


def test_bad_images_are_refused(world: World, tmp_path: Path) -> None:
    good = world.lab.plan.guest_image.read_bytes()
    bad = [  # name, bytes, what is promised, code
        ("not an image", b"GIF89a" + b"\0" * 4096, {"format": "qcow2"}, "image.bad"),
        ("truncated", good[: len(good) // 2], {}, "image.bad"),
        ("wrong checksum", good, {"sha256": "0" * 64}, "request.invalid"),  # seen before it is sent
    ]
    for name, content, promised, code in bad:
        (tmp_path / "bad.img").write_bytes(content)
        with pytest.raises(CorralError) as error:
            world.client.images.upload("bad", tmp_path / "bad.img", **promised)  # type: ignore[arg-type]
        assert error.value.code == code, name
        if world.client.images.find("bad"):
            world.wait(world.client.images.delete("bad"))
