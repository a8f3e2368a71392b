"""Domain XML against golden files. CORRAL_GOLDEN=write rewrites them: read the difference before you commit it."""

import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from shutil import which

import pytest
from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish, HardwareLacking
from corral.hypervisor.libvirt.domain_xml import build_domain_xml
from corral.hypervisor.libvirt.host_profile import FirmwareFiles, HostProfile
from corral.hypervisor.libvirt.identity import domain_uuid, read_identity
from corral.hypervisor.libvirt.mdevs import named_in, wanted
from corral.hypervisor.libvirt.places import keep_places
from corral.model.hardware import (
    Bus,
    DeviceKind,
    DiskCache,
    DiskIo,
    DiskLimits,
    DiskTuning,
    Firmware,
    Graphics,
    GuestCpu,
    GuestKind,
    Hardware,
    HeldDevice,
    HostDevice,
    NicLimits,
    NicModel,
    Pinning,
    Platform,
    Topology,
    Watchdog,
)
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


OVMF = "/usr/share/OVMF/OVMF_"
UEFI_KVM = replace(
    KVM,
    cpu_vendor="Intel",
    uefi=FirmwareFiles(f"{OVMF}CODE_4M.fd", f"{OVMF}VARS_4M.fd"),
    uefi_secure=FirmwareFiles(f"{OVMF}CODE_4M.ms.fd", f"{OVMF}VARS_4M.ms.fd"),
)
PINNED = Platform(
    machine="pc-q35-8.0",
    cpu=GuestCpu(
        model="Skylake-Server-IBRS", vendor="Intel", require=("md-clear", "vmx"), disable=("hle", "rtm")
    ),
)


def disk(n: int, bus: Bus = Bus.VIRTIO, **tuning: object) -> DiskAssignment:
    volume = VolumeId(f"vol-01JD000000000000000000DSK{n}")
    path = f"/srv/pool/volumes/{volume}.qcow2"
    tuned = DiskTuning(**tuning)  # type: ignore[arg-type]
    return DiskAssignment(volume=volume, path=path, bus=bus, tuning=tuned, shared=True)


def nic(n: int, mtu: int = 1500, **more: object) -> NicAssignment:
    mac = f"52:54:00:00:00:0{n}"
    return NicAssignment(network=NetworkId(f"net-{n}"), bridge=f"br{n}", mac=mac, mtu=mtu, **more)  # type: ignore[arg-type]


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


HELD = (
    HeldDevice(kind=DeviceKind.PCI, id="0000:3b:00.0"),
    HeldDevice(kind=DeviceKind.VF, id="0000:17:00.2", network="net-1", mac="0e:11:22:33:44:55", vlan=42),
    HeldDevice(
        kind=DeviceKind.MDEV,
        id="nvidia-558",
        parent="0000:af:00.4",
        uuid="c044a100-54d2-8b1e-85b3-a6a62d165c01",
    ),
)

