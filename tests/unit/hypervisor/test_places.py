"""A VM that is defined anew keeps its devices where they were."""

import xml.etree.ElementTree as ET

from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.domain_xml import build_domain_xml
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.hypervisor.libvirt.places import fixed_digest, keep_places
from corral.hypervisor.libvirt.shape import Shape, slot, target
from corral.model.hardware import Firmware, Hardware
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.units import MiB

HOST = HostProfile()
DISKS = tuple(DiskAssignment(volume=VolumeId(f"vol-{n:026d}"), path=f"/v{n}") for n in range(3))
NICS = tuple(
    NicAssignment(network=NetworkId("n"), bridge="br0", mac=f"52:54:00:00:00:0{n}") for n in range(3)
)
WISH = DomainWish(
    vm=VmId("vm-1"), name="web", generation=1, cpus=1, memory_bytes=256 * MiB, disks=DISKS, nics=NICS
)


def written(wish: DomainWish, former: str = "") -> str:
    """As libvirt would write it down: devices that have no slot get the next one that is free."""
    domain = ET.fromstring(keep_places(build_domain_xml(wish, HOST), former))
    shape = Shape(domain)
    free = sorted(shape.free_slots())
    for device in (*shape.disks.values(), *shape.nics.values()):
        if device.find("address") is None:
            ET.SubElement(device, "address", type="pci", bus=hex(free.pop(0)))
    return ET.tostring(domain, encoding="unicode")


def places(document: str) -> dict[str, tuple[str, int | None]]:
    shape = Shape(ET.fromstring(document))
    return {k: (target(d), slot(d)) for k, d in shape.disks.items()} | {
        k: ("", slot(n)) for k, n in shape.nics.items()
    }


def test_what_stays_keeps_its_slot_and_letter() -> None:
    first = written(WISH)
    fewer = written(replace(WISH, disks=(DISKS[0], DISKS[2]), nics=NICS[1:]), first)
    assert places(fewer).items() <= places(first).items()
    again = written(replace(WISH, disks=(DISKS[0], DISKS[2], DISKS[1])), fewer)
    assert places(fewer).items() <= places(again).items()
    letters = [name for name, _ in places(again).values() if name]
    assert len(set(letters)) == len(letters)


def test_no_slot_is_lost_when_devices_go() -> None:
    first = written(WISH)
    fewer = written(replace(WISH, disks=DISKS[:1], nics=()), first)
    assert (
        Shape(ET.fromstring(fewer)).controllers("pci").keys()
        == Shape(ET.fromstring(first)).controllers("pci").keys()
    )


def test_only_what_takes_a_restart_is_marked() -> None:
    def mark(wish: DomainWish) -> str:
        return Shape(ET.fromstring(written(wish))).fixed

    live = replace(WISH, generation=2, name="other", cpus=2, memory_bytes=512 * MiB, disks=DISKS[:1], nics=())
    assert mark(live) == mark(WISH) != ""
    assert mark(replace(WISH, hardware=Hardware(firmware=Firmware.BIOS, tpm=True))) != mark(WISH)
    assert fixed_digest(ET.fromstring(written(WISH))) == mark(WISH), "the mark is not part of itself"
