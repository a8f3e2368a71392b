"""Hardware for real: Secure Boot with a TPM, which moves along, and what virsh and QEMU see of tuning."""

import asyncio
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from corral.clock import SystemClock
from corral.hypervisor.interface import DomainWish, HypervisorFailed
from corral.hypervisor.libvirt.driver import LibvirtHypervisor
from corral.hypervisor.libvirt.host_profile import nvram_path, tpm_dir
from corral.hypervisor.libvirt.identity import domain_uuid
from corral.hypervisor.libvirt.migration import Route
from corral.hypervisor.libvirt.probe import Probe
from corral.model.hardware import (
    Bus,
    DiskCache,
    DiskLimits,
    DiskTuning,
    Firmware,
    Graphics,
    GuestKind,
    Hardware,
    NicLimits,
    NicModel,
    Pinning,
    Topology,
    Watchdog,
)
from corral.model.ids import NetworkId, SnapshotId, VmId, VolumeId
from corral.model.link import DiskAssignment, NicAssignment, SnapshotAssignment
from corral.model.units import MiB
from tests.lab.boot_sector import write_disk
from tests.lab.efi import run, signed_disk, trust_test_keys, unsigned_disk
from tests.lab.libvirtd import Host, hosts, why_not

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_not()), reason=why_not())]

CLOCK = SystemClock()
NIC = NicAssignment(network=NetworkId("net-1"), bridge="br0", mac="52:54:00:00:00:01")


class Lab:
    def __init__(self, made: list[Host], folder: Path) -> None:
        self.hosts, self.folder = made, folder

    def driver(self, n: int) -> LibvirtHypervisor:
        host = self.hosts[n]
        return LibvirtHypervisor(
            host.uri,
            CLOCK,
            root=host.files,
            probe=Probe(CLOCK, self.folder / "accelerator.json"),
            route=Route(trust_shared=True),
            migration_address=host.address,
            validate=True,
        )

    def disk(self, name: str, bus: Bus = Bus.VIRTIO, **tuning: object) -> DiskAssignment:
        path = self.folder / f"{name}.raw"
        if not path.exists():
            write_disk(path)
        tuned = DiskTuning(**tuning)  # type: ignore[arg-type]
        volume = VolumeId(f"vol-{name:0>20}")
        return DiskAssignment(volume=volume, path=str(path), format="raw", bus=bus, tuning=tuned, shared=True)


