"""Networks that Corral makes, and what guests can't do on them: real links, real nftables, real dnsmasq."""

import asyncio
import socket
import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from corral.model.network import tap_name
from corral.network.segments import bridge_mac
from tests.lab.netns import Driver, at, connect, frames, inside, ip, listen, namespaces, plug, wire

NODE, OUT, GUEST, OTHER = "ctk-node", "ctk-out", "ctk-guest", "ctk-other"
MAC, OTHERS = "0e:00:00:00:00:01", "0e:00:00:00:00:02"
NET = "net-01test00000001"
BRIDGE = "cn-0000000001"[:15]
ADDRESS, NEIGHBOUR, GATEWAY = "10.80.0.10", "10.80.0.11", "10.80.0.1"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Path]:
    """A host at 10.91.0.1, another one beside it at 10.91.0.2; two guests that are not plugged in yet."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    with namespaces(NODE, OUT, GUEST, OTHER):
        wire(NODE, "eth0", OUT, "eth0")
        ip("-n", NODE, "addr", "add", "10.91.0.1/24", "dev", "eth0")
        ip("-n", OUT, "addr", "add", "10.91.0.2/24", "dev", "eth0")
        yield tmp_path / "dhcp"


def network(segment: str = "nat", **fields: Any) -> dict[str, Any]:
    subnet = {"cidr": "10.80.0.0/24", "first": "10.80.0.2", "last": "10.80.0.99", "server": GATEWAY}
    ports = [
        {"mac": MAC, "address": ADDRESS, "name": "web"},
        {"mac": OTHERS, "address": NEIGHBOUR, "name": "db"},
    ]
    names = [{"name": port["name"], "address": port["address"]} for port in ports]
    gateway = GATEWAY if segment == "nat" else ""
    return {
        "network": NET, "name": "inside", "bridge": BRIDGE, "segment": segment, "subnet": subnet | {"gateway": gateway},
        "domain": "inside.internal", "ports": ports, "names": names, **fields,
    }  # fmt: skip


def guests() -> None:
    plug(NODE, BRIDGE, GUEST, MAC, f"{ADDRESS}/24", GATEWAY)
    plug(NODE, BRIDGE, OTHER, OTHERS, f"{NEIGHBOUR}/24", GATEWAY)


# ---- what guests can't send


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def frame(payload: bytes, *, kind: int = 0x0800, source: str = MAC, to: str = OTHERS) -> bytes:
    return octets(to) + octets(source) + struct.pack("!H", kind) + payload


def udp(source: str = ADDRESS, *, sport: int = 4000, dport: int = 4000) -> bytes:
    body = struct.pack("!HHHH", sport, dport, 12, 0) + b"mark"
    addresses = IPv4Address(source).packed + IPv4Address(NEIGHBOUR).packed
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 1, 0, 64, 17)
    total = sum(struct.unpack("!9H", head + addresses))
    total = (total & 0xFFFF) + (total >> 16)
    return head + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + addresses + body


def arp(mac: str = MAC, address: str = ADDRESS) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
    return head + octets(mac) + IPv4Address(address).packed + octets(OTHERS) + IPv4Address(NEIGHBOUR).packed


def udp6(sport: int) -> bytes:
    body = struct.pack("!HHHH", sport, 546, 12, 0) + b"mark"
    return struct.pack("!IHBB", 6 << 28, len(body), 17, 255) + b"\xfe\x80" + bytes(14) + b"\xff\x02" + bytes(13) + b"\1" + body  # fmt: skip


def icmp6(kind: int) -> bytes:
    body = struct.pack("!BBHI", kind, 0, 0, 0) + bytes(8)
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + b"\xfe\x80" + bytes(14) + b"\xff\x02" + bytes(13) + b"\1" + body  # fmt: skip


SENT = [  # name, frame, arrives
    ("its own", frame(udp()), True),
    ("another's MAC", frame(udp(), source="0e:00:00:00:00:09"), False),
    ("another's address", frame(udp("10.80.0.11")), False),
    ("an address of nobody", frame(udp("10.80.0.77")), False),
    ("ARP of its own", frame(arp(), kind=0x0806), True),
    ("ARP with the gateway's address", frame(arp(address=GATEWAY), kind=0x0806), False),
    ("ARP with another's MAC", frame(arp(mac=OTHERS), kind=0x0806), False),
    ("ARP of a guest that looks whether its address is free", frame(arp(address="0.0.0.0"), kind=0x0806), True),
    ("DHCP: asks", frame(udp("0.0.0.0", sport=68, dport=67)), True),
    ("DHCP: answers", frame(udp(sport=67, dport=68)), False),
    ("an address of nobody, from the port that asks DHCP", frame(udp("10.80.0.77", sport=68, dport=67)), False),
    ("in a VLAN tag", frame(struct.pack("!HH", 7, 0x0800) + udp(sport=4001), kind=0x8100), False),
    ("spanning tree", frame(b"\x42\x42\x03" + bytes(40), kind=43, to="01:80:c2:00:00:00"), False),
    ("IPv6", frame(udp6(4000), kind=0x86DD), True),
    ("IPv6 router advertisement", frame(icmp6(134), kind=0x86DD), False),
    ("IPv6 router solicitation", frame(icmp6(133), kind=0x86DD), True),
    ("DHCPv6: answers", frame(udp6(547), kind=0x86DD), False),
]  # fmt: skip


def arriving() -> list[str]:
    """Send all of it from one guest; what reaches the other one."""
    with frames(GUEST) as sender, frames(OTHER) as receiver:
        for _, data, _ in SENT:
            sender.send(data)
        last = frame(b"the last one", kind=0x88B5)
        sender.send(last)
        names = {data: name for name, data, _ in SENT}
        names[frame(udp(sport=4001))] = "in a VLAN tag"  # as a kernel without VLANs shows it
        seen: dict[str, None] = {}  # the other guest's kernel makes the first one answer some once more
        while (data := receiver.recv(2048)) != last:
            seen |= {names[data]: None} if data in names else {}
        return list(seen)


async def test_a_guest_sends_under_its_own_name_only(node: Path) -> None:
    async with Driver(NODE, node) as driver:
        await driver.served(network())
        guests()
        assert arriving() == [name for name, _, arrives in SENT if arrives]
        inside(NODE, "nft", "flush", "ruleset")  # by somebody who knew nothing of Corral
        assert "another's address" in arriving(), "it is not the rules that do it"
        await driver.served(network())
        assert arriving() == [name for name, _, arrives in SENT if arrives]
        router = [{**port, "anti_spoofing": False} for port in network()["ports"]]
        await driver.served(network(ports=router))
        assert {"another's MAC", "DHCP: answers", "in a VLAN tag"} <= set(arriving())


# ---- NAT


def forwarding(link: str) -> str:
    return inside(NODE, "cat", f"/proc/sys/net/ipv4/conf/{link}/forwarding").strip()


def lookup(name: str) -> list[str]:
    """What the network's DNS says to a guest."""

    def ask() -> bytes:
        question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(5)
            asker.sendto(
                struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", 1, 1), (GATEWAY, 53)
            )
            return asker.recv(512)

    answer = at(GUEST, ask)
    found = struct.unpack("!H", answer[6:8])[0]
    return [str(IPv4Address(answer[-4:]))] if found == 1 else []


