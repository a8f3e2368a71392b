"""A VM's whole life on a whole lab: real libvirts, real guests, the API as the only hand."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from corral.errors import CorralError
from corral.lab.counting import largest_pause_s, ran_through
from corral.model.vm import VMPhase
from tests.lab.world import World


@pytest.fixture(scope="module")
def steady(world: World) -> Iterator[str]:
    """A VM that counts, for the tests of this file that do it no harm."""
    world.make_up("steady", labels={"keep": "yes"})
    yield "steady"
    world.remove("steady")


def shell(world: World, name: str, command: str, *, until: str, timeout_s: float = 30.0) -> str:
    """Type a command at the VM's console and read until a word appears."""
    console = world.client.console(name)
    try:
        console.write(b"\n" + command.encode() + b"\n")
        heard, end_s = b"", time.monotonic() + timeout_s
        while until.encode() not in heard:
            assert time.monotonic() < end_s, heard[-2000:]
            heard += console.read(0.5) or b""
        return heard.decode(errors="replace")
    finally:
        console.close()


def test_the_guest_is_what_was_asked_for(world: World, steady: str) -> None:
    vm = world.vm(steady)
    assert vm.status.phase is VMPhase.RUNNING
    assert vm.status.guest.hostname == "steady"
    assert vm.spec.nics[0].address in vm.status.guest.addresses, "DHCP gave another address"
    assert world.runs_on(steady) == [world.node_of(steady)]


def test_the_console_reaches_the_guest(world: World, steady: str) -> None:
    heard = shell(world, steady, "echo seen-$((6*7))", until="seen-42")
    assert "seen-42" in heard


def test_migration_under_a_counting_guest(world: World, steady: str) -> None:
    source = world.node_of(steady)
    with world.listening(steady) as listener:
        listener.wait_for(10, 20)
        operation = world.wait(world.client.vms.migrate(steady))
        listener.wait_for(10, 20)
    target = world.node_of(steady)
    assert target != source and world.runs_on(steady) == [target]
    assert ran_through(listener.counts)
    assert largest_pause_s(listener.counts) < 5.0
    assert 0 < float(operation.status.result["downtime_ms"]) < 5000
    assert steady not in world.domains(source)


def test_migration_to_a_node_that_does_not_exist_is_refused(world: World, steady: str) -> None:
    with pytest.raises(CorralError) as error:
        world.client.vms.migrate(steady, "node9")
    assert error.value.code == "resource.not_found"


def test_guests_on_two_nodes_reach_each_other(world: World, steady: str) -> None:
    other = next(n for n in world.nodes if n != world.node_of(steady))
    peer = world.make_up("peer", node=other)
    assert world.node_of("peer") != world.node_of(steady)
    heard = shell(
        world, steady, f"ping -c 3 -W 2 {peer.spec.nics[0].address}; echo ping-$((1 + 1))", until="ping-2"
    )
    assert " 0% packet loss" in heard


def test_stop_start_restart_delete(world: World) -> None:
    world.make_up("lively")
    world.wait(world.client.vms.stop("lively"))
    assert world.vm("lively").status.phase is VMPhase.STOPPED and world.runs_on("lively") == []
    world.wait(world.client.vms.start("lively"))
    node = world.node_of("lively")
    first = world.qemu_pid(node, "lively")
    world.wait(world.client.vms.restart("lively", force=True))
    assert world.qemu_pid(world.node_of("lively"), "lively") != first
    files = len(world.volume_files(node))
    world.wait(world.client.vms.delete("lively", purge=True))
    assert world.client.vms.find("lively") is None and len(world.volume_files(node)) == files - 1
    world.tidy()


def test_a_deleted_vm_can_leave_its_volumes(world: World) -> None:
    vm = world.make("brief", running=False)
    world.wait(world.client.vms.delete("brief", keep_volumes=True))
    volume = world.client.volumes.get(vm.spec.disks[0].volume)
    assert f"{volume.id}.qcow2" in world.volume_files("node1")
    world.wait(world.client.volumes.delete(volume.id))
    world.tidy()


def test_same_name_twice_is_refused(world: World, steady: str) -> None:
    with pytest.raises(CorralError) as error:
        world.ask_for(steady)
    assert error.value.code == "resource.name_taken"


def test_several_at_once_spread_over_the_nodes(world: World, steady: str) -> None:
    operations = [world.ask_for(f"many{n}") for n in range(3)]
    for operation in operations:
        world.wait(operation, timeout_s=120)
    homes = Counter(world.node_of(name) for name in (steady, "many0", "many1", "many2"))
    assert set(homes) == set(world.nodes) and max(homes.values()) == 2
