"""Changes of a VM that runs: what the API says, what libvirt has, and what the guest sees."""

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from corral.errors import CorralError
from corral.model.vm import VM, VMPhase, device_key
from tests.lab.test_lab_life import shell
from tests.lab.world import World

NAME = "plug"


@pytest.fixture(scope="module")
def plug(world: World) -> Iterator[VM]:
    """A VM whose machine changes from test to test; each leaves it up."""
    world.client.vms.create(
        name=NAME,
        labels={"keep": "yes"},
        memory="128MiB",
        disks=[{"image": "guest", "pool": "shared"}],
        nics=[{"network": "default"}],
    )
    yield world.guest_up(NAME)
    world.remove(NAME)


def guest_says(world: World, command: str) -> str:
    """What a command prints in the guest; by its console."""
    heard = shell(world, NAME, f"{command}; echo end-$((6*7))", until="end-42")
    return heard.split("end-$((6*7))")[-1].split("end-42")[0]


def guest_sees(world: World, command: str, text: str, *, not_any_more: bool = False) -> None:
    world.until(
        f"{command} with{'out' if not_any_more else ''} {text}",
        lambda: (text in guest_says(world, command)) is not not_any_more,
        20,
    )


def live_xml(world: World) -> str:
    return world.virsh(world.node_of(NAME), "dumpxml", NAME)


def test_a_disk_comes_grows_and_goes(world: World, plug: VM) -> None:
    world.wait(world.client.vms.attach_disk(NAME, size="64MiB", pool="shared"))
    volume = world.client.volumes.get(f"{NAME}-1")
    guest_sees(world, "cat /proc/partitions", " 65536 ")
    world.wait(world.client.volumes.resize(volume.id, "96MiB"))
    guest_sees(world, "cat /proc/partitions", " 98304 ")
    with pytest.raises(CorralError) as refused:
        world.client.volumes.delete(volume.id)
    assert refused.value.code == "resource.in_use"
    world.wait(world.client.vms.detach_disk(NAME, volume.id))
    guest_sees(world, "cat /proc/partitions", " 98304 ", not_any_more=True)
    assert volume.id not in live_xml(world)
    world.wait(world.client.volumes.resize(volume.id, "128MiB"))
    path = f"/var/lib/corral/pools/shared/volumes/{volume.id}.qcow2"
    info = json.loads(world.lab.run(world.nodes[0], "qemu-img", "info", "--output=json", path))
    assert info["virtual-size"] == 128 << 20
    world.wait(world.client.volumes.delete(volume.id))


def test_a_disk_is_limited_while_its_guest_reads_on(world: World, plug: VM) -> None:
    """Seen by virsh, and felt by the guest: 100 blocks of 4 KiB take 4 s at 25 a second."""
    root, node = world.vm(NAME).spec.disks[0].volume, world.node_of(NAME)
    read = "date +%s; dd if=/dev/vda of=/dev/null bs=4k count=100 iflag=direct 2>/dev/null; date +%s"

    def seconds() -> int:
        began, ended = (int(line) for line in guest_says(world, read).split() if line.isdecimal())
        return ended - began

    world.wait(world.client.vms.limit_disk(NAME, root, iops=25))
    assert "total_iops_sec : 25" in world.virsh(node, "blkdeviotune", NAME, "vda")
    assert seconds() >= 3
    world.wait(world.client.vms.limit_disk(NAME, root))
    assert "total_iops_sec : 0" in world.virsh(node, "blkdeviotune", NAME, "vda")
    assert seconds() <= 2
    mac = world.vm(NAME).spec.nics[0].mac
    if not world.client.nodes.get(node).status.inventory.offers.nic_limits:
        with pytest.raises(CorralError, match="can't limit a NIC"):
            world.client.vms.limit_nic(NAME, mac, in_mbit=10)
        return
    world.wait(world.client.vms.limit_nic(NAME, mac, in_mbit=10))
    assert "inbound.average: 1250" in world.virsh(node, "domiftune", NAME, mac)


def test_a_nic_comes_with_an_address_and_goes(world: World, plug: VM) -> None:
    world.wait(world.client.vms.attach_nic(NAME, network="default"))
    nic = world.vm(NAME).spec.nics[1]
    guest_sees(world, "ip addr", nic.address)
    world.wait(world.client.vms.detach_nic(NAME, nic.mac))
    guest_sees(world, "ip link", nic.mac, not_any_more=True)
    assert nic.mac not in live_xml(world)


def test_vcpus_and_memory_come_at_once_and_go_as_far_as_they_can(world: World, plug: VM) -> None:
    world.wait(world.client.vms.update(NAME, cpus=3, memory="384MiB"))
    guest_sees(world, "nproc", "3")
    guest_sees(world, "grep -c . /sys/devices/system/memory/memory*/online; free", "Mem:")
    total_kib = int(guest_says(world, "grep MemTotal /proc/meminfo").split("MemTotal:")[1].split()[0])
    assert total_kib > 300 * 1024
    operation = world.wait(world.client.vms.update(NAME, cpus=1, memory="256MiB"))
    assert "vCPUs" in str(operation.status.result["pending"]), "an emulated machine gives none back"
    assert [p.what for p in world.vm(NAME).report.pending] == ["cpus"]  # type: ignore[union-attr]
    world.wait(world.client.vms.update(NAME, cpus=3))


