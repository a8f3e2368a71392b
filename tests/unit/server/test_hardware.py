"""Hardware of new VMs: who chooses what, and what can't be."""

import msgspec
import pytest

from corral.errors import Invalid, NameTaken, NotFound
from corral.model.hardware import (
    Bus,
    DiskCache,
    Firmware,
    GuestKind,
    Hardware,
    NicModel,
    Topology,
)
from corral.model.network import Segment
from corral.model.profile import DiskChoice, HardwareChoice, NicChoice, VMProfile, VMProfileSpec
from corral.model.units import GiB, MiB, parse_size
from corral.model.vm import VM, RestartPolicy
from corral.server.services.hardware import hardware_of
from corral.server.services.requests import (
    CreateNetwork,
    CreateProfile,
    CreateVM,
    NewDisk,
    NewNic,
    UpdateProfile,
)
from tests.unit.server.rig import ASKING, Rig, in_rig


async def furnished(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan()


async def created(rig: Rig, **fields: object) -> VM:
    operation = await rig.vm(**fields)
    return rig.mirror.find(VM, operation.spec.target.id)


@in_rig
async def test_nothing_said_is_a_modern_linux(rig: Rig) -> None:
    await furnished(rig)
    vm = await created(rig, nics=(NewNic(network="lan"),))
    assert (vm.spec.cpus, vm.spec.memory_bytes) == (1, 512 * MiB)
    assert vm.spec.hardware == Hardware(cpus_max=4, memory_max_bytes=2 * GiB)
    assert (vm.spec.disks[0].bus, vm.spec.nics[0].model) == (Bus.VIRTIO, NicModel.VIRTIO)
    assert (vm.spec.restart, vm.spec.stop_timeout_s) == (RestartPolicy.ON_FAILURE, 90.0)


@in_rig
async def test_windows_gets_what_it_has_drivers_for(rig: Rig) -> None:
    await furnished(rig)
    vm = await created(
        rig, hardware=HardwareChoice(guest=GuestKind.WINDOWS), nics=(NewNic(network="lan"),), memory="8GiB"
    )
    hardware = vm.spec.hardware
    assert (hardware.guest, hardware.firmware, hardware.tpm) == (
        GuestKind.WINDOWS,
        Firmware.UEFI_SECURE,
        True,
    )
    assert (vm.spec.disks[0].bus, vm.spec.nics[0].model) == (Bus.SATA, NicModel.E1000E)
    assert (vm.spec.cpus, vm.spec.memory_bytes) == (2, 8 * GiB)


@in_rig
async def test_request_before_profile_before_preset(rig: Rig) -> None:
    await furnished(rig)
    spec = VMProfileSpec(
        cpus=4,
        memory="4GiB",
        hardware=HardwareChoice(guest=GuestKind.WINDOWS, tpm=False, nested=True),
        disk=DiskChoice(cache=DiskCache.WRITEBACK, iothread=False),
        nic=NicChoice(model=NicModel.VIRTIO, queues=4),
        restart=RestartPolicy.ALWAYS,
    )
    await rig.services.profiles.create(CreateProfile(name="desk", spec=spec), ASKING)
    disks = (NewDisk(image="debian", bus=Bus.SCSI), NewDisk(size="1GiB"))
    vm = await created(
        rig,
        profile="desk",
        cpus=2,
        hardware=HardwareChoice(nested=False),
        disks=disks,
        nics=(NewNic(network="lan", queues=2),),
    )
    hardware = vm.spec.hardware
    assert (vm.spec.cpus, vm.spec.memory_bytes, vm.spec.restart) == (2, 4 * GiB, RestartPolicy.ALWAYS)
    assert (hardware.nested, hardware.tpm, hardware.firmware) == (False, False, Firmware.UEFI_SECURE)
    assert [(d.bus, d.tuning.cache) for d in vm.spec.disks] == [
        (Bus.SCSI, DiskCache.WRITEBACK),
        (Bus.SATA, DiskCache.WRITEBACK),
    ]
    assert (vm.spec.nics[0].model, vm.spec.nics[0].queues) == (NicModel.VIRTIO, 2)


@in_rig
async def test_a_changed_profile_changes_no_vm(rig: Rig) -> None:
    await furnished(rig)
    await rig.services.profiles.create(CreateProfile(name="db", spec=VMProfileSpec(cpus=4)), ASKING)
    vm = await created(rig, profile="db")
    await rig.services.profiles.update("db", UpdateProfile(spec=VMProfileSpec(cpus=8)), ASKING)
    assert rig.mirror.find(VMProfile, "db").spec.cpus == 8
    assert rig.mirror.find(VM, vm.id).spec.cpus == 4
    await rig.services.profiles.delete("db", ASKING)
    with pytest.raises(NotFound):
        await rig.vm("other", profile="db")


@in_rig
async def test_a_profile_that_no_vm_could_have_is_refused(rig: Rig) -> None:
    broken = VMProfileSpec(disk=DiskChoice(bus=Bus.SATA, iothread=True))
    with pytest.raises(Invalid, match="iothread"):
        await rig.services.profiles.create(CreateProfile(name="broken", spec=broken), ASKING)
    with pytest.raises(NameTaken):
        await rig.services.profiles.create(CreateProfile(name="windows"), ASKING)


@in_rig
async def test_what_is_costly_is_said(rig: Rig) -> None:
    await furnished(rig)
    operation = await rig.vm(hardware=HardwareChoice(cpu_model="host"))
    assert "moves live only to nodes with the same CPU" in operation.spec.warnings[0]


def body(**hardware: object) -> dict[str, object]:
    return {"hardware": hardware}


REFUSED = [  # name, body, field
    ("machine without a version", body(machine="q35"), "hardware.machine"),
    ("machine of another kind", body(machine="pc-i440fx-7.2"), "hardware.machine"),
    ("CPU model of no name", body(cpu_model="-x y"), "hardware.cpu_model"),
    ("fewer vCPUs at most than it has", {"cpus": 4, **body(cpus_max=2)}, "hardware.cpus_max"),
    ("too many vCPUs", body(cpus_max=256), "hardware.cpus_max"),
    ("vCPUs without end", {"cpus": 256}, "cpus"),
    ("less memory at most than it has", body(memory_max="256MiB"), "hardware.memory_max"),
    ("memory of no size", {"memory": "much"}, "memory"),
    ("topology of other vCPUs", body(cpus_max=4, topology={"cores": 2}), "hardware.topology"),
    ("topology too small", {"cpus": 4, **body(topology={"cores": 2})}, "hardware.cpus_max"),
    ("topology of nothing", body(cpus_max=1, topology={"cores": 0}), "hardware.topology.cores"),
    ("more pins than vCPUs", body(cpus_max=1, pinning={"vcpus": ["0", "1"]}), "hardware.pinning.vcpus"),
    ("pins that are none", body(pinning={"vcpus": ["a"]}), "hardware.pinning.vcpus[0]"),
    ("pins backwards", body(pinning={"emulator": "3-1"}), "hardware.pinning.emulator"),
    ("pages of an odd size", body(hugepages="4MiB"), "hardware.hugepages"),
    ("no whole pages", {"memory": "513MiB", **body(hugepages="2MiB")}, "memory"),
    ("video without graphics", body(graphics="none", video="vga"), "hardware.video"),
    ("PCI device of no address", body(devices=[{"kind": "pci", "id": "3b:00.0"}]), "hardware.devices[0].id"),
    ("USB device by a PCI address", body(devices=[{"kind": "usb", "id": "0000:3b:00.0"}]), "hardware.devices[0].id"),
    ("one device twice", body(devices=[{"kind": "usb", "id": "046d:c52b"}] * 2), "hardware.devices[1].id"),
    ("a GPU by an address", body(devices=[{"kind": "gpu", "id": "0000:3b:00.0"}]), "hardware.devices[0].id"),
    ("a slice of no type", body(devices=[{"kind": "mdev"}]), "hardware.devices[0].id"),
    ("a slice of a model", body(devices=[{"kind": "mdev", "id": "nvidia-63", "model": "A40"}]), "hardware.devices[0].model"),
    ("a GPU on a network", body(devices=[{"kind": "gpu", "network": "lan"}]), "hardware.devices[0].network"),
    ("no GPUs", body(devices=[{"kind": "gpu", "count": 0}]), "hardware.devices[0].count"),
    ("GPUs without end", body(devices=[{"kind": "gpu", "count": 33}]), "hardware.devices[0].count"),
    ("more devices than slots", body(devices=[{"kind": "gpu", "count": 20}, {"kind": "vf", "count": 20}]), "hardware.devices"),
    ("one address several times", body(devices=[{"kind": "pci", "id": "0000:3b:00.0", "count": 2}]), "hardware.devices[0].id"),
    ("a virtual function on an isolated network", body(devices=[{"kind": "vf", "network": "alone"}]), "hardware.devices[0].network"),
    ("NVMe", {"disks": [{"size": "1GiB", "bus": "nvme"}]}, "disks[0].bus"),
    ("AIO through the page cache", {"disks": [{"size": "1GiB", "io": "native", "cache": "writeback"}]}, "disks[0].io"),
    ("thread for a SATA disk", {"disks": [{"size": "1GiB", "bus": "sata", "iothread": True}]}, "disks[0].iothread"),
    ("total and part of a limit", {"disks": [{"size": "1GiB", "limits": {"iops": 1, "read_iops": 1}}]}, "disks[0].limits.iops"),
    ("limit below nothing", {"disks": [{"size": "1GiB", "limits": {"bytes_s": -1}}]}, "disks[0].limits.bytes_s"),
    ("queues for e1000e", {"nics": [{"network": "lan", "model": "e1000e", "queues": 2}]}, "nics[0].queues"),
    ("no queue", {"nics": [{"network": "lan", "queues": 0}]}, "nics[0].queues"),
    ("rate below nothing", {"nics": [{"network": "lan", "limits": {"in_mbit": -1}}]}, "nics[0].limits.in_mbit"),
]  # fmt: skip


@in_rig
async def test_what_can_not_be_is_named(rig: Rig) -> None:
    await furnished(rig)
    alone = CreateNetwork(name="alone", segment=Segment.ISOLATED)
    await rig.services.networks.create(alone, ASKING)
    for name, fields, field in REFUSED:
        ask = msgspec.convert({"name": "web", **fields}, CreateVM)
        with pytest.raises(Invalid) as refused:
            await rig.services.vms.create(ask, ASKING)
        assert refused.value.context["field"] == field, name


GROWTH = [  # name, cpus, memory, choice, most cpus, most memory
    ("four times", 2, "1GiB", {}, 8, 4 * GiB),
    ("large ones not beyond measure", 32, "256GiB", {}, 64, 512 * GiB),
    ("very large ones not at all", 100, "1TiB", {}, 100, 1024 * GiB),
    ("as the topology says", 2, "1GiB", {"topology": Topology(sockets=2, cores=3)}, 6, 4 * GiB),
    ("not at all", 2, "1GiB", {"cpus_max": 0, "memory_max": 0}, 2, GiB),
]


@pytest.mark.parametrize(
    ("cpus", "memory", "choice", "most_cpus", "most_memory"),
    [pytest.param(*row[1:], id=row[0]) for row in GROWTH],
)
def test_room_to_grow(
    cpus: int, memory: str, choice: dict[str, object], most_cpus: int, most_memory: int
) -> None:
    hardware = hardware_of(HardwareChoice(**choice), cpus, parse_size(memory))  # type: ignore[arg-type]
    assert (hardware.cpus_max, hardware.memory_max_bytes) == (most_cpus, most_memory)
