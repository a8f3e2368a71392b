"""Domain XML against golden files. CORRAL_GOLDEN=write rewrites them: read the difference before you commit it."""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.domain_xml import HostProfile, build_domain_xml
from corral.hypervisor.libvirt.identity import domain_uuid, read_identity
from corral.model.ids import NetworkId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment
from corral.model.node import AcceleratorKind
from corral.model.units import GiB, MiB

GOLDEN = Path(__file__).parent / "golden"
VM = VmId("vm-01JD0000000000000000000WEB")
TCG = HostProfile()
KVM = HostProfile(
    accelerator=AcceleratorKind.KVM, machine="pc-q35-9.1", serial_log_dir="/var/log/libvirt/qemu"
)


def disk(n: int, bus: str = "virtio") -> DiskAssignment:
    volume = VolumeId(f"vol-01JD000000000000000000DSK{n}")
    return DiskAssignment(volume=volume, path=f"/srv/pool/volumes/{volume}.qcow2", bus=bus, shared=True)


def nic(n: int, mtu: int = 1500) -> NicAssignment:
    return NicAssignment(network=NetworkId(f"net-{n}"), bridge=f"br{n}", mac=f"52:54:00:00:00:0{n}", mtu=mtu)


def wish(**changes: object) -> DomainWish:
    plain = {
        "vm": VM,
        "name": "web",
        "generation": 1,
        "cpus": 1,
        "memory_bytes": 128 * MiB,
        "disks": (disk(1),),
    }
    return DomainWish(**{**plain, **changes})  # type: ignore[arg-type]


CASES = [  # name of the golden file, wish, host, more arguments
    ("small-tcg", wish(nics=(nic(0),), seed_path="/var/lib/corral/agent/seeds/web.iso"), TCG, {}),
    (
        "large-kvm",
        wish(cpus=8, memory_bytes=16 * GiB, disks=(disk(1), disk(2)), nics=(nic(0), nic(1, 9000))),
        KVM,
        {},
    ),
    ("other-buses", wish(disks=(disk(1, "sata"), disk(2, "scsi"), disk(3, "usb"))), TCG, {}),
    ("buffered-renamed", wish(), TCG, {"name": "web-000web", "buffered": frozenset({disk(1).path})}),
    ("no-disk-no-nic", wish(disks=()), TCG, {}),
    ("odd-name", wish(name="a&b<c>'d\""), TCG, {}),
]


@pytest.mark.parametrize(("name", "asked", "host", "more"), [pytest.param(*c, id=c[0]) for c in CASES])
def test_golden(name: str, asked: DomainWish, host: HostProfile, more: dict[str, object]) -> None:
    document = build_domain_xml(asked, host, **more)  # type: ignore[arg-type]
    file = GOLDEN / f"{name}.xml"
    if os.environ.get("CORRAL_GOLDEN") == "write":
        file.write_text(document)
    assert document == file.read_text()


def test_identity_comes_back() -> None:
    """What libvirt gives back of the metadata, with or without the prefix, is the identity that went in."""
    root = ET.fromstring(build_domain_xml(wish(generation=7), TCG))
    element = root.find("metadata/{https://corral.dev/xmlns/1}vm")
    assert element is not None
    identity = read_identity(ET.tostring(element, encoding="unicode"))
    assert identity is not None
    assert (identity.vm, identity.generation) == (VM, 7)
    assert root.findtext("uuid") == domain_uuid(VM)


@pytest.mark.parametrize("element", ["", "<vm/>", "<vm id='x'/>", "<vm id='x' generation='many'/>", "no xml"])
def test_foreign_metadata_is_nobodys(element: str) -> None:
    assert read_identity(element) is None


def test_uuid_follows_from_the_id() -> None:
    assert domain_uuid(VM) == domain_uuid(VmId(str(VM)))
    assert domain_uuid(VM) != domain_uuid(VmId("vm-01JD0000000000000000000WEC"))