async def test_nat_and_what_it_survives(node: Path) -> None:
    """Way out, names, a forwarded port; then an agent that is killed, rules that somebody flushed, and the end."""
    way = {"protocol": "tcp", "port": 8080, "address": ADDRESS, "to_port": 80}
    wanted = network(forwards=[way])
    async with Driver(NODE, node) as driver:
        await driver.served(wanted)
        guests()
        with listen(OUT, "10.91.0.2", 9000) as outside, listen(GUEST, ADDRESS, 80) as web:
            out = connect(GUEST, "10.91.0.2", 9000)
            far, (seen_as, _) = outside.accept()
            assert seen_as == "10.91.0.1"
            back = connect(OUT, "10.91.0.1", 8080)
            near, (seen_as, _) = web.accept()
            assert seen_as == "10.91.0.2"
            connect(NODE, "10.91.0.1", 8080).close()  # from the node itself
            connect(OTHER, "10.91.0.1", 8080).close()  # from a neighbour, by the node's address
            assert lookup("db.inside.internal") == [NEIGHBOUR]
            assert lookup("nobody.inside.internal") == []

            await driver.stop()
            await driver.start()
            await driver.served(wanted)
            inside(NODE, "nft", "flush", "ruleset")
            await driver.served(wanted)
            for sender, receiver in ((out, far), (far, out), (back, near), (near, back)):
                sender.sendall(b"still here")
                assert receiver.recv(100) == b"still here"
            connect(OUT, "10.91.0.1", 8080).close()

        # The host routes for Corral's networks, and for nobody else
        assert (forwarding("all"), forwarding("eth0")) == ("0", "1")
        ip("-n", NODE, "link", "add", "stranger", "type", "bridge")
        ip("-n", NODE, "addr", "add", "10.92.0.1/24", "dev", "stranger")
        ip("-n", NODE, "link", "set", "stranger", "up")
        assert "corral-forwarding" in inside(NODE, "nft", "list", "tables")
        ip("-n", OUT, "route", "add", "10.80.0.0/24", "via", "10.91.0.1")
        with pytest.raises(OSError):  # into the network from outside, other than by a forward
            connect(OUT, NEIGHBOUR, 22, timeout_s=0.3)

        await driver.sweep(wanted)
        assert BRIDGE in ip("-n", NODE, "link")
        await driver.sweep()  # the network is gone, but guests are still there
        assert BRIDGE in ip("-n", NODE, "link")
        for mac in (MAC, OTHERS):
            ip("-n", NODE, "link", "delete", tap_name(mac))
        await driver.sweep()
        assert BRIDGE not in ip("-n", NODE, "link") and "stranger" in ip("-n", NODE, "link")
        assert inside(NODE, "nft", "list", "ruleset") == ""
        assert forwarding("eth0") == "0"
        assert not subprocess.run(["pgrep", "-f", f"conf-file={node}"], capture_output=True).stdout, (
            "dnsmasq runs on"
        )


