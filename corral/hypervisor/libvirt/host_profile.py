"""Host profile: what a definition has to know of the host that it is made for."""

from typing import Final

from msgspec import Struct

from corral.model.ids import VmId
from corral.model.node import AcceleratorKind

NVRAM_DIR: Final = "/var/lib/libvirt/qemu/nvram"  # libvirt's own, which its security drivers know


class FirmwareFiles(Struct, frozen=True):
    """UEFI as QEMU loads it: the code, and the variables that a new VM begins with."""

    code: str
    variables: str


class HostProfile(Struct, frozen=True, kw_only=True):
    """What this host's QEMU is and can."""

    accelerator: AcceleratorKind = AcceleratorKind.TCG
    emulator: str = "/usr/bin/qemu-system-x86_64"
    machine: str = "pc-q35-7.2"  # the newest, for VMs that have none pinned
    architecture: str = "x86_64"
    cpu_vendor: str = ""  # Intel, AMD
    uefi: FirmwareFiles | None = None
    uefi_secure: FirmwareFiles | None = None
    serial_log_dir: str = ""  # where virtlogd keeps what consoles print; empty: nowhere

    @property
    def kvm(self) -> bool:
        return self.accelerator is AcceleratorKind.KVM


def nvram_path(vm: VmId) -> str:
    """Of the VM's UEFI variables. Named by its id: names are reused."""
    return f"{NVRAM_DIR}/{vm}_VARS.fd"


def tpm_dir(uuid: str) -> str:
    """Where libvirt keeps the state of a domain's TPM."""
    return f"/var/lib/libvirt/swtpm/{uuid}"
