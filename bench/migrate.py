"""Migrate: a VM from node to node under varying load, against `virsh migrate` of its twin.

What it does   a lab of two nodes whose cables carry 400 Mbit/s. A guest writes to its memory, from not at all to as
               fast as the cable carries, and is migrated through the API; in turn its twin, a domain of the same XML
               that Corral does not know, under the same load, by `virsh migrate` with the same flags
Figures        downtime and total as libvirt measured them; overhead_ratio: from the request to the end of the
               operation, against virsh from start to end; forecast_error: of the total, as a share of it
Peer           virsh on the same hosts
"""

import argparse
import json
import re
import statistics
import subprocess
import time

from bench.lab import a_lab
from bench.machine import machine
from corral.client import Client
from corral.lab.host import LabFailed, run
from corral.lab.lab import Lab
from corral.model.vm import VM

NAME, TWIN = "moving", "twin"
LINK_MBIT = 400
LOADS_MIB_S = (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 0, 6, 10, 14, 18, 22, 26, 30, 36, 48)
ANSWERS_S = 40.0  # for a guest's agent
MEASURED_S = 14.0  # until the agent has measured a new load
FLAGS = ("--live", "--p2p", "--persistent", "--undefinesource", "--auto-converge", "--unsafe")


class Bench:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.twin_on = "node1"
        self.hung: list[str] = []  # guests that stood still after a migration

    @property
    def client(self) -> Client:
        return self.lab.client

    def virsh(self, node: str, *words: str, timeout_s: float = 300.0) -> str:
        return self.lab.run(node, "virsh", "--quiet", *words, timeout_s=timeout_s)

    def narrow_cables(self) -> None:
        for node in self.lab.plan.members:
            shape = ("rate", f"{LINK_MBIT}mbit", "burst", "256kb", "latency", "100ms")
            run("tc", "qdisc", "add", "dev", node.veth, "root", "tbf", *shape)

    def make(self) -> None:
        client = self.client
        operation = client.vms.create(
            name=NAME,
            memory="192MiB",
            disks=[{"image": "guest", "pool": "shared"}],
            nics=[{"network": "default"}],
            node="",
        )
        client.operations.wait(operation, timeout_s=90)
        self._up(lambda: client.vms.get(NAME).status.guest.up)
        self._make_twin(client.vms.get(NAME))

    def _make_twin(self, vm: VM) -> None:
        """The same domain, with a name, a MAC and a disk of its own."""
        node = self.where(vm)
        host = self.lab.machine(self.lab.plan.node(node))
        xml = host.run("virsh", "dumpxml", "--inactive", NAME)
        volume = f"/var/lib/corral/pools/shared/volumes/{vm.spec.disks[0].volume}.qcow2"
        backing = json.loads(host.run("qemu-img", "info", "-U", "--output=json", volume))["backing-filename"]
        text = re.sub(
            r"<uuid>.*?</uuid>|<metadata>.*?</metadata>|<seclabel.*?</seclabel>", "", xml, flags=re.S
        )
        text = re.sub(r"<name>.*?</name>", f"<name>{TWIN}</name>", text).replace(volume, f"{volume}.twin")
        text = re.sub(r"mac address='..:..:..", "mac address='52:54:99", text)
        text = re.sub(r"<target dev='c[0-9a-f]+'/>|<graphics.*?</graphics>", "", text, flags=re.S)
        seed, copy = f"/var/lib/corral/agent/seeds/{vm.id}.iso", "/var/lib/corral/pools/shared/twin.iso"
        host.run("cp", seed, copy)
        text = text.replace(seed, copy).replace(vm.id, TWIN)
        path = self.lab.plan.node(node).dir / "twin.xml"
        path.write_text(text)
        host.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, f"{volume}.twin")
        host.run("virsh", "-q", "define", str(path))
        host.run("virsh", "-q", "start", TWIN)
        self.twin_on = node
        self._up(lambda: "return" in self._ask(node, TWIN, {"execute": "guest-ping"}))

    def _up(self, holds: object) -> None:
        for _ in range(600):
            try:
                if holds():  # type: ignore[operator]
                    return
            except Exception:
                pass
            time.sleep(0.1)
        raise SystemExit("a guest did not come up")

    def where(self, vm: VM) -> str:
        return self.client.nodes.get(vm.status.node or "").name

    def load(self, node: str, domain: str, mib_s: int) -> None:
        words = ["-c", f"write-memory {mib_s} >/dev/null 2>&1 &"]
        asked = {"path": "/bin/sh", "arg": words}
        ends = time.monotonic() + ANSWERS_S
        while time.monotonic() < ends:  # its agent may be busy for a moment
            try:
                self._ask(node, domain, {"execute": "guest-exec", "arguments": asked})
                return
            except LabFailed:
                time.sleep(0.1)
        self._start_anew(node, domain)

    def _start_anew(self, node: str, domain: str) -> None:
        """An emulated guest may stand still for good after a migration, by `virsh` too."""
        self.hung.append(domain)
        print(f"  {domain} stands still after its migration, and is started anew", flush=True)
        if domain == TWIN:
            self.virsh(node, "destroy", TWIN)
            self.virsh(node, "start", TWIN)
        else:
            self.client.operations.wait(self.client.vms.restart(NAME, force=True), timeout_s=90)
        self._up(lambda: "return" in self._ask(node, domain, {"execute": "guest-ping"}))

    def _ask(self, node: str, domain: str, words: dict[str, object]) -> str:
        return self.virsh(node, "qemu-agent-command", domain, json.dumps(words))

    def ours(self, mib_s: int) -> dict[str, float]:
        vm = self.client.vms.get(NAME)
        self.load(self.where(vm), NAME, mib_s)
        time.sleep(MEASURED_S)
        begin = time.perf_counter()
        operation = self.client.operations.wait(self.client.vms.migrate(NAME), timeout_s=600)
        wall_s = time.perf_counter() - begin
        self.load(self.where(self.client.vms.get(NAME)), NAME, 0)
        result = {k: float(v) for k, v in operation.status.result.items() if isinstance(v, int | float)}
        steps = {f"{s.name}": (s.ended_at or 0) - s.started_at for s in operation.status.steps}
        print("  " + ", ".join(f"{name} {took:.2f} s" for name, took in steps.items()))
        return {"wall_s": wall_s, **result}

    def by_hand(self, mib_s: int) -> float:
        source, target = self.twin_on, "node2" if self.twin_on == "node1" else "node1"
        self.load(source, TWIN, mib_s)
        time.sleep(3.0)
        address = self.lab.plan.node(target).address
        uris = (f"qemu+tcp://{address}/system", f"tcp://{address}")
        command = self.lab.machine(self.lab.plan.node(source)).inside(
            ["virsh", "--quiet", "migrate", TWIN, *uris, *FLAGS]
        )
        begin = time.perf_counter()
        subprocess.run(command, check=True, timeout=600)
        took = time.perf_counter() - begin
        self.twin_on = target
        self.load(target, TWIN, 0)
        return took


