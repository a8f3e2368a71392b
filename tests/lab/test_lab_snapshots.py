"""Snapshots and clones of real guests: what the guest sees, and what is on the disks behind Corral's back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.errors import CorralError
from corral.lab.counting import ran_through
from corral.model.operation import OperationState
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.vm import VMPhase
from tests.lab.test_lab_life import shell
from tests.lab.world import World

VOLUMES = "/var/lib/corral/pools/shared/volumes"


@pytest.fixture(scope="module")
def keeper(world: World) -> Iterator[str]:
    """A guest that counts, with a second disk to write to."""
    operation = world.client.vms.create(
        name="keeper",
        memory="128MiB",
        disks=[{"image": "guest", "pool": "shared"}, {"size": "16MiB", "pool": "shared"}],
        nics=[{"network": "default"}],
        cloud_init={"user_data": "#cloud-config\nruncmd:\n  - count &\n"},
        labels={"keep": "yes"},
    )
    world.wait(operation)
    world.guest_up("keeper")
    yield "keeper"
    world.remove("keeper")


def data_path(world: World, vm: str) -> str:
    return f"{VOLUMES}/{world.vm(vm).spec.disks[1].volume}.qcow2"


def guest_writes(world: World, vm: str, letter: str) -> None:
    """Onto its second disk, past every cache."""
    command = (
        f"[ -b /dev/vdb ] && printf {letter}%511s | dd of=/dev/vdb conv=fsync && echo wrote-{letter}-$((1+1))"
    )
    shell(world, vm, command, until=f"wrote-{letter}-2")


def on_disk(world: World, vm: str) -> str:
    """The letter, as the host reads it; the VM is stopped."""
    said = world.lab.run(world.node_of(vm), "qemu-io", "-r", "-c", "read -v 0 512", data_path(world, vm))
    return bytes.fromhex(said.split(": ")[1].strip()[:2]).decode()


def inside(world: World, vm: str) -> list[str]:
    """Snapshots that qemu-img finds in the second disk."""
    said = world.lab.run(world.node_of(vm), "qemu-img", "info", "-U", "--output=json", data_path(world, vm))
    return [snapshot["name"] for snapshot in json.loads(said).get("snapshots", [])]


def take(world: World, vm: str, name: str, *, memory: bool = False) -> Snapshot:
    world.wait(world.client.snapshots.take(vm, name, memory=memory))
    return world.client.snapshots.get(f"{vm}.{name}")


def test_a_guest_goes_back_to_its_memory(world: World, keeper: str) -> None:
    """It counts on from where it was, with the file it had, and does not boot; then it migrates with its snapshot."""
    shell(world, keeper, "echo old >/tmp/state; echo kept-$((1+1))", until="kept-2")
    with world.listening(keeper) as listener:
        listener.wait_for(3, 20)
        kept = take(world, keeper, "warm", memory=True)
        assert kept.status.memory_bytes > 1_000_000
        at = listener.counts[-1].number
        listener.wait_for(25, 30)
        assert ran_through(listener.counts), "a snapshot only holds the guest up"
    shell(world, keeper, "echo new >/tmp/state; echo lost-$((1+1))", until="lost-2")
    world.wait(world.client.snapshots.revert("keeper.warm"))
    with world.listening(keeper) as listener:
        again = listener.wait_for(2, 30)[0].number
    assert 1 < again < at + 25, "it went on from its memory"
    heard = shell(world, keeper, "cat /tmp/state; echo read-$((1+1))", until="read-2")
    assert "old" in heard and "new" not in heard.split("cat /tmp/state")[-1]
    source = world.node_of(keeper)
    world.wait(world.client.vms.migrate(keeper))
    assert world.node_of(keeper) != source and kept.id in inside(world, keeper)
    world.wait(world.client.snapshots.delete("keeper.warm"))
    assert inside(world, keeper) == []


@pytest.mark.parametrize("unit", ["agent", "libvirtd"])
def test_who_is_killed_meanwhile_finds_out(world: World, keeper: str, unit: str) -> None:
    """The agent's death costs nothing. A libvirtd that comes back while QEMU is busy with the memory takes it for broken
    and ends it: then the VM is started again, and the snapshot is there or says why not.
    """
    operation = world.client.snapshots.take(keeper, "torn", memory=True)
    node = world.node_of(keeper)
    world.until("the snapshot has begun", lambda: world.vm(keeper).report.step == "taking a snapshot", 10)  # type: ignore[union-attr]
    world.lab.kill_unit(node, unit)
    ended = world.ended(operation)
    snapshot = world.client.snapshots.get("keeper.torn")
    if unit == "agent":
        assert ended.status.state is OperationState.SUCCEEDED
        assert snapshot.status.phase is SnapshotPhase.READY and inside(world, keeper) == [snapshot.id]
    world.until("it runs", lambda: world.vm(keeper).status.phase is VMPhase.RUNNING, 60)
    world.wait(world.client.snapshots.delete("keeper.torn"))
    assert inside(world, keeper) == []
    world.guest_up(keeper)


def test_a_linked_clone_of_a_running_guest_is_somebody_else(world: World, keeper: str) -> None:
    guest_writes(world, keeper, "L")
    world.wait(world.client.vms.clone(keeper, "twin"))
    twin, source = world.guest_up("twin"), world.vm(keeper)
    assert twin.status.guest.hostname == "twin" and source.status.phase is VMPhase.RUNNING
    assert twin.spec.nics[0].mac != source.spec.nics[0].mac
    assert twin.spec.nics[0].address in twin.status.guest.addresses
    assert twin.spec.nics[0].address != source.spec.nics[0].address
    root = f"{VOLUMES}/{twin.spec.disks[0].volume}.qcow2"
    info = json.loads(world.lab.run(world.node_of("twin"), "qemu-img", "info", "-U", "--output=json", root))
    assert "/images/" in info["full-backing-filename"] and not info.get("snapshots")
    assert info["actual-size"] < 4 << 20, "it copied what was written, and nothing of the image"
    world.wait(world.client.vms.stop("twin", force=True))
    assert on_disk(world, "twin") == "L"
    world.until("the helping snapshot gone", lambda: world.client.snapshots.list() == [], 10)
    world.remove("twin")


def test_a_tree_of_disks_with_a_branch(world: World, keeper: str) -> None:
    """a - b, back to a, c beside b; a goes from the middle; b and c are whole still."""
    for letter in "AB":
        guest_writes(world, keeper, letter)
        assert take(world, keeper, letter.lower()).status.frozen, (
            "the guest's agent puts file systems to rest"
        )
    world.wait(world.client.vms.stop(keeper, force=True))
    world.wait(world.client.snapshots.revert("keeper.a"))
    assert world.vm(keeper).status.phase is VMPhase.STOPPED and on_disk(world, keeper) == "A"
    path = data_path(world, keeper)
    world.lab.run(world.node_of(keeper), "qemu-io", "-c", f"write -P {ord('C')} 0 512", path)
    c = take(world, keeper, "c")
    a, b = (world.client.snapshots.get(f"keeper.{name}") for name in "ab")
    assert (b.spec.parent, c.spec.parent) == (a.id, a.id)
    world.wait(world.client.snapshots.delete("keeper.a"))
    for name, letter in (("b", "B"), ("c", "C"), ("b", "B")):
        world.wait(world.client.snapshots.revert(f"keeper.{name}"))
        assert on_disk(world, keeper) == letter
    world.lab.run(world.node_of(keeper), "qemu-img", "check", "-q", path)
    with pytest.raises(CorralError) as refusal:
        world.client.vms.delete(keeper, keep_volumes=True)
    assert refusal.value.code == "snapshot.would_be_lost"
    for name in "bc":
        world.wait(world.client.snapshots.delete(f"keeper.{name}"))
    assert inside(world, keeper) == []


def test_a_guest_goes_into_an_archive_and_boots_from_it(world: World, keeper: str, tmp_path: Path) -> None:
    """As an OVA, by VMDK; and natively, where what the guest wrote is looked for on the disk."""
    world.wait(world.client.vms.start(keeper))
    world.guest_up(keeper)
    guest_writes(world, keeper, "X")
    for file, format in ((tmp_path / "k.ova", "ova"), (tmp_path / "k.corral", "native")):
        manifest = world.client.export_vm(keeper, file, format=format)
        assert len(manifest.vm.disks) == 2 and world.vm(keeper).status.phase is VMPhase.RUNNING
    assert world.client.snapshots.list() == [] and inside(world, keeper) == []
    world.wait(world.client.import_vm(tmp_path / "k.ova", name="moved", pool="shared"))
    moved = world.guest_up("moved")
    assert moved.status.guest.hostname == "moved" and moved.id != world.vm(keeper).id
    world.wait(world.client.import_vm(tmp_path / "k.corral", name="again", pool="shared", running=False))
    on = world.node_of("again")
    images = [image for image in world.client.images.list() if image.labels.get("corral.dev/imported-for")]
    assert len(images) == 4
    said = world.lab.run(on, "qemu-io", "-r", "-c", "read -v 0 512", data_path(world, "again"))
    assert said.split(": ")[1].strip().startswith(f"{ord('X'):02x}")
    for name in ("moved", "again"):
        world.remove(name)
    for image in images:
        world.wait(world.client.images.delete(image.id))
