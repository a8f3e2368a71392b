"""Domains that were on a host before Corral: adopted while they run, managed, migrated, handed back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from corral.hypervisor.libvirt.canonical import differences
from corral.hypervisor.libvirt.editing import unmarked
from corral.hypervisor.libvirt.xmltree import Element, parse
from corral.model.found import FoundDomain
from corral.model.units import MiB
from corral.model.vm import VM
from tests.lab.boot_sector import write_disk
from tests.lab.world import World

pytestmark = pytest.mark.lab

UUID = "1b000000-0000-4000-8000-00000000ad09"
BEFORE = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>Old_Web</name>
  <uuid>{uuid}</uuid>
  <title>was here first</title>
  <metadata><owner:by xmlns:owner='urn:example'>team &amp; web</owner:by></metadata>
  <memory unit='MiB'>32</memory>
  <vcpu placement='static' current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <clock offset='localtime'/>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'/><source file='{disk}'/>
      <target dev='hda' bus='ide'/><serial>KEEP-ME</serial></disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
    <serial type='pty'><target port='0'/></serial>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='s3cret'/>
    <watchdog model='i6300esb' action='none'/>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline><qemu:arg value='-name'/><qemu:arg value='guest=Old_Web,debug-threads=on'/></qemu:commandline>
</domain>
"""


@contextmanager
def a_domain_of_before(world: World, node: str, disk: Path, folder: Path) -> Iterator[Element]:
    """Defined and started with virsh; its definition as libvirt has it. Gone afterwards."""
    write_disk(folder / "made.raw")
    world.lab.run(node, "cp", str(folder / "made.raw"), str(disk))  # where the node sees that path
    file = folder / "old.xml"
    file.write_text(BEFORE.format(uuid=UUID, disk=disk))
    world.virsh(node, "define", str(file))
    world.virsh(node, "start", "Old_Web")
    try:
        yield definition(world, node)
    finally:
        for each in world.nodes:
            for words in (("destroy", UUID), ("undefine", UUID)):
                world.lab.run(each, "sh", "-c", f"virsh -q {' '.join(words)} >/dev/null 2>&1 || true")
        world.lab.run(node, "rm", "-f", str(disk))


def definition(world: World, node: str) -> Element:
    return parse(world.virsh(node, "dumpxml", "--inactive", "--security-info", UUID))


def found(world: World, disk: Path) -> FoundDomain:
    """As it is now: another test may have left word of another domain with this UUID."""

    def fresh(domain: FoundDomain) -> bool:
        model = domain.status.model
        runs = domain.status.state == "running"  # a look may fall between its definition and its start
        return domain.spec.uuid == UUID and runs and model is not None and model.disks[0].path == str(disk)

    world.until("it is found", lambda: any(fresh(d) for d in world.client.found.list()))
    return next(d for d in world.client.found.list() if fresh(d))


def adopt(world: World, disk: Path) -> VM:
    world.wait(world.client.found.adopt(found(world, disk).name))
    return world.vm("old-web")


def pid(world: World, node: str) -> int:
    return world.qemu_pid(node, "Old_Web")


def test_adopted_stopped_started_and_released(world: World, tmp_path: Path) -> None:
    node, disk = world.nodes[0], tmp_path / "old.raw"
    with a_domain_of_before(world, node, disk, tmp_path) as before:
        first = pid(world, node)
        seen = found(world, disk)
        assert seen.status.model and seen.status.model.name == "Old_Web" and not seen.status.refusal
        assert "s3cret" not in world.client.found.get(seen.name).status.xml
        preview = world.client.found.preview(seen.name)
        assert preview.volumes[0].spec.size_bytes and "qemu:commandline" in preview.kept

        vm = adopt(world, disk)
        assert vm.status.phase == "running" and pid(world, node) == first, "the guest was touched"
        assert vm.id in world.virsh(node, "metadata", UUID, "https://corral.dev/xmlns/1")
        assert differences(before, unmarked(definition(world, node))) == ()

        world.wait(world.client.vms.stop("old-web"))
        assert "Old_Web" not in world.domains(node, running=True)
        world.wait(world.client.vms.start("old-web"))
        second = pid(world, node)
        assert second != first
        assert differences(before, unmarked(definition(world, node))) == (), "all of it came back"

        world.wait(world.client.vms.release("old-web"))
        assert pid(world, node) == second, "the guest was touched"
        assert "corral" not in world.virsh(node, "dumpxml", UUID)
        assert not [v for v in world.client.vms.list() if v.name == "old-web"]
        assert not [v for v in world.client.volumes.list() if v.name.startswith("old-web")]
        assert found(world, disk).status.state == "running"


def test_adopted_it_migrates_and_its_file_stays_when_it_is_deleted(world: World, tmp_path: Path) -> None:
    one, two = world.nodes[:2]
    disk = Path(world.client.pools.get("shared").spec.path) / "found.raw"
    with a_domain_of_before(world, one, disk, tmp_path) as before:
        adopt(world, disk)
        world.wait(world.client.vms.migrate("old-web", two))
        assert world.runs_on("Old_Web") == [two]
        assert differences(before, unmarked(definition(world, two))) == ()
        world.wait(world.client.vms.restart("old-web", force=True))
        assert world.runs_on("Old_Web") == [two]
        world.wait(world.client.vms.delete("old-web"))
        assert all("Old_Web" not in world.domains(node) for node in world.nodes)
        world.lab.run(two, "test", "-s", str(disk))


def test_a_drift_is_shown_survives_a_restart_and_is_accepted_or_reverted(
    world: World, tmp_path: Path
) -> None:
    node, disk = world.nodes[0], tmp_path / "old.raw"
    with a_domain_of_before(world, node, disk, tmp_path) as before:
        adopt(world, disk)
        world.virsh(node, "setmaxmem", UUID, "48M", "--config")
        world.virsh(node, "desc", UUID, "--config", "--title", "changed by hand")
        drifted = definition(world, node)
        lines = drift_of(world)
        assert any(line.startswith("~ domain/memory: 33554432 bytes -> 50331648") for line in lines)
        assert "~ domain/title: was here first -> changed by hand" in lines

        world.wait(world.client.vms.restart("old-web", force=True))  # a new generation is defined before
        assert differences(unmarked(drifted), unmarked(definition(world, node))) == (), "overwritten"

        world.wait(world.client.vms.settle("old-web", "accept"))
        vm = world.vm("old-web")
        assert vm.spec.memory_bytes == 48 * MiB and "changed by hand" in vm.spec.base_xml
        assert differences(unmarked(drifted), unmarked(definition(world, node))) == ()

        world.virsh(node, "desc", UUID, "--config", "--title", "changed again")
        assert drift_of(world) == ["~ domain/title: changed by hand -> changed again"]
        world.wait(world.client.vms.settle("old-web", "revert"))
        assert differences(unmarked(drifted), unmarked(definition(world, node))) == ()
        assert before.text("title") == "was here first"


def drift_of(world: World) -> list[str]:
    """The differences that are told."""

    def told() -> bool:
        report = world.vm("old-web").report
        return report is not None and report.drift is not None

    world.until("a drift is told", told)
    report = world.vm("old-web").report
    assert report and report.drift
    return list(report.drift.lines)