async def test_isolated_stays_inside(node: Path) -> None:
    inside(NODE, "sysctl", "-qw", "net.ipv4.ip_forward=1")  # somebody else routes on this host
    async with Driver(NODE, node) as driver:
        await driver.served(network("isolated"))
        guests()
        ip("-n", OUT, "route", "add", "10.80.0.0/24", "via", "10.91.0.1")
        with listen(OUT, "10.91.0.2", 9000), listen(OTHER, NEIGHBOUR, 22):
            connect(GUEST, NEIGHBOUR, 22).close()
            for namespace, address, port in ((GUEST, "10.91.0.2", 9000), (OUT, NEIGHBOUR, 22)):
                with pytest.raises(OSError):
                    connect(namespace, address, port, timeout_s=0.3)
        assert "corral-forwarding" not in inside(NODE, "nft", "list", "tables")


async def test_what_is_not_corrals_is_left_alone_and_named(node: Path) -> None:
    async with Driver(NODE, node) as driver:
        ip("-n", NODE, "link", "add", BRIDGE, "type", "bridge")
        ip("-n", NODE, "link", "set", BRIDGE, "up", "alias", "my own")
        before = ip("-n", NODE, "link", "show", BRIDGE)
        answer = await driver.serve(network())
        assert answer["trouble"]["code"] == "network.bridge_taken"
        await driver.sweep()
        assert ip("-n", NODE, "link", "show", BRIDGE) == before
        ip("-n", NODE, "link", "delete", BRIDGE)

        ip("-n", NODE, "addr", "add", "10.80.0.200/16", "dev", "eth0")
        answer = await driver.serve(network())
        assert (answer["trouble"]["code"], answer["trouble"]["context"]["link"]) == (
            "network.subnet_taken",
            "eth0",
        )
        assert BRIDGE not in ip("-n", NODE, "link")
        ip("-n", NODE, "addr", "del", "10.80.0.200/16", "dev", "eth0")

        with listen(NODE, "10.91.0.1", 8080):
            way = {"protocol": "tcp", "port": 8080, "address": ADDRESS, "to_port": 80}
            answer = await driver.serve(network(forwards=[way]))
            assert answer["ready"] and answer["trouble"]["code"] == "network.forward_taken"
            connect(OUT, "10.91.0.1", 8080).close()
        assert (await driver.serve(network(forwards=[way])))["trouble"] is None


async def test_a_bridge_that_changed_is_set_right(node: Path) -> None:
    async with Driver(NODE, node) as driver:
        await driver.served(network())
        ip("-n", NODE, "link", "set", BRIDGE, "down", "address", "0a:00:00:00:00:99")
        ip("-n", NODE, "addr", "flush", "dev", BRIDGE)
        await driver.served(network(mtu=1400))
        shown = ip("-n", NODE, "addr", "show", BRIDGE)
        assert all(text in shown for text in (bridge_mac(NET), f"{GATEWAY}/24", "mtu 1400", "UP"))
        ip("-n", NODE, "link", "delete", BRIDGE)  # a host that was switched off comes back without it
        await driver.served(network(mtu=1400))
        lease = await asyncio.to_thread(leased)
        assert lease == ADDRESS


def leased() -> str:
    plug(NODE, BRIDGE, GUEST, MAC)
    said = subprocess.run(
        ["ip", "netns", "exec", GUEST, "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "3", "-s", "/bin/true"],
        capture_output=True, text=True,
    )  # fmt: skip
    return (
        said.stderr.split("lease of ")[1].split()[0].rstrip(",")
        if "lease of " in said.stderr
        else said.stderr
    )
