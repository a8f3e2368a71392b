"""Devices of a simulated host: who has them, and what the host tells of them.

In this room   check_devices() before a guest starts; seen_devices() for the inventory; a_gpu(), a_nic(): devices to begin with
Comes in       SimulatedHost.devices
Goes out       HypervisorFailed, as libvirt's; PciDevices with the slices that are left
Always true    as on a real host: a device in use, or one that is not there, keeps a guest from starting; slices of one type
               leave no room on their card for those of another
Next door      world.py counts users; tests/sim looks for devices that two guests have
"""

from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish, HypervisorFailed
from corral.hypervisor.simulated.world import SimulatedHost
from corral.model.hardware import DeviceKind, HeldDevice
from corral.model.node import MdevType, PciDevice


def check_devices(host: SimulatedHost, wish: DomainWish) -> None:
    """Raises  HypervisorFailed: one of the VM's devices is not there, or another guest has it"""
    users = host.device_users()
    wanted: dict[str, int] = {}
    for device in wish.platform.devices:
        wanted[device.key] = wanted.get(device.key, 0) + 1
        if device.kind != DeviceKind.USB and not _is_there(host, device):
            raise HypervisorFailed(f"{host.name} has no device {device.key}", device=device.key)
        if len(users.get(device.key, ())) + wanted[device.key] > host.device_count(device.key):
            others = " and ".join(users.get(device.key, ()))
            raise HypervisorFailed(f"device {device.key} is in use by {others}", device=device.key)


def _is_there(host: SimulatedHost, device: HeldDevice) -> bool:
    if device.kind != DeviceKind.MDEV:
        return any(device.id == each.address for each in host.devices)
    parent = next((each for each in host.devices if each.address == device.parent), None)
    return parent is not None and any(device.id == each.type for each in parent.slices)


def seen_devices(host: SimulatedHost) -> tuple[PciDevice, ...]:
    """With the slices that there are, and could be, at the moment."""
    users = host.device_users()
    return tuple(replace(d, slices=_slices(d, users)) if d.slices else d for d in host.devices)


def _slices(device: PciDevice, users: dict[str, tuple[str, ...]]) -> tuple[MdevType, ...]:
    made = {each.type: len(users.get(f"mdev:{device.address}:{each.type}", ())) for each in device.slices}
    return tuple(
        replace(
            each,
            made=made[each.type],
            instances=0 if any(n for type, n in made.items() if type != each.type) else each.instances,
        )
        for each in device.slices
    )


def a_gpu(bus: int, cell: int, *, model: str = "GA100 [A100 PCIe 40GB]", slices: int = 0) -> PciDevice:
    """With its sound beside it in the same IOMMU group (see its_sound()), or to be cut into slices of two sizes."""
    return PciDevice(
        address=f"0000:{bus:02x}:00.0",
        vendor="0x10de",
        device="0x20f1",
        pci_class="0x030200",
        iommu_group=bus,
        numa_cell=cell,
        model=model,
        driver="nvidia" if slices else "vfio-pci",
        slices=(
            MdevType(type="nvidia-474", name="A100-1-5C", instances=slices),
            MdevType(type="nvidia-476", name="A100-2-10C", instances=max(1, slices // 2)),
        )
        if slices
        else (),
    )


def its_sound(gpu: PciDevice) -> PciDevice:
    address = f"{gpu.address[:-1]}1"
    return replace(gpu, address=address, device="0x1aef", pci_class="0x040300", model="", slices=())


def a_nic(bus: int, cell: int, functions: int, link: str = "ens3f0") -> tuple[PciDevice, ...]:
    """A NIC and its virtual functions, on the host's link `link`."""
    nic = PciDevice(
        address=f"0000:{bus:02x}:00.0",
        vendor="0x15b3",
        device="0x101d",
        pci_class="0x020000",
        iommu_group=bus,
        numa_cell=cell,
        model="MT2892 Family [ConnectX-6 Dx]",
        driver="mlx5_core",
        virtual_functions=functions,
        links=(link,),
    )
    return (
        nic,
        *(
            replace(
                nic,
                address=f"0000:{bus:02x}:00.{n + 1}",
                device="0x101e",
                iommu_group=1000 + 16 * bus + n,
                model="ConnectX Family mlx5Gen Virtual Function",
                physical_function=nic.address,
                virtual_functions=0,
            )
            for n in range(functions)
        ),
    )
