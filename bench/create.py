"""Create: from the API call to the domain running, against doing the same by hand.

What it does   a lab of one node (real libvirt, real QEMU). In turn: a VM is created through the API, from an image,
               until its operation says that it runs; and a volume is made by `qemu-img create` on the same
               backing file, then `virsh create` of the same XML, until virsh returns
Peer           the hand: qemu-img and virsh on the same host
"""

import argparse
import json
import re
import statistics
import subprocess
import time
import uuid

from bench.lab import a_lab, ask_for
from bench.machine import machine
from corral.client import Client
from corral.lab.lab import Lab
from corral.model.vm import VM

IMAGE = "guest"
NODE = "node1"


def ours(client: Client, number: int) -> tuple[float, VM]:
    """Seconds, and the VM that runs."""
    name = f"bench-{number}"
    begin = time.perf_counter()
    client.operations.wait(ask_for(client, name, IMAGE), timeout_s=60)
    took = time.perf_counter() - begin
    return took, client.vms.get(name)


def by_hand(lab: Lab, xml: str, volume: str, backing: str) -> float:
    """Seconds for a volume on the same image and a domain of the same XML, with names of its own."""
    name, mine = f"hand-{uuid.uuid4().hex[:8]}", f"{volume}.hand"
    text = re.sub(r"<uuid>.*?</uuid>|<metadata>.*?</metadata>", "", xml, flags=re.S)
    text = re.sub(r"<name>.*?</name>", f"<name>{name}</name>", text).replace(volume, mine)
    host = lab.machine(lab.plan.node(NODE))
    path = lab.plan.node(NODE).dir / "hand.xml"
    path.write_text(text)
    script = f"qemu-img create -q -f qcow2 -F qcow2 -b {backing} {mine} && virsh -q create {path}"
    command = host.inside(["sh", "-c", script])
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - begin
    host.run("virsh", "-q", "destroy", name)
    host.run("rm", mine)
    return took


def measure(lab: Lab, rounds: int) -> dict[str, float]:
    client, host = lab.client, lab.machine(lab.plan.node(NODE))
    api, hand = [], []
    for number in range(rounds + 1):
        took, vm = ours(client, number)
        volume = f"/var/lib/corral/pools/shared/volumes/{vm.spec.disks[0].volume}.qcow2"
        xml = host.run("virsh", "dumpxml", "--inactive", vm.name)
        backing = json.loads(host.run("qemu-img", "info", "-U", "--output=json", volume))["backing-filename"]
        client.operations.wait(client.vms.stop(vm.id, force=True), timeout_s=60)
        by = by_hand(lab, xml, volume, backing)
        client.operations.wait(client.vms.delete(vm.id, purge=True), timeout_s=60)
        print(
            f"{'warm-up' if not number else f'round {number:2}'}   ours {took:.3f} s   by hand {by:.3f} s",
            flush=True,
        )
        if number:
            api.append(took)
            hand.append(by)
    ratio = statistics.median(a / b for a, b in zip(api, hand, strict=True))
    return {
        "ours_s": round(statistics.median(api), 3),
        "by_hand_s": round(statistics.median(hand), 3),
        "ratio": round(ratio, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=create")
    parser.add_argument("--rounds", type=int, default=12)
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.1", "cbench0") as lab:
        figures = measure(lab, given.rounds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
