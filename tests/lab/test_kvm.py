"""Real KVM, where the machine that runs the tests need not have it: a host booted for this joins the lab as a node.

It has an IOMMU, an NVMe drive and a USB stick, too, which are handed on to a guest of its own.
"""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest

from corral.lab import guest
from corral.lab.guest import contents
from corral.lab.plan import LabPlan, libvirtd_conf, qemu_conf
from corral.model.node import AcceleratorKind, NodePhase
from corral.model.operation import Operation
from corral.model.units import MiB
from tests.lab.kvm_host import KvmHost
from tests.lab.netns import ip
from tests.lab.world import World

HERE = Path(__file__).parents[2]
NAME, TAP, NUMBER = "kvm1", f"kvm{os.getpid()}", 60
PYTHON = f"cd {HERE}; PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1 {HERE}/.venv/bin/python"
FLAGS = "--data-dir /var/lib/corral/agent"
NVME = "0000:00:10.0"  # its address on the host
STICK = "46f4:0001"  # vendor and product that QEMU gives its sticks
TWO_IN_ONE = "0000:00:11.0"  # a PCI device whose second function is in the same IOMMU group
WRITTEN = {"nvme": "this is the NVMe drive", "stick": "this is the USB stick"}
DRIVERS = ("nvme", "xhci_pci", "usb_storage", "sd_mod")


@pytest.fixture(scope="module")
def host(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KvmHost]:
    """On the lab's bridge, with libvirtd, as the lab's own nodes have it."""
    plan = world.lab.plan
    ip("tuntap", "add", TAP, "mode", "tap")
    ip("link", "set", TAP, "master", plan.bridge, "up")
    try:
        devices = spare_devices(tmp_path_factory.mktemp("devices"))
        with KvmHost(tmp_path_factory.mktemp("kvm") / "host", tap=TAP, devices=devices) as booted:
            furnish(booted, plan)
            yield booted
    finally:
        ip("link", "delete", TAP)


def spare_devices(directory: Path) -> list[str]:
    """QEMU's options for an NVMe drive and a USB stick with something written on them, and a device of two functions."""
    for name, text in WRITTEN.items():
        (directory / name).write_bytes(text.encode().ljust(MiB, b"\0"))
    return [
        *("-drive", f"if=none,id=nvme,format=raw,file={directory}/nvme"),
        *("-device", f"nvme,drive=nvme,serial=spare,addr={NVME[8:]}"),
        *("-drive", f"if=none,id=stick,format=raw,file={directory}/stick"),
        *("-device", "qemu-xhci,id=usb", "-device", "usb-storage,drive=stick,bus=usb.0"),
        *("-device", f"virtio-rng-pci,addr={TWO_IN_ONE[8:]},multifunction=on"),
        *("-device", f"virtio-rng-pci,addr={TWO_IN_ONE[8:-1]}1"),
    ]


def furnish(host: KvmHost, plan: LabPlan) -> None:
    node = msgspec.structs.replace(
        plan.members[0], address=f"{plan.prefix}.{NUMBER}", uuid=str(uuid5(NAMESPACE_URL, NAME))
    )
    for name, text in (
        ("libvirtd.conf", libvirtd_conf(node, tls=False)),
        ("qemu.conf", qemu_conf(node, tls=False)),
    ):
        host.run(f"cat > /etc/libvirt/{name} <<'END'\n{text}END")
    host.run(
        "ip link add br0 type bridge forward_delay 0; ip link set eth0 master br0 up;"
        f"ip address add {node.address}/{node.mask} dev br0; ip link set br0 up;"
        "rm -rf /var/lib/libvirt/qemu/* /usr/bin/qemu-system-i386 /usr/bin/qemu-system-x86_64-microvm;"
        "mkdir -p /var/lib/corral; virtlogd -d; libvirtd -d -l;"
        "virsh --connect qemu:///system capabilities >/dev/null",  # runs each QEMU there is
        timeout_s=120,
    )


@pytest.fixture(scope="module")
def node(world: World, host: KvmHost) -> Iterator[str]:
    """Joined, with the verdict that KVM works on it."""
    client = world.client
    host.run(
        f"{PYTHON} -m corral.cli.main agent join {client.nodes.join_token().secret} --name {NAME} {FLAGS}",
        timeout_s=90,
    )
    host.run(
        f"({PYTHON} -m corral.cli.main agent run {FLAGS} >/var/log/agent.log 2>&1 & echo $! >/run/agent.pid)"
    )
    try:
        world.until("readiness", lambda: client.nodes.get(NAME).status.phase is NodePhase.READY, 200)
        # on a machine that is busy the trial in software is too slow as well, and the verdict is put off for a minute
        world.until("the verdict kvm", lambda: accelerator(world) is AcceleratorKind.KVM, 300)
        yield NAME
    finally:
        print(host.run("tail -n 30 /var/log/agent.log", check=False))
        host.run("kill $(cat /run/agent.pid)", check=False)
        client.operations.wait(client.nodes.remove(NAME, force=True))