def a_wish(name: str, *disks: DiskAssignment, **more: object) -> DomainWish:
    plain = {"cpus": 1, "memory_bytes": 32 * MiB, "nics": (NIC,)}
    vm = VmId(f"vm-01JH{name.upper():0>22}")
    return DomainWish(vm=vm, name=name, generation=1, disks=disks, **{**plain, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("hardware")
    with hosts(2, folder) as made:
        for host in made:
            trust_test_keys(host.root / "firmware")
        yield Lab(made, folder)


@pytest_asyncio.fixture
async def drivers(lab: Lab) -> AsyncIterator[tuple[LibvirtHypervisor, LibvirtHypervisor]]:
    both = lab.driver(0), lab.driver(1)
    for driver in both:
        await driver.open()
    yield both
    for driver in both:
        for vm in await driver.look():
            await driver.destroy(vm)
            await driver.undefine(vm)
        await driver.close()


async def says(
    driver: LibvirtHypervisor, vm: VmId, *words: str, type_: bytes = b"", timeout_s: float = 60.0
) -> str:
    """What the guest prints until all of the words have come; `type_` is typed whenever it is silent."""
    console = await driver.console(vm)
    heard = ""
    try:
        async with asyncio.timeout(timeout_s):
            await console.write(type_)
            while not all(word in heard for word in words):
                try:
                    heard += (await asyncio.wait_for(console.read(), timeout=2.0)).decode(errors="replace")
                except TimeoutError:
                    await console.write(type_)
    except TimeoutError:
        raise AssertionError(f"{words} did not come; the console says:\n{heard}") from None
    finally:
        await console.close()
    return heard


SECURE = Hardware(firmware=Firmware.UEFI_SECURE, tpm=True)
ASK = b"echo sb=$(dmesg | grep -c 'Secure boot enabled') tpm=$(cat /sys/class/tpm/tpm0/tpm_version_major)\n"


async def test_secure_boot_and_tpm_move_along(
    lab: Lab, drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]
) -> None:
    """The guest sees both; it moves live; its variables and TPM state are at the target and not at the source.

    An unsigned guest, started beside it, is refused by the firmware.
    """
    one, two = drivers
    signed_disk(lab.folder)
    unsigned_disk(lab.folder)
    refused = a_wish("unsigned", lab.disk("unsigned"), memory_bytes=256 * MiB, hardware=SECURE, nics=())
    await two.define(refused)
    await two.start(refused.vm)
    wish = a_wish("secure", lab.disk("signed"), memory_bytes=256 * MiB, hardware=SECURE, nics=())
    await one.define(wish)
    await one.start(wish.vm)
    await asyncio.gather(says(one, wish.vm, "sb=1 tpm=2", type_=ASK), says(two, refused.vm, "Access Denied"))
    await two.destroy(refused.vm)
    await two.prepare_incoming(wish)
    await one.migrate(wish.vm, lab.hosts[1].address, wish=wish)
    await says(two, wish.vm, "sb=1 tpm=2", type_=ASK)
    left, arrived = (
        [
            (host.files / path.lstrip("/")).exists()
            for path in (nvram_path(wish.vm), tpm_dir(domain_uuid(wish.vm)))
        ]
        for host in lab.hosts
    )
    assert (left, arrived) == ([False, False], [True, True])
    await two.destroy(wish.vm)
    await two.undefine(wish.vm)
    assert not (lab.hosts[1].files / nvram_path(wish.vm).lstrip("/")).exists()


EXTEND = bytes.fromhex("80020000004100000182000000100000000940000009000000000000000001000b") + 32 * b"\x11"
"""TPM2_PCR_Extend of PCR 16 by 32 bytes (TCG TPM 2.0 Library, part 3)"""
TYPE_EXTEND = ("printf '" + "".join(rf"\x{byte:02x}" for byte in EXTEND) + "' >/dev/tpm0\n").encode()
PCR = b"echo pcr=$(cat /sys/class/tpm/tpm0/pcr-sha256/16 | cut -c1-16)\n"


def pcr(extended: int) -> str:
    """How the guest prints PCR 16 after so many extensions."""
    value = bytes(32)
    for _ in range(extended):
        value = hashlib.sha256(value + 32 * b"\x11").digest()
    return f"pcr={value.hex()[:16].upper()}"


async def types(driver: LibvirtHypervisor, vm: VmId, line: bytes) -> None:
    console = await driver.console(vm)
    await console.write(line)
    await console.close()


async def test_memory_of_secure_boot_comes_back_with_its_variables_and_tpm(
    lab: Lab, drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]
) -> None:
    """QEMU keeps both beside the memory: what the TPM and the variables' file hold later is overwritten by it."""
    one, host = drivers[0], lab.hosts[0]
    path = lab.folder / "kept.qcow2"
    run("qemu-img", "convert", "-O", "qcow2", str(signed_disk(lab.folder)), str(path))
    disk = DiskAssignment(volume=VolumeId(f"vol-{'kept':0>20}"), path=str(path))
    wish = a_wish("kept", disk, memory_bytes=256 * MiB, hardware=SECURE, nics=())
    variables = host.files / nvram_path(wish.vm).lstrip("/")
    await one.define(wish)
    await one.start(wish.vm)
    await says(one, wish.vm, "sb=1 tpm=2", type_=ASK)
    await types(one, wish.vm, TYPE_EXTEND)
    await says(one, wish.vm, pcr(1), type_=PCR)
    of = SnapshotAssignment(snapshot=SnapshotId("snap-1"), disks=(disk,), memory=True, freeze=False)
    assert (await one.take_snapshot(wish.vm, of)).memory_bytes
    await types(one, wish.vm, TYPE_EXTEND)
    await says(one, wish.vm, pcr(2), type_=PCR)
    await one.destroy(wish.vm)
    kept = variables.read_bytes()
    variables.write_bytes(bytes(len(kept)))
    await one.revert(wish.vm, of)
    await one.start_from(wish.vm, of)
    await says(one, wish.vm, pcr(1), type_=PCR)
    assert variables.read_bytes() == kept


