"""Demo: three nodes, a guest, a live migration under its feet, with times.

In this room   what `make demo` shows, step by step, and `make demo-stop`
Comes in       flags: where the lab is, how many nodes
Goes out       progress, a table, commands to try, and as the last line one JSON object (Figures)
Always true    a second run goes through the same steps and ends the same; only what exists is not made again
Next door      lab.py makes the lab; counting.py listens to the guest
Start here     show()
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.client import Client
from corral.errors import CorralError, NotFound
from corral.lab import guest
from corral.lab.counting import USER_DATA, Count, Listener, largest_gap_s, largest_pause_s, ran_through
from corral.lab.host import LabFailed, need_root
from corral.lab.lab import Lab
from corral.lab.plan import BRIDGE, DIR, PORT, PREFIX, LabPlan
from corral.lab.state import load
from corral.model.operation import Operation
from corral.model.vm import VM

NAME: Final = "demo"  # of the VM
IMAGE: Final = "guest"
BEGAN_S: Final = time.monotonic()


class Figures(Struct, frozen=True, kw_only=True):
    """The last line of the demo. Times in seconds, downtime in milliseconds."""

    nodes: int
    vm: str
    create_to_running_s: float
    create_to_guest_up_s: float
    migration_s: float
    downtime_ms: float
    url: str
    open: str  # the web console, signed in; the last words


def tell(line: str) -> None:
    print(
        f"{time.monotonic() - BEGAN_S:7.1f} s  {line}\n", end="", flush=True
    )  # whole lines, from any thread


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    tell(f"{what} …")
    began_s = time.monotonic()
    yield
    tell(f"{what}: {time.monotonic() - began_s:.1f} s")


def show(plan: LabPlan) -> Figures:
    """Run the demo on a lab, which is made if it is not there. raises CorralError"""
    lab = Lab(plan, context="lab", tell=tell)
    need_root()
    lab.claim()
    with ThreadPoolExecutor(max_workers=1) as aside:  # the image is built while the nodes come up
        image = aside.submit(build_image, plan.guest_image)
        with step(f"Lab of {plan.nodes} nodes"):
            lab.up()
        image.result()
    client = lab.client
    with step("Import of the image"):
        import_image(client, plan.guest_image)
    forget_old(client)
    tell(f"Creating VM {NAME}: 1 vCPU, 128 MiB, thin disk in pool shared, cloud-init data …")
    began_s = time.monotonic()
    client.operations.wait(create(client), timeout_s=120)
    running_s = time.monotonic() - began_s
    vm = client.vms.get(NAME)
    source = node_name(client, vm)
    tell(f"{NAME} runs on {source} after {running_s:.1f} s; its guest is booting …")
    vm = wait_for_guest(client)
    up_s = time.monotonic() - began_s
    tell(
        f"The guest says it is up after {up_s:.1f} s: {vm.status.guest.hostname}, {', '.join(vm.status.guest.addresses)}"
    )
    with Listener(plan.url, client.connection.token, NAME) as listener:
        before = listener.wait_for(15, 20.0)
        tell(
            f"It counts on its console, read through the API: {before[-3].number}, {before[-2].number}, {before[-1].number}"
        )
        tell("Live migration, while it counts …")
        began_s = time.monotonic()
        moved = client.operations.wait(client.vms.migrate(NAME), timeout_s=180)
        migration_s = time.monotonic() - began_s
        arrived_s = time.monotonic()
        target = node_name(client, client.vms.get(NAME))
        listener.wait_for(15, 20.0)
        counts = listener.counts
    figures = Figures(
        nodes=plan.nodes,
        vm=NAME,
        create_to_running_s=round(running_s, 2),
        create_to_guest_up_s=round(up_s, 2),
        migration_s=round(migration_s, 2),
        downtime_ms=round(float(moved.status.result.get("downtime_ms", -1.0)), 1),
        url=plan.url,
        open=f"{plan.url}/#token={client.connection.token}",
    )
    check(source, target, counts, figures)
    present(plan, source, target, counts, arrived_s, figures)
    return figures


def build_image(path: Path) -> None:
    with step("Guest image from this machine's packages"):
        guest.build(path)


def import_image(client: Client, path: Path) -> None:
    """Upload the guest image, unless the server has these very bytes."""
    from hashlib import file_digest

    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
    there = client.images.find(IMAGE)
    if there is not None and there.status.sha256 == sha256:
        return
    if there is not None:
        forget_old(client)
        client.operations.wait(client.images.delete(IMAGE), timeout_s=60)
    client.images.upload(IMAGE, path, sha256=sha256, os="Corral test guest")


def forget_old(client: Client) -> None:
    """Delete the VM of an earlier run."""
    try:
        client.operations.wait(client.vms.delete(NAME, purge=True), timeout_s=60)
    except NotFound:
        return
    tell(f"VM {NAME} of an earlier run is deleted")


def create(client: Client) -> Operation:
    return client.vms.create(
        name=NAME,
        memory="128MiB",
        disks=[{"image": IMAGE, "pool": "shared"}],
        nics=[{"network": "default"}],
        cloud_init={"user_data": USER_DATA},
    )


def wait_for_guest(client: Client, timeout_s: float = 120.0) -> VM:
    """Until the guest itself says that it is up, and has an address."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        vm = client.vms.get(NAME)
        if vm.status.guest.up and vm.status.guest.addresses:
            return vm
        time.sleep(0.05)
    raise LabFailed(
        f"the guest of {NAME} is not up after {timeout_s:g} s", hint=f"`corral vm console {NAME}` shows it."
    )


