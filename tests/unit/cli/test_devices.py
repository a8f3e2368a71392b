"""Devices as people see them: what a node hands out, what a VM asks for and has."""

import msgspec

from corral.hypervisor.simulated.devices import a_gpu, a_nic, its_sound
from corral.model.hardware import DeviceKind, Hardware, HeldDevice, HostDevice, Platform
from corral.model.node import Inventory
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi
from tests.unit.client.samples import NODE, a_vm

WHOLE = a_gpu(0x3B, 0)
OURS = msgspec.structs.replace(a_gpu(0x5E, 1), driver="nouveau")
DEVICES = (WHOLE, its_sound(WHOLE), OURS, a_gpu(0xAF, 1, slices=4), *a_nic(0x17, 0, 2))
HELD = (
    HeldDevice(kind=DeviceKind.PCI, id=WHOLE.address),
    HeldDevice(kind=DeviceKind.VF, id="0000:17:00.1", network="net-1", mac="0e:00:00:00:00:01", vlan=7),
    HeldDevice(kind=DeviceKind.MDEV, id="nvidia-474", parent="0000:af:00.0", uuid="c044a100-1"),
)


def test_what_a_node_hands_out(api: FakeApi, corral: Corral) -> None:
    status = msgspec.structs.replace(NODE.status, inventory=Inventory(devices=DEVICES))
    api.add(NODE.having(status=status))
    out = corral("node", "show", NODE.name).out
    for line in (
        "1 x gpu GA100 [A100 PCIe 40GB] (10de:20f1) in cell 0",
        "1 x gpu GA100 [A100 PCIe 40GB] (10de:20f1) in cell 1, for no VM: is the host's: bound to driver nouveau",
        "4 x mdev A100-1-5C (nvidia-474) in cell 1",
        "2 x vf ConnectX Family mlx5Gen Virtual Function (15b3:101e) on ens3f0 in cell 0",
        "0000:3b:00.0 10de:20f1 GA100 [A100 PCIe 40GB] in IOMMU group 59, driver vfio-pci",
    ):
        assert line in out


def test_what_a_vm_asks_for_and_has(api: FakeApi, corral: Corral) -> None:
    vm = a_vm("ai")
    asked = Hardware(
        devices=(
            HostDevice(kind=DeviceKind.GPU, model="A100", count=2),
            HostDevice(kind=DeviceKind.MDEV, id="nvidia-474"),
            HostDevice(kind=DeviceKind.USB, id="046d:c52b"),
        )
    )
    spec = msgspec.structs.replace(vm.spec, hardware=asked)
    api.add(vm.having(spec=spec, status=msgspec.structs.replace(vm.status, platform=Platform(devices=HELD))))
    out = corral("vm", "show", "ai").out
    for line in (
        "2 x GPU of model A100",
        "slice of type nvidia-474",
        "USB device 046d:c52b",
        "PCI device 0000:3b:00.0",
        "virtual function 0000:17:00.1 0e:00:00:00:00:01",
        "slice c044a100-1 of 0000:af:00.0 (nvidia-474)",
    ):
        assert line in out