@pytest.fixture(scope="module")
def nested(world: World, host: KvmHost, node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A VM that has the drive and the stick, and drivers for them."""
    kernel = contents.newest_kernel(small=False)
    assert "cloud" not in kernel.name, "the small kernel has no USB: apt-get install linux-image-amd64"
    image = guest.build(tmp_path_factory.mktemp("image") / "guest.qcow2", kernel, DRIVERS)
    world.client.images.upload("drivers", image)
    # its one CPU is emulated: agent, libvirt and QEMU wait for each other when the machine below is busy
    try:
        world.wait(ask_for_devices(world, "nested", node, f"pci={NVME}", f"usb={STICK}"), timeout_s=300)
        assert world.guest_up("nested", timeout_s=120).status.guest.hostname == "nested"
        yield "nested"
    finally:
        world.remove("nested")


@pytest.mark.timeout(1_000)
def test_a_host_with_kvm_joins_and_runs_a_vm(host: KvmHost, nested: str) -> None:
    assert "type='kvm'" in host.run(f"virsh --connect qemu:///system dumpxml {nested}")
    assert "-accel kvm" in host.run(f"tr '\\0' ' ' < /proc/$(cat /run/libvirt/qemu/{nested}.pid)/cmdline")


@pytest.mark.timeout(600)
def test_devices_are_handed_to_a_guest_and_come_back(
    world: World, host: KvmHost, node: str, nested: str
) -> None:
    """The guest's own drivers read them; meanwhile nobody else gets them; then the host's drivers have them again."""
    for path, written in (("/dev/nvme0n1", WRITTEN["nvme"]), ("/dev/sda", WRITTEN["stick"])):
        world.until(f"{path} is read", lambda p=path, w=written: read_inside(host, nested, p, w) == w, 60)  # type: ignore[misc]
    assert taken(host) == {"nvme": "vfio-pci", "stick": "usbfs"}
    for name, device, why in (
        ("second", f"pci={NVME}", f"PCI device {NVME} is in use"),
        ("third", f"usb={STICK}", f"USB device {STICK} is in use"),
        ("half", f"pci={TWO_IN_ONE}", f"IOMMU group shared with {TWO_IN_ONE[:-1]}1"),
    ):
        ask_for_devices(world, name, node, device)
        world.until(f"refusal: {why}", lambda n=name, w=why: w in trouble(world, n), 30)  # type: ignore[misc]
        world.remove(name)
    world.remove(nested)
    world.until("devices back", lambda: taken(host) == {"nvme": "nvme", "stick": "usb-storage"})


def ask_for_devices(world: World, name: str, node: str, *devices: str) -> Operation:
    """A VM of the image that has drivers for them."""
    named = [dict(zip(("kind", "id"), device.split("=", 1), strict=True)) for device in devices]
    return world.client.vms.create(
        name=name,
        memory="192MiB",
        disks=[{"image": "drivers", "pool": "local"}],
        nics=[{"network": "default"}],
        node=node,
        hardware={"devices": named},
        labels={"keep": "yes"},
    )


def trouble(world: World, name: str) -> str:
    found = world.vm(name).status.trouble
    return found.message if found else ""


def taken(host: KvmHost) -> dict[str, str]:
    """Which driver of the host has each device."""
    vendor = STICK.split(":")[0]
    said = host.run(
        f"basename $(readlink /sys/bus/pci/devices/{NVME}/driver);"
        f"cd $(dirname $(grep -l {vendor} /sys/bus/usb/devices/*/idVendor)); basename $(readlink *:1.0/driver)",
        check=False,
    ).split()
    return dict(zip(WRITTEN, said, strict=False))


def read_inside(host: KvmHost, vm: str, path: str, like: str) -> str:
    """The beginning of a file, as long as `like`, that the guest's agent reads."""
    arguments = {"path": "/usr/bin/head", "arg": ["-c", str(len(like)), path], "capture-output": True}
    pid = ask_guest(host, vm, "guest-exec", **arguments)["pid"]
    while not (done := ask_guest(host, vm, "guest-exec-status", pid=pid))["exited"]:
        pass
    return base64.b64decode(done.get("out-data", "")).decode()


def ask_guest(host: KvmHost, vm: str, command: str, **arguments: Any) -> dict[str, Any]:
    request = json.dumps({"execute": command, "arguments": arguments})
    said = host.run(f"virsh --quiet --connect qemu:///system qemu-agent-command {vm} '{request}'")
    answer: dict[str, Any] = json.loads(said[said.index("{") :])["return"]
    return answer


def accelerator(world: World) -> AcceleratorKind:
    return world.client.nodes.get(NAME).status.inventory.accelerator.kind


def test_vlans_of_two_nodes(host: KvmHost) -> None:
    """Here, because the kernel of the machine that runs the tests may have none."""
    host.run("modprobe 8021q; modprobe veth")
    said = host.run(f"{PYTHON} -m tests.lab.vlans /run/vlans 2>&1", timeout_s=150)
    assert "VLANs are as they should be" in said