def measure(bench: Bench, loads: tuple[int, ...]) -> dict[str, float]:
    for _ in range(2):  # the links are learned, one way and the other
        bench.ours(0), bench.by_hand(0)
    rows, hands = [], []
    for mib_s in loads:
        row, hand = bench.ours(mib_s), bench.by_hand(mib_s)
        rows.append(row)
        hands.append(hand)
        print(
            f"load {mib_s:2} MiB/s   ours {row['wall_s']:6.2f} s (libvirt {row['total_s']:6.2f}, "
            f"foreseen {row['forecast_total_s']:6.2f})   virsh {hand:6.2f} s   "
            f"down {row.get('downtime_ms', -1):4.0f} ms (foreseen {row['forecast_downtime_ms']:4.0f}), "
            f"{row.get('rounds', 0):.0f} rounds",
            flush=True,
        )
    print(f"stood still after a migration: ours {bench.hung.count(NAME)}, the twin {bench.hung.count(TWIN)}")
    errors = [abs(r["forecast_total_s"] - r["total_s"]) / r["total_s"] for r in rows]
    return {
        "migrations": len(rows),
        "downtime_ms_p50": round(statistics.median(r["downtime_ms"] for r in rows if "downtime_ms" in r), 1),
        "total_s_p50": round(statistics.median(r["total_s"] for r in rows), 2),
        "overhead_ratio": round(
            statistics.median(r["wall_s"] / h for r, h in zip(rows, hands, strict=True)), 2
        ),
        "forecast_error_p50": round(statistics.median(errors), 3),
        "forecast_error_p90": round(sorted(errors)[int(0.9 * (len(errors) - 1))], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench NAME=migrate")
    parser.add_argument(
        "--loads", type=int, nargs="*", default=list(LOADS_MIB_S), help="MiB/s that the guest writes"
    )
    given = parser.parse_args()
    print(machine())
    with a_lab("10.79.2", "cbench1", nodes=2) as lab:
        bench = Bench(lab)
        bench.narrow_cables()
        bench.make()
        figures = measure(bench, tuple(given.loads))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