def node_name(client: Client, vm: VM) -> str:
    return client.nodes.get(vm.status.node or "").name


def check(source: str, target: str, counts: list[Count], figures: Figures) -> None:
    """The demo ends well only if what it shows is so. raises LabFailed"""
    if source == target:
        raise LabFailed(f"the VM is still on {source}")
    if not ran_through(counts):
        raise LabFailed("the guest's count jumped back: it did not run through")
    if figures.downtime_ms < 0:
        raise LabFailed("the operation does not say how long the downtime was")


def present(
    plan: LabPlan, source: str, target: str, counts: list[Count], arrived_s: float, figures: Figures
) -> None:
    last = max((c for c in counts if c.heard_s <= arrived_s), key=lambda c: c.number)
    rows = (
        ("created on", source),
        ("create → running", f"{figures.create_to_running_s:.2f} s"),
        ("create → guest says it is up", f"{figures.create_to_guest_up_s:.2f} s"),
        ("migrated to", target),
        ("live migration, request to end", f"{figures.migration_s:.2f} s"),
        ("downtime, as the hypervisor measured it", f"{figures.downtime_ms:.0f} ms"),
        ("guest counted", f"{counts[0].number} … {last.number} … {counts[-1].number}, never back"),
        (
            "longest silence on the console",
            f"{largest_gap_s(counts):.2f} s, the reconnection to {target} included",
        ),
        ("guest stood still, by its own clock", f"{largest_pause_s(counts):.2f} s at most"),
    )
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in rows))
    print("\nThe lab goes on running. Try:")
    commands = to_try(target, plan)
    width = max(len(command) for command, _ in commands)
    print("\n".join(f"  {command:<{width}}  # {what}" for command, what in commands) + "\n")


def to_try(node: str, plan: LabPlan) -> list[tuple[str, str]]:
    """Commands to go on with, and what they are for."""
    corral = "corral" if shutil.which("corral") else os.path.relpath(Path(sys.executable).with_name("corral"))
    where = "" if plan.dir == DIR else f" --dir {plan.dir}"
    return [
        (f"{corral} vm list", "what runs where"),
        (f"{corral} node list", "the nodes"),
        (f"{corral} vm console {NAME}", "its serial console; Ctrl-] leaves it"),
        (f"{corral} vm migrate {NAME}", "move it again"),
        (f"{corral} vm stop {NAME}", "ask the guest to shut down"),
        (f"{corral} lab kill {node}{where}", "sudden death of a node"),
        (f"{corral} lab heal {node}{where}", "and its return"),
        ("make demo-stop", "remove all of it"),
        (f"{plan.url}/api/docs", "the API, to browse"),
        (f"{plan.url}/", "the web console; the link in the last line signs in"),
    ]


def stop(dir: Path) -> None:
    """Take the lab down and leave nothing."""
    state = load(dir)
    if state is None:
        print("There is no demo to stop.")
        return
    Lab(state.plan, context=state.context, tell=tell).down()
    print("The demo is gone: no process, namespace, link, mount or file of it is left.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m corral.lab.demo", description="Show Corral on a lab.")
    parser.add_argument("--stop", action="store_true", help="end the demo and remove all of it")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=DIR)
    parser.add_argument("--bridge", default=BRIDGE)
    parser.add_argument("--prefix", default=PREFIX)
    parser.add_argument("--port", type=int, default=PORT)
    ask = parser.parse_args()
    try:
        if ask.stop:
            stop(ask.dir.absolute())
            return 0
        plan = LabPlan(
            nodes=ask.nodes, dir=ask.dir.absolute(), bridge=ask.bridge, prefix=ask.prefix, port=ask.port
        )
        figures = show(plan)
    except CorralError as error:
        print(f"error: {error.message} [{error.code}]", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(figures).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
