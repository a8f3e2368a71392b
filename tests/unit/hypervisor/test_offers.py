"""What a host offers to VMs, read from libvirt's domain capabilities and from a small host made of files."""

from pathlib import Path

import pytest

from corral.hypervisor.libvirt.inventory import Capabilities, read_inventory
from corral.hypervisor.libvirt.offers import read_offers
from corral.model.hardware import GuestCpu
from corral.model.node import Offers, UsbDevice

DOCUMENT = """
<domainCapabilities>
  <cpu>
    <mode name='host-model' supported='yes'>
      <model fallback='forbid'>Haswell-noTSX</model><vendor>Intel</vendor>
      <feature policy='require' name='vmx'/><feature policy='require' name='md-clear'/>
      <feature policy='disable' name='rtm'/>
    </mode>
    <mode name='custom' supported='yes'>
      <model usable='yes'>qemu64</model><model usable='no'>Skylake-Server</model><model usable='yes'>Haswell</model>
    </mode>
  </cpu>
  <devices>
    <graphics supported='yes'><enum name='type'><value>vnc</value><value>spice</value><value>dbus</value></enum></graphics>
    <tpm supported='yes'><enum name='backendModel'><value>emulator</value></enum></tpm>
  </devices>
</domainCapabilities>
"""
HOST = Capabilities(machine="pc-q35-7.2", machines=("pc-q35-7.1", "pc-q35-7.2"))


def offers(root: Path, document: str = DOCUMENT, *, kvm: bool = True) -> Offers:
    return read_offers(document, HOST, root, kvm=kvm, nic_limits=True)


def put(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_bare_host(tmp_path: Path) -> None:
    assert offers(tmp_path) == Offers(
        machines=("pc-q35-7.1", "pc-q35-7.2"),
        cpu=GuestCpu(model="Haswell-noTSX", vendor="Intel", require=("md-clear", "vmx"), disable=("rtm",)),
        cpu_models=("Haswell", "qemu64"),
        graphics=("spice", "vnc"),
        nic_limits=True,
    )


def test_the_tpm_needs_both_programs(tmp_path: Path) -> None:
    put(tmp_path, "usr/bin/swtpm")
    assert not offers(tmp_path).tpm
    put(tmp_path, "usr/bin/swtpm_setup")
    assert offers(tmp_path).tpm
    assert not offers(tmp_path, DOCUMENT.replace("emulator", "passthrough")).tpm


@pytest.mark.parametrize(("text", "nested"), [("Y", True), ("1", True), ("N", False), ("0", False)])
def test_nested(tmp_path: Path, text: str, nested: bool) -> None:
    put(tmp_path, "sys/module/kvm_amd/parameters/nested", text + "\n")
    assert offers(tmp_path).nested is nested


def test_emulation_has_no_cpu_of_the_host_and_nests(tmp_path: Path) -> None:
    emulated = offers(tmp_path, kvm=False)
    assert (emulated.cpu, emulated.nested) == (None, True)


@pytest.mark.parametrize("document", ["", "no xml"])
def test_what_is_no_document(tmp_path: Path, document: str) -> None:
    with pytest.raises(ValueError):
        offers(tmp_path, document)


def test_usb_devices_without_hubs(tmp_path: Path) -> None:
    for address, vendor, product, device_class in (
        ("usb1", "1d6b", "0002", "09"),
        ("1-4", "046d", "c52b", "00"),
        ("1-5", "05e3", "0610", "09"),
        ("1-4:1.0", "", "", ""),
    ):
        for name, text in (("idVendor", vendor), ("idProduct", product), ("bDeviceClass", device_class)):
            if text:
                put(tmp_path, f"sys/bus/usb/devices/{address}/{name}", text + "\n")
        (tmp_path / f"sys/bus/usb/devices/{address}").mkdir(parents=True, exist_ok=True)
    put(tmp_path, "sys/bus/usb/devices/1-4/product", "Receiver\n")
    found = read_inventory(HOST, "QEMU", tmp_path).usb
    assert found == (UsbDevice(address="1-4", id="046d:c52b", name="Receiver"),)