def test_a_disc_is_inserted_changed_and_ejected(world: World, plug: VM, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"this-is-{name}").write_text("yes")
        words = ["genisoimage", "-quiet", "-o", tmp_path / f"{name}.iso", "-R", tmp_path / name]
        subprocess.run(words, check=True)
        world.client.images.upload(f"disc-{name}", tmp_path / f"{name}.iso")
    look = "mkdir -p /tmp/cd; ls /tmp/cd | grep is || mount -o ro -t iso9660 /dev/sr0 /tmp/cd; ls /tmp/cd"
    world.wait(world.client.vms.insert(NAME, image="disc-one"))
    guest_sees(world, look, "this-is-one")
    locked = world.ended(world.client.vms.eject(NAME))
    assert locked.status.error and locked.status.error.code == "vm.hotplug_refused", "it is mounted"
    world.until("taken back", lambda: world.vm(NAME).spec.cd.volume)  # type: ignore[union-attr]
    guest_says(world, "umount /tmp/cd")
    world.wait(world.client.vms.insert(NAME, image="disc-two"))
    guest_sees(world, look, "this-is-two")
    guest_says(world, "umount /tmp/cd")
    world.wait(world.client.vms.eject(NAME))
    discs = {world.client.images.get(f"disc-{name}").id for name in ("one", "two")}
    made = lambda: [v for v in world.client.volumes.list() if v.spec.image in discs]  # noqa: E731
    world.until("the discs' volumes are gone", lambda: not made(), 20)
    for name in ("one", "two"):
        world.wait(world.client.images.delete(f"disc-{name}"))


def test_what_qemu_refuses_is_taken_back(world: World, plug: VM) -> None:
    """Two VMs must not have one disk; a file that is gone behind Corral's back is refused by QEMU."""
    node = world.node_of(NAME)
    world.wait(world.client.volumes.create(name="torn", size="1MiB", pool="local", node=node))
    volume = world.client.volumes.get("torn")
    path = f"/var/lib/corral/pools/local/volumes/{volume.id}.qcow2"
    world.lab.run(node, "sh", "-c", f"echo rubbish > {path}")
    operation = world.ended(world.client.vms.attach_disk(NAME, volume="torn"))
    assert operation.status.error and operation.status.error.code == "vm.hotplug_refused"
    world.until("taken back", lambda: len(world.vm(NAME).spec.disks) == 1)
    world.until("let go", lambda: not world.vm(NAME).spec.leaving)
    assert volume.id not in live_xml(world)
    world.wait(world.client.volumes.delete("torn"))


def test_pause_resume_suspend_and_go_on(world: World, plug: VM) -> None:
    guest_says(world, "touch /tmp/was-here")
    world.wait(world.client.vms.pause(NAME))
    assert world.virsh(world.node_of(NAME), "domstate", NAME).strip() == "paused"
    assert world.vm(NAME).status.phase is VMPhase.PAUSED
    world.wait(world.client.vms.resume(NAME))
    world.wait(world.client.vms.suspend(NAME))
    world.until("suspended", lambda: world.vm(NAME).status.phase is VMPhase.SUSPENDED)
    assert world.runs_on(NAME) == []
    world.wait(world.client.vms.start(NAME))
    guest_sees(world, "ls /tmp", "was-here")


def test_renamed_while_it_runs_and_its_domain_when_it_stops(world: World, plug: VM) -> None:
    world.wait(world.client.vms.rename(NAME, "plugged"))
    assert [p.what for p in world.vm("plugged").report.pending] == ["name"]  # type: ignore[union-attr]
    node = world.node_of("plugged")
    assert NAME in world.domains(node)
    world.wait(world.client.vms.stop("plugged", force=True))
    world.until("the domain has its name", lambda: "plugged" in world.domains(node))
    world.wait(world.client.vms.rename("plugged", NAME))
    world.until("and the old one again", lambda: NAME in world.domains(node))
    world.wait(world.client.vms.start(NAME))
    world.guest_up(NAME)


def test_domain_and_spec_agree_after_changes_at_random(world: World, plug: VM) -> None:
    """A short one of tests/sim/test_hotplug.py, on a real guest."""
    chance, vms = Random(7), world.client.vms
    for _ in range(15):
        spec = world.vm(NAME).spec
        match chance.choice(("disk", "nic", "size")):
            case "disk" if len(spec.disks) > 1 and chance.random() < 0.5:
                operation = vms.detach_disk(NAME, spec.disks[-1].volume)
            case "disk":
                operation = vms.attach_disk(NAME, size="16MiB", pool="shared")
            case "nic" if len(spec.nics) > 1 and chance.random() < 0.5:
                operation = vms.detach_nic(NAME, spec.nics[-1].mac)
            case "nic":
                operation = vms.attach_nic(NAME, network="default")
            case _:
                operation = vms.update(NAME, memory=f"{chance.randrange(128, 512, 64)}MiB")
        world.ended(operation, 60)
    vm = world.vm(NAME)
    assert [p for p in vm.report.pending if p.what in ("disk", "nic", "memory")] == []  # type: ignore[union-attr]
    live = ET.fromstring(live_xml(world))
    macs = {mac.get("address") for mac in live.iterfind("devices/interface/mac")}
    assert macs == {nic.mac for nic in vm.spec.nics}
    serials = {serial.text for serial in live.iterfind("devices/disk/serial")}
    assert serials == {device_key(disk.volume) for disk in vm.spec.disks}
    guest_sees(world, "ip link | grep -c ether", str(len(vm.spec.nics)))
    for disk in vm.spec.disks[1:]:
        world.wait(vms.detach_disk(NAME, disk.volume))
        world.wait(world.client.volumes.delete(disk.volume))
