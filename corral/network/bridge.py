"""Networks on bridges of the host: looked at, and served with DHCP for the node's own VMs.

In this room   BridgeNetworking, the real driver
Comes in       NetworkAssignment
Goes out       NetworkOnNode; files and one dnsmasq a network, under DIRECTORY/NETWORK
Always true    bridges, firewall and forwarding of the host are left as they are; DHCP goes on without the agent
Next door      links.py looks; dhcp.py writes the texts; dnsmasq.py runs the process
Start here     BridgeNetworking.serve()
"""

import asyncio
import shutil
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Final

from corral.clock import Clock
from corral.errors import CorralError
from corral.model.link import NetworkAssignment
from corral.model.node import NetworkOnNode
from corral.model.resource import Trouble
from corral.network import dhcp
from corral.network.dnsmasq import CONFIGURATION, Dnsmasq
from corral.network.interface import NetworkFailed
from corral.network.links import Bridge, look_at

OTHERS_ENTER: Final = 0o001


class BridgeNetworking:
    """Networks of this host. `directory` keeps what dnsmasq needs; the agent finds it there again."""

    def __init__(self, directory: Path, clock: Clock, *, dnsmasq: str = "dnsmasq") -> None:
        self._directory = directory
        self._clock = clock
        self._program = dnsmasq
        self._locks: dict[str, asyncio.Lock] = {}
        self._reloaded: set[str] = set()  # by this process: an earlier one may have died before it did

    async def serve(self, network: NetworkAssignment) -> NetworkOnNode:
        async with self._lock(network.network):
            try:
                bridge = check(network, await asyncio.to_thread(look_at, network.bridge))
                if network.subnet and network.subnet.dhcp:
                    await self._answer(network, bridge)
                else:
                    await self._silence(network.network)
            except CorralError as error:
                return NetworkOnNode(trouble=Trouble.of(error))
            except OSError as error:
                return NetworkOnNode(trouble=Trouble.of(_explained(error, network.bridge)))
        return NetworkOnNode(ready=True)

    async def drop(self, network: str) -> None:
        async with self._lock(network):
            await self._silence(network)

    async def close(self) -> None:
        """Nothing is held open; dnsmasq goes on."""

    async def _answer(self, network: NetworkAssignment, bridge: Bridge) -> None:
        """See that a dnsmasq runs with just this configuration and these hosts."""
        directory = self._directory / network.network
        dnsmasq = self._dnsmasq(network.network)
        inside = not _others_enter(self._directory)
        texts = {
            CONFIGURATION: dhcp.configuration(network, directory, bridge.index, hosts_inside=inside),
            "hosts": dhcp.hosts(network.ports),
            "leases": dhcp.leases_kept(_text(directory / "leases"), network.ports),
        }
        same = {name: _text(directory / name) == text for name, text in texts.items()}
        match dhcp.plan(
            running=dnsmasq.pid is not None,
            configured=same[CONFIGURATION] and same["leases"],
            hosts_known=inside or (same["hosts"] and network.network in self._reloaded),
        ):
            case dhcp.Step.RELOAD:
                (directory / "hosts").write_text(texts["hosts"])
                dnsmasq.reload()
            case dhcp.Step.RESTART:
                await (
                    dnsmasq.stop()
                )  # before anything is written: what is there is what the running one has read
                directory.mkdir(parents=True, exist_ok=True)
                for name, text in texts.items():
                    (directory / name).write_text(text)
                await dnsmasq.start()
        self._reloaded.add(network.network)

    async def _silence(self, network: str) -> None:
        await self._dnsmasq(network).stop()
        await asyncio.to_thread(shutil.rmtree, self._directory / network, ignore_errors=True)

    def _dnsmasq(self, network: str) -> Dnsmasq:
        return Dnsmasq(self._directory / network, self._clock, program=self._program)

    def _lock(self, network: str) -> asyncio.Lock:
        return self._locks.setdefault(network, asyncio.Lock())


def check(network: NetworkAssignment, bridge: Bridge | None) -> Bridge:
    """The bridge, if it is as the network needs it. raises NetworkFailed: the bridge is not there, or not as the network needs it"""
    name = network.bridge
    if bridge is None:
        raise NetworkFailed(
            f"there is no bridge {name}",
            hint=f"ip link add {name} type bridge; ip link set {name} up",
            bridge=name,
        )
    if bridge.kind != "bridge":
        raise NetworkFailed(
            f"{name} is no bridge",
            hint="Name a bridge of the host, not a NIC.",
            bridge=name,
            kind=bridge.kind,
        )
    if not bridge.up:
        raise NetworkFailed(f"bridge {name} is down", hint=f"ip link set {name} up", bridge=name)
    if bridge.mtu < network.mtu:
        raise NetworkFailed(
            f"bridge {name} has an MTU of {bridge.mtu}, and the network asks for {network.mtu}",
            hint=f"ip link set {name} mtu {network.mtu} (its ports first), or give the network a smaller MTU",
            bridge=name, mtu=bridge.mtu, asked=network.mtu,
        )  # fmt: skip
    if network.subnet and network.subnet.dhcp:
        _check_address(network.subnet.cidr, name, bridge)
    return bridge


def _check_address(cidr: str, name: str, bridge: Bridge) -> None:
    subnet = IPv4Network(cidr, strict=False)
    if any(IPv4Interface(address).ip in subnet for address in bridge.addresses):
        return
    raise NetworkFailed(
        f"bridge {name} has no address in {subnet}, and DHCP can't answer without one",
        hint=f"ip addr add ADDRESS/{subnet.prefixlen} dev {name}, with one outside the range that VMs get",
        bridge=name, addresses=" ".join(bridge.addresses), subnet=str(subnet),
    )  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _others_enter(directory: Path) -> bool:
    """Whether dnsmasq, once it runs as nobody, can come this far."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    return all(parent.stat().st_mode & OTHERS_ENTER for parent in (directory, *directory.parents))


def _explained(error: OSError, bridge: str) -> NetworkFailed:
    return NetworkFailed(
        f"serving {bridge} failed: {error.strerror or error}",
        hint="Look at the agent's directory for DHCP on the node.",
        path=str(error.filename or ""),
        errno=error.errno or 0,
    )