CASES = [  # name of the golden file, wish, host, more arguments
    ("small-tcg", wish(nics=(nic(0),), seed_path="/var/lib/corral/agent/seeds/web.iso"), TCG, {}),
    (
        "large-kvm",
        wish(cpus=8, memory_bytes=16 * GiB, disks=(disk(1), disk(2)), nics=(nic(0), nic(1, 9000))),
        KVM,
        {},
    ),
    ("other-buses", wish(disks=(disk(1, Bus.SATA), disk(2, Bus.SCSI), disk(3, Bus.USB))), TCG, {}),
    ("buffered-renamed", wish(), TCG, {"name": "web-000web", "buffered": frozenset({disk(1).path})}),
    ("no-disk-no-nic", wish(disks=()), TCG, {}),
    (
        "windows",
        wish(
            cpus=4,
            memory_bytes=8 * GiB,
            disks=(disk(1, Bus.SATA),),
            nics=(nic(0, model=NicModel.E1000E),),
            seed_path="/var/lib/corral/agent/seeds/win.iso",
            hardware=Hardware(guest=GuestKind.WINDOWS, firmware=Firmware.UEFI_SECURE, tpm=True),
            platform=PINNED,
        ),
        UEFI_KVM,
        {},
    ),
    (
        "grows",
        wish(
            cpus=2,
            hardware=Hardware(
                firmware=Firmware.UEFI, cpus_max=8, memory_max_bytes=GiB, watchdog=Watchdog.RESET
            ),
        ),
        UEFI_KVM,
        {},
    ),
    (
        "tuned",
        wish(
            cpus=4,
            memory_bytes=4 * GiB,
            disks=(
                disk(1, iothread=True, io=DiskIo.IO_URING, limits=DiskLimits(iops=500, bytes_s=10**7)),
                disk(2, Bus.SCSI, iothread=True, cache=DiskCache.DIRECTSYNC, discard=False),
                disk(3, Bus.SCSI, limits=DiskLimits(read_iops=100, write_iops=50)),
            ),
            nics=(nic(0, queues=4, limits=NicLimits(in_mbit=100, out_mbit=10)),),
            hardware=Hardware(
                machine="pc-q35-6.2",
                cpu_model="host",
                nested=True,
                topology=Topology(sockets=1, cores=2, threads=2),
                pinning=Pinning(vcpus=("2", "3", "4-5"), emulator="0-1", cells="0"),
                hugepage_bytes=2 * MiB,
                graphics=Graphics.NONE,
            ),
        ),
        UEFI_KVM,
        {},
    ),
    (
        "passed-through-spice",
        wish(
            hardware=Hardware(
                cpu_model="Haswell-noTSX",
                graphics=Graphics.SPICE,
                devices=(
                    HostDevice(kind=DeviceKind.PCI, id="10de:1aef"),
                    HostDevice(kind=DeviceKind.USB, id="046d:c52b"),
                ),
            ),
            platform=Platform(
                devices=(
                    HeldDevice(kind=DeviceKind.PCI, id="0000:3b:00.1"),
                    HeldDevice(kind=DeviceKind.USB, id="046d:c52b"),
                )
            ),
        ),
        UEFI_KVM,
        {},
    ),
    (
        "devices-by-class",
        wish(
            hardware=Hardware(
                devices=(
                    HostDevice(kind=DeviceKind.GPU, model="H100"),
                    HostDevice(kind=DeviceKind.VF, network="net-1"),
                    HostDevice(kind=DeviceKind.MDEV, id="nvidia-558"),
                )
            ),
            platform=Platform(devices=HELD, near_cell=1),
        ),
        KVM,
        {},
    ),
    ("nested-tcg", wish(hardware=Hardware(nested=True)), TCG, {}),
    ("odd-name", wish(name="a&b<c>'d\""), TCG, {}),
]


@pytest.mark.parametrize(("name", "asked", "host", "more"), [pytest.param(*c, id=c[0]) for c in CASES])
def test_golden(name: str, asked: DomainWish, host: HostProfile, more: dict[str, object]) -> None:
    document = build_domain_xml(asked, host, **more)  # type: ignore[arg-type]
    file = GOLDEN / f"{name}.xml"
    if os.environ.get("CORRAL_GOLDEN") == "write":
        file.write_text(document)
    assert document == file.read_text()


SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


@pytest.mark.skipif(
    not (SCHEMA.exists() and which("xmllint")), reason="no xmllint, or no schema of libvirt's"
)
def test_golden_files_are_what_libvirt_takes() -> None:
    files = sorted(GOLDEN.glob("*.xml"))
    words = ["xmllint", "--noout", "--relaxng", str(SCHEMA), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and len(files) >= len(CASES), done.stderr


def test_a_definition_says_which_slices_each_start_needs() -> None:
    """The domain names a UUID only: of what it is made stands in Corral's mark, and no other device does."""
    document = build_domain_xml(wish(platform=Platform(devices=HELD)), KVM)
    assert wanted(document) == HELD[2:] and wanted(build_domain_xml(wish(), KVM)) == ()
    assert named_in(document) == {HELD[2].uuid}
    placed = keep_places(document, "")
    assert wanted(placed) == HELD[2:]


def test_firmware_that_the_host_lacks() -> None:
    with pytest.raises(HardwareLacking, match="uefi-secure") as refused:
        build_domain_xml(wish(hardware=Hardware(firmware=Firmware.UEFI_SECURE)), TCG)
    assert "OVMF" in refused.value.hint


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