async def test_tuning_as_virsh_sees_it(
    lab: Lab, drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]
) -> None:
    one, host = drivers[0], lab.hosts[0]
    wish = a_wish(
        "tuned",
        lab.disk("a", iothread=True, limits=DiskLimits(iops=50)),
        lab.disk("b", Bus.SCSI, iothread=True, cache=DiskCache.DIRECTSYNC),
        lab.disk("c", Bus.SCSI),
        cpus=2,
        nics=(replace(NIC, queues=2),),
        hardware=Hardware(
            topology=Topology(sockets=2, cores=2),
            cpus_max=4,
            memory_max_bytes=128 * MiB,
            pinning=Pinning(vcpus=("0", "1"), cells="0"),
            watchdog=Watchdog.RESET,
            graphics=Graphics.NONE,
        ),
    )
    await one.define(wish)
    await one.start(wish.vm)
    live = ET.fromstring(host.inside("virsh", "dumpxml", "tuned"))
    topology = live.find("cpu/topology")
    assert topology is not None and topology.attrib == {
        "sockets": "2",
        "dies": "1",
        "cores": "2",
        "threads": "1",
    }
    assert live.findtext("vcpu") == "4" and live.find("vcpu").get("current") == "2"  # type: ignore[union-attr]
    assert "total_iops_sec : 50" in host.inside("virsh", "blkdeviotune", "tuned", "vda")
    threads = host.inside("virsh", "iothreadinfo", "tuned").split("\n")[2:]
    assert sorted(line.split()[0] for line in threads if line.strip()) == ["1", "2"]
    pins = [line.split() for line in host.inside("virsh", "vcpupin", "tuned").split("\n")[2:] if line.strip()]
    assert pins == [["0", "0"], ["1", "1"], ["2", "1"], ["3", "1"]]


async def test_windows_starts_without_virtio(
    lab: Lab, drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]
) -> None:
    one, host = drivers[0], lab.hosts[0]
    wish = a_wish(
        "windows",
        lab.disk("w", Bus.SATA),
        nics=(replace(NIC, model=NicModel.E1000E),),
        hardware=Hardware(guest=GuestKind.WINDOWS, graphics=Graphics.SPICE),
    )
    await one.define(wish)
    await one.start(wish.vm)
    await says(one, wish.vm, "hello", type_=b"hello")
    live = ET.fromstring(host.inside("virsh", "dumpxml", "windows"))
    listens = [listen.get("type") for listen in live.iterfind("devices/graphics/listen")]
    assert listens == ["socket"], "graphics must not open a port on the node"


async def test_the_node_tells_what_it_offers(drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]) -> None:
    inventory = await drivers[0].inventory()
    offers = inventory.offers
    assert offers.machines and offers.tpm and offers.graphics == ("spice", "vnc")
    assert offers.firmware == ("uefi", "uefi-secure") and "qemu64" in offers.cpu_models
    assert inventory == await drivers[0].inventory()


async def test_limits_of_a_nic_work_or_are_not_offered(
    lab: Lab, drivers: tuple[LibvirtHypervisor, LibvirtHypervisor]
) -> None:
    """What the trial says is what libvirt meets."""
    one = drivers[0]
    wish = a_wish("limited", lab.disk("l"), nics=(replace(NIC, limits=NicLimits(in_mbit=10, out_mbit=10)),))
    await one.define(wish)
    if (await one.inventory()).offers.nic_limits:
        await one.start(wish.vm)
    else:
        with pytest.raises(HypervisorFailed, match="tc"):
            await one.start(wish.vm)
