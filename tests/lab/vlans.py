"""VLANs of two nodes, for a kernel that has them: `python -m tests.lab.vlans DIRECTORY`, as root.

Two hosts with a cable between their eth1, guests on them in VLAN 120 and 130. Run in the host that test_kvm.py boots.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from corral.model.network import own_bridge, own_vlan
from tests.lab.netns import Driver, connect, ip, listen, namespaces, plug, wire

NET, OTHER_NET = "net-01test00000120", "net-01test00000130"
HERE, THERE, ONE, TWO, STRANGER = "ctv-here", "ctv-there", "ctv-one", "ctv-two", "ctv-stranger"
MACS = {ONE: "0e:00:00:00:01:01", TWO: "0e:00:00:00:01:02", STRANGER: "0e:00:00:00:01:03"}
ADDRESSES = {ONE: "10.30.0.11", TWO: "10.30.0.12", STRANGER: "10.30.0.13"}


def network(id: str, vlan: int, *here: str) -> dict[str, Any]:
    """With addresses on 120; without on 130, where a guest has chosen one that 120 could have given."""
    managed = vlan == 120
    subnet = {"cidr": "10.30.0.0/24", "first": "10.30.0.10", "last": "10.30.0.99", "server": "10.30.0.254"}
    return {
        "network": id, "bridge": own_bridge(id), "segment": "vlan", "uplink": "eth1", "vlan": vlan,
        "subnet": subnet if managed else None,
        "ports": [{"mac": MACS[name], "address": ADDRESSES[name] if managed else "", "name": name} for name in here],
    }  # fmt: skip


def lease(guest: str) -> str:
    words = [
        "ip",
        "netns",
        "exec",
        guest,
        "busybox",
        "udhcpc",
        "-i",
        "eth0",
        "-n",
        "-q",
        "-t",
        "5",
        "-s",
        "/bin/true",
    ]
    return subprocess.run(words, capture_output=True, text=True).stderr


def reaches(guest: str, other: str, timeout_s: float) -> bool:
    with listen(other, ADDRESSES[other], 80):
        try:
            connect(guest, ADDRESSES[other], 80, timeout_s).close()
        except OSError:
            return False
        return True


async def check(directory: Path) -> None:
    wire(HERE, "eth1", THERE, "eth1")
    async with Driver(HERE, directory / "here") as here, Driver(THERE, directory / "there") as there:
        await asyncio.gather(here.served(network(NET, 120, ONE)), there.served(network(NET, 120, TWO)))
        await there.served(network(OTHER_NET, 130, STRANGER))
        for guest, node, id in ((ONE, HERE, NET), (TWO, THERE, NET), (STRANGER, THERE, OTHER_NET)):
            plug(node, own_bridge(id), guest, MACS[guest])
            if id == NET:
                said = await asyncio.to_thread(lease, guest)
                assert ADDRESSES[guest] in said, f"each node answers its own: {said}"
            ip("-n", guest, "addr", "add", f"{ADDRESSES[guest]}/24", "dev", "eth0")
        assert reaches(ONE, TWO, 10), "two nodes, one VLAN"
        assert not reaches(ONE, STRANGER, 2), "two VLANs"
        assert not reaches(TWO, STRANGER, 2), "two VLANs on one node"
        ip("-n", HERE, "link", "delete", own_vlan(NET))  # a cable that was pulled out of the bridge
        await here.stop()
        await here.start()
        await here.served(network(NET, 120, ONE))
        assert reaches(ONE, TWO, 10), "after the agent came back"
        ip("-n", ONE, "link", "delete", "eth0")
        await here.sweep()
        assert "cn-" not in ip("-n", HERE, "link") and "cv-" not in ip("-n", HERE, "link")
        ip("-n", HERE, "link", "add", "link", "eth1", "name", "eth1.120", "type", "vlan", "id", "120")
        answer = await here.serve(network(NET, 120))
        assert answer["trouble"]["code"] == "network.vlan_taken", answer
        assert answer["trouble"]["context"]["link"] == "eth1.120"


def main() -> None:
    with namespaces(HERE, THERE, ONE, TWO, STRANGER):
        asyncio.run(check(Path(sys.argv[1])))
    print("VLANs are as they should be")


if __name__ == "__main__":
    main()
