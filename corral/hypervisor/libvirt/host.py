"""Host: the machine around the domains, as the driver has to know it.

In this room   Host: capabilities, asked once a connection; the accelerator's verdict; files and links of the host
Comes in       a connection; `root`, which is / but for tests and for hosts that are namespaces
Goes out       Inventory, HostProfile
Always true    a definition uses KVM only where libvirt offers it and the trial succeeded
Next door      inventory.py parses, probe.py tries
Start here     Host.profile()
"""

import asyncio
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import libvirt
from msgspec.structs import replace

from corral.hypervisor.interface import DomainWish
from corral.hypervisor.libvirt.connection import Connection
from corral.hypervisor.libvirt.definition import kept_paths
from corral.hypervisor.libvirt.firmware import find_firmware
from corral.hypervisor.libvirt.host_profile import HostProfile
from corral.hypervisor.libvirt.inventory import Capabilities, parse_capabilities, read_inventory
from corral.hypervisor.libvirt.node_devices import DeviceFacts, parse_node_devices
from corral.hypervisor.libvirt.offers import can_shape_traffic, read_offers
from corral.hypervisor.libvirt.probe import Probe
from corral.model.node import Accelerator, AcceleratorKind, Inventory, Offers

CAPABILITIES_S_MAX: Final = (
    120.0  # the first time libvirtd runs every QEMU there is: 8 s alone, more on a busy host
)


class Host:
    """What is asked seldom, and remembered until libvirtd may be another."""

    def __init__(self, connection: Connection, probe: Probe, root: Path, serial_log_dir: str) -> None:
        self._connection, self._probe = connection, probe
        self._root, self._serial_log_dir = root, serial_log_dir
        self._capabilities: Capabilities | None = None
        self._domain_capabilities = ""
        self._nic_limits: bool | None = None  # None: not tried yet

    def forget(self) -> None:
        """After a reconnect: libvirtd or QEMU may have been upgraded."""
        self._capabilities, self._domain_capabilities = None, ""

    async def inventory(self) -> Inventory:
        """Fresh, but for the accelerator's trial."""
        capabilities, versions = await self._ask()
        facts = await self._connection.call("capabilities", "read devices", _node_devices)
        plain = await asyncio.to_thread(read_inventory, capabilities, versions, self._root, facts)
        accelerator = await self._accelerator(capabilities)
        return replace(plain, accelerator=accelerator, offers=await self._offers(capabilities, accelerator))

    async def _offers(self, capabilities: Capabilities, accelerator: Accelerator) -> Offers:
        kvm = accelerator.kind is AcceleratorKind.KVM
        if not self._domain_capabilities:
            self._domain_capabilities = await self._connection.call(
                "capabilities",
                "read what domains can have",
                lambda c: _domain_capabilities(c, capabilities, kvm=kvm),
                timeout_s=CAPABILITIES_S_MAX,
            )
        if self._nic_limits is None:
            self._nic_limits = await asyncio.to_thread(can_shape_traffic)
        return await asyncio.to_thread(
            lambda: read_offers(
                self._domain_capabilities,
                capabilities,
                self._root,
                kvm=kvm,
                nic_limits=bool(self._nic_limits),
            )
        )

    async def profile(self) -> HostProfile:
        capabilities = self._capabilities or (await self._ask())[0]
        accelerator = await self._accelerator(capabilities)
        uefi, uefi_secure = await asyncio.to_thread(
            find_firmware, self._root, capabilities.architecture, capabilities.machine
        )
        return HostProfile(
            accelerator=accelerator.kind,
            emulator=capabilities.emulator,
            machine=capabilities.machine,
            architecture=capabilities.architecture,
            cpu_vendor=capabilities.cpu.vendor,
            uefi=uefi,
            uefi_secure=uefi_secure,
            serial_log_dir=self._serial_log_dir,
        )

    def at(self, path: str) -> Path:
        """A path of the host's."""
        return self._root / path.lstrip("/")

    def missing(self, wish: DomainWish) -> str:
        """Blocking. What of the VM's surroundings is not here, in words; empty: nothing."""
        paths = (
            [disk.path for disk in wish.disks]
            + kept_paths(wish)
            + ([wish.seed_path] if wish.seed_path else [])
        )
        lacking = [path for path in paths if not self.at(path).exists()]
        lacking += [nic.bridge for nic in wish.nics if not self.at(f"/sys/class/net/{nic.bridge}").exists()]
        return f"there is no {', '.join(lacking)}" if lacking else ""

    async def _ask(self) -> tuple[Capabilities, str]:
        document, versions = await self._connection.call(
            "capabilities", "read capabilities", _capabilities, timeout_s=CAPABILITIES_S_MAX
        )
        self._capabilities = parse_capabilities(document)
        return self._capabilities, versions

    async def _accelerator(self, capabilities: Capabilities) -> Accelerator:
        if not capabilities.offers_kvm:
            return Accelerator(reason="libvirt does not offer KVM here")
        return await self._probe.verdict(capabilities.emulator)


def takes_direct_io(path: Path) -> bool:
    """Whether the file can be opened around the page cache (tmpfs could not before Linux 6.6). No file: assume so."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_state(nvram: Path, tpm: Path) -> None:
    """Blocking. UEFI variables and TPM state, which a migration leaves behind at its source."""
    with suppress(OSError):
        nvram.unlink(missing_ok=True)
    shutil.rmtree(tpm, ignore_errors=True)


def remove_logs(log: Path) -> None:
    """Blocking. The log of a console, and what virtlogd rotated out of it."""
    with suppress(OSError):
        for file in log.parent.glob(f"{log.name}*"):
            file.unlink(missing_ok=True)


def _capabilities(connection: libvirt.virConnect) -> tuple[str, str]:
    versions = f"QEMU {_version(connection.getVersion())}, libvirt {_version(connection.getLibVersion())}"
    return connection.getCapabilities(), versions


def _node_devices(connection: libvirt.virConnect) -> dict[str, DeviceFacts]:
    """A libvirtd without the driver for it tells nothing; a device that is gone meanwhile is left out."""
    kinds = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV | libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV
    documents: list[str] = []
    try:
        devices = connection.listAllDevices(kinds)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return {}
        raise
    for device in devices:
        try:
            documents.append(device.XMLDesc())
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_NODE_DEVICE:
                raise
    return parse_node_devices(documents)


def _domain_capabilities(connection: libvirt.virConnect, capabilities: Capabilities, *, kvm: bool) -> str:
    document: str = connection.getDomainCapabilities(
        capabilities.emulator, capabilities.architecture, capabilities.machine, "kvm" if kvm else "qemu", 0
    )
    return document


def _version(number: int) -> str:
    """Of 9000000: 9.0.0."""
    return f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
