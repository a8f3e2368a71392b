"""Hotplug: a disk, a NIC, a vCPU and memory, until the guest sees each; against libvirt by hand.

What it does   a lab of one node (real libvirt, real QEMU) with two VMs of the same hardware. In turn, round by round:
               one gets the device through the API, from the call to the moment at which its guest's agent tells of
               it; the other gets it by the commands that a person would type (virsh, qemu-img)
Peer           the hand: virsh attach-device, setvcpus and update-memory-device on the same host
"""

import argparse
import base64
import contextlib
import json
import statistics
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from bench.lab import a_lab
from bench.machine import machine
from corral.client import Client
from corral.lab.lab import Lab

NODE, OURS, HAND = "node1", "ours", "hand"
KINDS = ("disk", "nic", "vcpu", "memory")
STEP_MIB = 64  # of memory, a round
VCPUS_MORE = 5  # the node has eight for two VMs, and an emulated guest gives none back
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
LOOK_S = 0.01


class Hand:
    """libvirt of the node, as a person has it there."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        process = lab.machine(lab.plan.node(NODE)).process
        assert process is not None
        self.root = Path(f"/proc/{process.pid}/root")
        libvirt.registerErrorHandler(lambda *_: None, None)
        self.requested_kib = 0  # of the hand's VM
        self.connection = libvirt.open(f"qemu+unix:///system?socket={self.root}/run/libvirt/libvirt-sock")

    def domain(self, name: str) -> Any:
        return self.connection.lookupByName(name)

    def virsh(self, *words: str, device: str = "", before: str = "") -> None:
        """One command line on the node; `device`: XML that is in a file there, `before`: what is typed first."""
        file = self.lab.plan.node(NODE).dir / "device.xml"
        if device:
            file.write_text(device)
        line = " ".join(["virsh", "-q", *words, *([str(file)] if device else []), "--live"])
        command = self.lab.machine(self.lab.plan.node(NODE)).inside(["sh", "-c", before + line])
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def attach(self, kind: str, number: int) -> None:
        """As `corral vm` does: the running domain and its definition."""
        domain = self.domain(HAND)
        match kind:
            case "disk":
                path = f"/var/lib/corral/pools/shared/volumes/hand-{number}.qcow2"
                disk = (
                    f"<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native'/>"
                    f"<source file='{path}'/><target dev='vd{chr(ord('f') + number)}' bus='virtio'/></disk>"
                )
                make = f"qemu-img create -q -f qcow2 {path} 64M && "
                self.virsh("attach-device", HAND, "--config", device=disk, before=make)
            case "nic":
                bridge = self.bridge
                nic = (
                    f"<interface type='bridge'><mac address='52:54:00:77:00:{number:02x}'/><model type='virtio'/>"
                    f"<source bridge='{bridge}'/><rom enabled='no'/></interface>"
                )
                self.virsh("attach-device", HAND, "--config", device=nic)
            case "vcpu":
                self.virsh("setvcpus", HAND, str(domain.info()[3] + 1), "--config")
            case "memory":
                size = f"{self.requested_kib + STEP_MIB * 1024}KiB"
                self.virsh("update-memory-device", HAND, "--requested-size", size)
                self.requested_kib += STEP_MIB * 1024

    @property
    def bridge(self) -> str:
        source = ET.fromstring(self.domain(HAND).XMLDesc(0)).find("devices/interface/source")
        assert source is not None
        return source.get("bridge", "")

    def sees(self, name: str, kind: str) -> int:
        """How many disks, NICs or vCPUs the guest tells of, or its memory in MiB."""
        domain = self.domain(name)
        match kind:
            case "disk":
                info = domain.guestInfo(libvirt.VIR_DOMAIN_GUEST_INFO_DISKS)
                return sum(1 for key in info if key.endswith(".alias") and key.startswith("disk."))
            case "nic":
                return len(domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT))
            case "vcpu":
                online: str = domain.guestVcpus()["online"]
                parts = [part.partition("-") for part in online.split(",")]
                return sum(int(last or first) - int(first) + 1 for first, _, last in parts)
        return self._memory_mib(domain)

    def _memory_mib(self, domain: Any) -> int:
        said = self._ask(
            domain, "guest-exec", path="/bin/cat", arg=["/proc/meminfo"], **{"capture-output": True}
        )
        while not (done := self._ask(domain, "guest-exec-status", pid=said["pid"]))["exited"]:
            time.sleep(0.002)
        text = base64.b64decode(done["out-data"]).decode()
        return int(text.split("MemTotal:")[1].split()[0]) // 1024

    def _ask(self, domain: Any, command: str, **arguments: Any) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(libvirt_qemu.qemuAgentCommand(domain, text, 5, 0))["return"]


def until_seen(hand: Hand, name: str, kind: str, act: Callable[[], object]) -> float:
    """Seconds from before `act` until the guest tells of more than before."""
    before = hand.sees(name, kind)
    more = STEP_MIB - 4 if kind == "memory" else 1
    begin = time.perf_counter()
    act()
    while True:
        with contextlib.suppress(libvirt.libvirtError, TypeError):  # the binding gives None now and then
            if hand.sees(name, kind) >= before + more:
                return time.perf_counter() - begin
        assert time.perf_counter() - begin < 30, f"{name} did not see its {kind}"
        time.sleep(LOOK_S)


def by_api(client: Client, kind: str, operations: list[str]) -> Callable[[], None]:
    vm = client.vms.get(OURS)

    def act() -> None:
        match kind:
            case "disk":
                operation = client.vms.attach_disk(OURS, size="64MiB", pool="shared")
            case "nic":
                operation = client.vms.attach_nic(OURS, network="default")
            case "vcpu":
                operation = client.vms.update(OURS, cpus=vm.spec.cpus + 1)
            case _:
                operation = client.vms.update(OURS, memory=vm.spec.memory_bytes + STEP_MIB * 1024**2)
        operations.append(operation.id)

    return act


def back(client: Client, hand: Hand, kind: str, number: int) -> None:
    """Take disk and NIC out again on both sides: there are few slots."""
    if kind not in ("disk", "nic"):
        return
    vm = client.vms.get(OURS)
    if kind == "disk":
        volume = vm.spec.disks[-1].volume
        client.operations.wait(client.vms.detach_disk(OURS, volume))
        client.operations.wait(client.volumes.delete(volume))
        mark = f"hand-{number}."
    else:
        client.operations.wait(client.vms.detach_nic(OURS, vm.spec.nics[-1].mac))
        mark = f"52:54:00:77:00:{number:02x}"
    domain = hand.domain(HAND)
    for device in ET.fromstring(domain.XMLDesc(0)).find("devices") or ():
        text = ET.tostring(device, encoding="unicode")
        if mark in text:
            domain.detachDeviceFlags(text, LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    while mark in domain.XMLDesc(0):
        time.sleep(0.05)


def measure(lab: Lab, rounds: int) -> dict[str, float]:
    client, hand = lab.client, Hand(lab)
    for name in (OURS, HAND):
        begun = client.vms.create(
            name=name,
            memory="256MiB",
            hardware={"cpus_max": VCPUS_MORE + 2, "memory_max": "2GiB"},
            disks=[{"image": "guest", "pool": "shared"}],
            nics=[{"network": "default"}],
        )
        client.operations.wait(begun, timeout_s=60)
    for name in (OURS, HAND):
        while not client.vms.get(name).status.guest.addresses:
            time.sleep(0.1)
    took: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for number in range(rounds + 1):
        for kind in KINDS:
            if kind == "vcpu" and number > VCPUS_MORE:
                continue
            operations: list[str] = []
            ours = until_seen(hand, OURS, kind, by_api(client, kind, operations))
            client.operations.wait(client.operations.get(operations[0]), timeout_s=60)
            by_hand = until_seen(hand, HAND, kind, lambda k=kind, n=number: hand.attach(k, n))  # type: ignore[misc]
            back(client, hand, kind, number)
            what = "warm-up" if not number else f"round {number:2}"
            print(f"{what}  {kind:7} ours {ours:.3f} s   by hand {by_hand:.3f} s", flush=True)
            if number:
                took[kind].append((ours, by_hand))
    figures = {f"{kind}_s": round(statistics.median(a for a, _ in took[kind]), 3) for kind in KINDS}
    ratios = {
        kind: statistics.median(a for a, _ in took[kind]) / statistics.median(b for _, b in took[kind])
        for kind in KINDS
    }
    print("ratios " + "  ".join(f"{kind} {ratio:.2f}" for kind, ratio in ratios.items()), flush=True)
    return {**figures, "worst_ratio": round(max(ratios.values()), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=hotplug")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.3", "cbench2") as lab:
        figures = measure(lab, given.rounds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
