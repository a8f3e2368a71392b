"""Device XML: what a guest has besides disks, one function a sort of device.

In this room   elements of `<devices>`: NICs, consoles, graphics, watchdog, TPM, devices of the host
Comes in       assignments and Hardware
Always true    graphics listen on a unix socket only: no port of the node is open, and consoles come through the agent
Next door      domain_xml.py puts the parts together; disk_xml.py has the disks
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Final

from corral.hypervisor.libvirt.xml import leaf
from corral.model.hardware import (
    DeviceKind,
    Graphics,
    GuestKind,
    Hardware,
    HeldDevice,
    NicLimits,
    NicModel,
    Video,
    Watchdog,
)
from corral.model.link import NicAssignment

STATS_PERIOD_S: Final = 10  # between the guest's figures about its memory
USB_PORTS: Final = 15
USB_REDIRECTIONS: Final = 2
KBYTES_S_PER_MBIT: Final = 125  # libvirt counts in 1000 bytes a second
BURST_MS: Final = 50  # of traffic at full rate that may come at once


def nic_element(nic: NicAssignment) -> ET.Element:
    element = ET.Element("interface", type="bridge")
    leaf(element, "mac", address=nic.mac)
    leaf(element, "source", bridge=nic.bridge)
    leaf(element, "target", dev=nic.tap)  # a name that rules against spoofing can know before it is there
    leaf(element, "model", type=nic.model)
    if nic.queues > 1 and nic.model == NicModel.VIRTIO:
        leaf(element, "driver", queues=str(nic.queues))
    leaf(element, "mtu", size=str(nic.mtu))
    if nic.limits != NicLimits():
        element.append(bandwidth_element(nic.limits))
    leaf(element, "rom", enabled="no")  # else each start waits for iPXE
    return element


def bandwidth_element(limits: NicLimits) -> ET.Element:
    element = ET.Element("bandwidth")
    for tag, mbit in (("inbound", limits.in_mbit), ("outbound", limits.out_mbit)):
        if mbit:
            average = mbit * KBYTES_S_PER_MBIT
            leaf(element, tag, average=str(average), burst=str(max(64, average * BURST_MS // 1000)))
    return element


def has_usb(hardware: Hardware) -> bool:
    """Whether the machine needs a USB controller, disks aside."""
    return (
        hardware.guest == GuestKind.WINDOWS
        or hardware.graphics == Graphics.SPICE
        or any(device.kind == DeviceKind.USB for device in hardware.devices)
    )


def usb_elements(hardware: Hardware, *, usb_disks: bool) -> Iterator[ET.Element]:
    """A controller, or word that there is none: libvirt would add one."""
    if not usb_disks and not has_usb(hardware):
        yield ET.Element("controller", type="usb", index="0", model="none")
        return
    yield ET.Element("controller", type="usb", index="0", model="qemu-xhci", ports=str(USB_PORTS))
    if hardware.graphics != Graphics.NONE:
        yield ET.Element("input", type="tablet", bus="usb")  # the pointer is where it is in the viewer


def serial_elements(log: str) -> Iterator[ET.Element]:
    """log: file in which virtlogd keeps what the guest prints; empty: none."""
    for tag in ("serial", "console"):
        element = ET.Element(tag, type="pty")
        if log and tag == "serial":
            leaf(element, "log", file=log, append="on")  # off: a restart would empty it
        leaf(element, "target", port="0", type="serial" if tag == "console" else "isa-serial")
        yield element


def graphics_elements(hardware: Hardware) -> Iterator[ET.Element]:
    graphics = hardware.graphics
    if graphics == Graphics.NONE:
        yield _having(ET.Element("video"), "model", type="none")
        return
    yield _having(ET.Element("graphics", type=graphics.value), "listen", type="socket")
    yield _having(ET.Element("video"), "model", type=video_of(hardware).value)
    if graphics == Graphics.SPICE:
        yield _having(
            ET.Element("channel", type="spicevmc"), "target", type="virtio", name="com.redhat.spice.0"
        )
        yield _having(ET.Element("sound", model="ich9"), "audio", id="1")
        yield ET.Element("audio", id="1", type="spice")
        for _ in range(USB_REDIRECTIONS):
            yield ET.Element("redirdev", bus="usb", type="spicevmc")


def video_of(hardware: Hardware) -> Video:
    """With `auto` decided."""
    if hardware.video != Video.AUTO:
        return hardware.video
    if hardware.graphics == Graphics.SPICE:
        return Video.QXL
    return Video.VGA if hardware.guest == GuestKind.WINDOWS else Video.VIRTIO


def helper_elements(hardware: Hardware) -> Iterator[ET.Element]:
    """Agent's channel, balloon, random numbers, crash notice; watchdog and TPM where they are wanted."""
    channel = ET.Element("channel", type="unix")
    yield _having(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    balloon = ET.Element("memballoon", model="virtio", freePageReporting="on")  # freed memory goes back
    yield _having(balloon, "stats", period=str(STATS_PERIOD_S))
    rng = ET.Element("rng", model="virtio")
    leaf(rng, "backend", "/dev/urandom", model="random")
    yield rng
    yield ET.Element("panic", model="isa")  # so that a kernel that died is seen as a crash
    if hardware.watchdog != Watchdog.NONE:
        yield ET.Element("watchdog", model="i6300esb", action=hardware.watchdog.value)
    if hardware.tpm:
        yield _having(ET.Element("tpm", model="tpm-crb"), "backend", type="emulator", version="2.0")


def host_device_element(device: HeldDevice) -> ET.Element:
    """`<hostdev>`; managed: libvirt takes it from the host's driver and gives it back."""
    match device.kind:
        case DeviceKind.MDEV:
            element = ET.Element("hostdev", mode="subsystem", type="mdev", model="vfio-pci")
            leaf(leaf(element, "source"), "address", uuid=device.uuid)
            return element
        case DeviceKind.VF if device.mac:
            return _virtual_function(device)
        case DeviceKind.USB:
            element = ET.Element("hostdev", mode="subsystem", type="usb", managed="yes")
            source = leaf(element, "source")
            vendor, _, product = device.id.partition(":")
            leaf(source, "vendor", id=f"0x{vendor}")
            leaf(source, "product", id=f"0x{product}")
            return element
    element = ET.Element("hostdev", mode="subsystem", type="pci", managed="yes")
    leaf(leaf(element, "source"), "address", **_pci_address(device.id))
    return element


def _virtual_function(device: HeldDevice) -> ET.Element:
    """An interface: libvirt then sets MAC and VLAN by the NIC itself, so that the guest can't change either."""
    element = ET.Element("interface", type="hostdev", managed="yes")
    leaf(element, "mac", address=device.mac)
    leaf(leaf(element, "source"), "address", type="pci", **_pci_address(device.id))
    if device.vlan:
        leaf(leaf(element, "vlan"), "tag", id=str(device.vlan))
    return element


def _pci_address(address: str) -> dict[str, str]:
    domain, bus, rest = address.split(":")
    slot, _, function = rest.partition(".")
    parts = (("domain", domain), ("bus", bus), ("slot", slot), ("function", function))
    return {name: f"0x{value}" for name, value in parts}


def _having(element: ET.Element, tag: str, **attributes: str) -> ET.Element:
    leaf(element, tag, **attributes)
    return element
