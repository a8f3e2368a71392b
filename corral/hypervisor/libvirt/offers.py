"""Offers: what VMs can get from this host's QEMU, libvirt and kernel.

In this room   parsing of libvirt's domain capabilities; what only a look or a trial on the host shows
Comes in       the domain capabilities (XML); `root`, which is / but for tests
Goes out       Offers
Always true    what could not be found out is not offered; tried, not believed: traffic shaping is done once in a
               network namespace that is thrown away
Next door      inventory.py has the rest of the host; scheduler/traits.py asks for what is offered
Start here     read_offers()
"""

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from corral.hypervisor.libvirt.firmware import find_firmware
from corral.hypervisor.libvirt.inventory import Capabilities
from corral.model.hardware import Firmware, Graphics, GuestCpu
from corral.model.node import Offers

TPM_PROGRAMS: Final = ("swtpm", "swtpm_setup")
SHAPING: Final = """
set -e
tc qdisc add dev lo root handle 1: htb default 1
tc class add dev lo parent 1: classid 1:1 htb rate 1mbit
tc qdisc add dev lo parent 1:1 handle 2: sfq perturb 10
tc qdisc add dev lo ingress
tc filter add dev lo parent ffff: protocol all u32 match u32 0 0 police rate 1mbit burst 10k drop flowid :1
"""  # what libvirt does for <bandwidth>
TRIAL_S_MAX: Final = 10


def read_offers(
    document: str, capabilities: Capabilities, root: Path, *, kvm: bool, nic_limits: bool
) -> Offers:
    """Blocking. raises ValueError: no domain capabilities"""
    try:
        tree = ET.fromstring(document)
    except ET.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    uefi, secure = find_firmware(root, capabilities.architecture, capabilities.machine)
    firmware = ((Firmware.UEFI, uefi), (Firmware.UEFI_SECURE, secure))
    return Offers(
        machines=capabilities.machines,
        cpu=_host_model(tree) if kvm else None,
        cpu_models=_models(tree),
        firmware=tuple(name.value for name, files in firmware if files),
        tpm="emulator" in _values(tree, "devices/tpm/enum[@name='backendModel']") and _has_swtpm(root),
        nested=_nested(root) if kvm else True,
        graphics=tuple(sorted(_values(tree, "devices/graphics/enum[@name='type']") & set(Graphics))),
        nic_limits=nic_limits,
    )


def _host_model(tree: ET.Element) -> GuestCpu | None:
    mode = tree.find("cpu/mode[@name='host-model'][@supported='yes']")
    if mode is None or not mode.findtext("model"):
        return None
    return read_cpu(mode)


def read_cpu(element: ET.Element) -> GuestCpu:
    """A guest's CPU as libvirt writes it."""
    by_policy: dict[str, list[str]] = {"require": [], "disable": []}
    for feature in element.iterfind("feature"):
        by_policy.get(feature.get("policy", "require"), []).append(feature.get("name", ""))
    return GuestCpu(
        model=element.findtext("model", ""),
        vendor=element.findtext("vendor", ""),
        require=tuple(sorted(by_policy["require"])),
        disable=tuple(sorted(by_policy["disable"])),
    )


def _models(tree: ET.Element) -> tuple[str, ...]:
    models = tree.iterfind("cpu/mode[@name='custom']/model[@usable='yes']")
    return tuple(sorted({model.text or "" for model in models}))


def _values(tree: ET.Element, path: str) -> set[str]:
    return {value.text or "" for enum in tree.iterfind(path) for value in enum.iterfind("value")}


def _has_swtpm(root: Path) -> bool:
    return all(any((root / f / p).exists() for f in ("usr/bin", "usr/local/bin")) for p in TPM_PROGRAMS)


def _nested(root: Path) -> bool:
    for module in ("kvm_intel", "kvm_amd"):
        try:
            text = (root / "sys/module" / module / "parameters/nested").read_text()
        except OSError:
            continue
        return text.strip() in ("1", "Y")
    return False


def can_shape_traffic() -> bool:
    """Blocking. Whether the kernel has what libvirt needs to limit a NIC."""
    try:
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", SHAPING],
            capture_output=True,
            timeout=TRIAL_S_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
