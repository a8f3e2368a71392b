"""Clone: a linked clone of a VM on a 10 GiB image, until it runs, against creating the same VM from the image.

What it does   a lab of one node (real libvirt, real QEMU) and an image of 10 GiB, 1 GiB of it filled. In turn: a VM is
               created from the image until its operation says that it runs; a running VM on the same image, with
               2 MiB of its own written, is cloned, linked, until the clone runs; seldom, because it copies the
               whole image, in full
Peer           create, in the same run: what a linked clone does besides is to take a snapshot and copy what was written
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

from bench.lab import a_lab, ask_for, remove
from bench.machine import machine
from corral.client import Client
from corral.lab import guest
from corral.lab.lab import Lab
from corral.model.operation import Operation

IMAGE, NODE, SOURCE = "large", "node1", "source"
IMAGE_SIZE, FILLED = "10G", "1G"
OWN = "2M"  # that the source has written over its image
FULL_ROUNDS = 2


def large_image(small: Path, path: Path) -> None:
    """The guest's image, as large as a distribution's, with data behind what it boots from."""
    subprocess.run(["cp", small, path], check=True)
    subprocess.run(["qemu-img", "resize", "-q", path, IMAGE_SIZE], check=True)
    subprocess.run(
        ["qemu-io", "-c", f"write -q -P 7 2G {FILLED}", path], check=True, stdout=subprocess.DEVNULL
    )


def took_s(client: Client, ask: Operation, begin: float) -> float:
    client.operations.wait(ask, timeout_s=300)
    return time.perf_counter() - begin


def create(client: Client, name: str) -> float:
    begin = time.perf_counter()
    return took_s(client, ask_for(client, name, IMAGE), begin)


def clone(client: Client, name: str, *, full: bool = False) -> float:
    begin = time.perf_counter()
    return took_s(client, client.vms.clone(SOURCE, name, full=full), begin)


def prepare(lab: Lab) -> None:
    """The image, a first VM (so that the node has its copy of the image), and the source, running."""
    large = lab.plan.dir / "large.qcow2"
    large_image(guest.build(lab.plan.guest_image), large)
    lab.client.images.upload(IMAGE, large)
    large.unlink()
    create(lab.client, SOURCE)
    lab.client.operations.wait(lab.client.vms.stop(SOURCE, force=True), timeout_s=60)
    volume = lab.client.vms.get(SOURCE).spec.disks[0].volume
    path = f"/var/lib/corral/pools/shared/volumes/{volume}.qcow2"
    lab.run(NODE, "qemu-io", "-c", f"write -q -P 9 4G {OWN}", path)
    lab.client.operations.wait(lab.client.vms.start(SOURCE), timeout_s=60)


def measure(lab: Lab, rounds: int) -> dict[str, float]:
    client = lab.client
    created, linked, full = [], [], []
    for number in range(rounds + 1):
        made = create(client, "made")
        remove(client, "made")
        copied = clone(client, "copied")
        remove(client, "copied")
        label = f"round {number:2}" if number else "warm-up"
        print(f"{label}   create {made:.3f} s   linked clone {copied:.3f} s", flush=True)
        if number:
            created.append(made)
            linked.append(copied)
    for _ in range(FULL_ROUNDS):
        full.append(clone(client, "copied", full=True))
        remove(client, "copied")
        print(f"full clone {full[-1]:.3f} s", flush=True)
    ratio = statistics.median(a / b for a, b in zip(linked, created, strict=True))
    return {
        "linked_s": round(statistics.median(linked), 3),
        "full_s": round(statistics.median(full), 3),
        "create_s": round(statistics.median(created), 3),
        "ratio": round(ratio, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=clone")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.3", "cbench3", image=False) as lab:
        prepare(lab)
        figures = measure(lab, given.rounds)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
