"""Networks of this host: their segment, their rules, their DHCP and DNS.

In this room   BridgeNetworking, the real driver
Comes in       NetworkAssignment
Goes out       NetworkOnNode; links, tables of nftables and one dnsmasq a network; files under DIRECTORY/NETWORK
Always true    links, tables and bridges that are not Corral's are left as they are; all of it goes on without the agent;
               each look mends what differs
Next door      segments.py and rules.py decide; links.py, nft.py, forwarding.py and dnsmasq.py do
Start here     BridgeNetworking.serve()
"""

import asyncio
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from corral.clock import Clock
from corral.errors import CorralError
from corral.model.link import Forward, NetworkAssignment
from corral.model.network import OWN_BRIDGE, Segment
from corral.model.node import NetworkOnNode
from corral.model.resource import Trouble
from corral.network import dhcp, rules, segments
from corral.network.dnsmasq import CONFIGURATION, Dnsmasq
from corral.network.forwarding import Forwarding
from corral.network.interface import ForwardTaken, Known, NetworkFailed
from corral.network.links import Link, change, look
from corral.network.listening import listening
from corral.network.nft import Nft

OTHERS_ENTER: Final = 0o001
RULES: Final = "rules"  # directory of texts for nftables, beside those of networks


class BridgeNetworking:
    """Networks of this host. `directory` keeps what dnsmasq needs; the agent finds it there again."""

    def __init__(self, directory: Path, clock: Clock, *, dnsmasq: str = "dnsmasq") -> None:
        self._directory = directory
        self._clock = clock
        self._program = dnsmasq
        self._nft = Nft(directory / RULES)
        self._forwarding = Forwarding(directory / RULES, self._nft)
        self._locks: dict[str, asyncio.Lock] = {}
        self._changing = asyncio.Lock()  # links and forwarding: what is seen stays so until it is acted upon
        self._nat: dict[str, str] = {}  # bridge by network
        self._reloaded: set[str] = set()  # by this process: an earlier one may have died before it did

    async def serve(self, network: NetworkAssignment) -> NetworkOnNode:
        async with self._lock(network.network):
            try:
                return await self._serve(network)
            except CorralError as error:
                return NetworkOnNode(trouble=Trouble.of(error))
            except OSError as error:
                return NetworkOnNode(trouble=Trouble.of(_explained(error, network.bridge)))

    async def drop(self, network: str) -> None:
        """Stop serving it: DHCP, rules, and the bridge if it is Corral's and no guest is on it."""
        async with self._lock(network):
            await self._silence(network)
            await self._nft.keep(rules.table_name(network), {})

    async def sweep(self, known: Known) -> None:
        for network in sorted(await asyncio.to_thread(self._directories)):
            async with self._lock(network):
                if network not in _ids(known()):
                    await self._silence(network)
        tables = await self._nft.names() if self._directory.exists() else set()
        for table in sorted(tables - {rules.FORWARDING}):
            if table not in {rules.table_name(id) for id in _ids(known())}:
                await self._nft.keep(table, {})
        await self._sweep_links(known)

    async def close(self) -> None:
        """Nothing is held open; dnsmasq goes on."""

    # ---- one network

    async def _serve(self, network: NetworkAssignment) -> NetworkOnNode:
        async with self._changing:
            links = await asyncio.to_thread(look)
            if steps := segments.plan(network, links):
                await asyncio.to_thread(change, steps)
                links = await asyncio.to_thread(look)
        taken = await asyncio.to_thread(_taken, network.forwards, links)
        way_in = replace(network, forwards=tuple(f for f in network.forwards if f not in taken))
        await self._nft.keep(
            rules.table_name(network.network), rules.tables(way_in, segments.taps(network, links))
        )
        await self._route(network)
        if network.subnet and network.subnet.dhcp:
            await self._answer(network, links[network.bridge].index)
        else:
            await self._silence(network.network)
        trouble = Trouble.of(_forward_taken(taken)) if taken else None
        return NetworkOnNode(
            ready=True,
            generation=network.generation,
            leases=dhcp.leased(_text(self._directory / network.network / "leases"), network.ports, self._clock.now_s()),
            trouble=trouble,
        )  # fmt: skip

    async def _route(self, network: NetworkAssignment) -> None:
        if network.segment is not Segment.NAT:
            return
        async with self._changing:
            self._nat[network.network] = network.bridge
            await self._forwarding.keep(self._nat.values(), await asyncio.to_thread(look))

    async def _answer(self, network: NetworkAssignment, bridge_index: int) -> None:
        """See that a dnsmasq runs with just this configuration and these hosts."""
        directory = self._directory / network.network
        dnsmasq = self._dnsmasq(network.network)
        inside = not _others_enter(self._directory)
        leases = _text(directory / "leases")
        texts = {
            CONFIGURATION: dhcp.configuration(network, directory, bridge_index, hosts_inside=inside),
            "hosts": dhcp.hosts(network.ports),
            "names": dhcp.names(network),
            "leases": dhcp.leases_kept(leases, network.ports, ours_only=bool(network.domain)),
        }
        same = {name: _text(directory / name) == text for name, text in texts.items()}
        known = same["hosts"] and same["names"] and network.network in self._reloaded
        match dhcp.plan(
            running=dnsmasq.pid is not None,
            configured=same[CONFIGURATION] and same["leases"],
            hosts_known=inside or known,
        ):
            case dhcp.Step.RELOAD:
                for name in ("hosts", "names"):
                    (directory / name).write_text(texts[name])
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

    # ---- what is left of others

    def _directories(self) -> set[str]:
        try:
            return {path.name for path in self._directory.iterdir() if path.is_dir()} - {RULES}
        except FileNotFoundError:
            return set()

    async def _sweep_links(self, known: Known) -> None:
        async with self._changing:
            links = await asyncio.to_thread(look)
            networks = [network for network in known() if network.wanted]
            if steps := segments.leftovers(networks, links):
                await asyncio.to_thread(change, steps)
                links = await asyncio.to_thread(look)
            self._nat = {n.network: n.bridge for n in networks if n.segment is Segment.NAT}
            await self._forwarding.keep(self._nat.values(), links)

    def _dnsmasq(self, network: str) -> Dnsmasq:
        return Dnsmasq(self._directory / network, self._clock, program=self._program)

    def _lock(self, network: str) -> asyncio.Lock:
        return self._locks.setdefault(network, asyncio.Lock())


def _ids(networks: Collection[NetworkAssignment]) -> set[str]:
    return {network.network for network in networks if network.wanted}


def _taken(forwards: Collection[Forward], links: Mapping[str, Link]) -> list[Forward]:
    """Forwards of ports that a program of the host listens at: it would not be reached any more."""
    if not forwards:
        return []
    own = (link for link in links.values() if link.name.startswith(OWN_BRIDGE))
    in_use = listening(address.partition("/")[0] for link in own for address in link.addresses)
    return [forward for forward in forwards if (forward.protocol, forward.port) in in_use]


def _forward_taken(taken: list[Forward]) -> ForwardTaken:
    ports = ", ".join(f"{forward.port}/{forward.protocol}" for forward in taken)
    return ForwardTaken(
        f"a program of the host listens at {ports}: not forwarded here",
        hint="Forward another port, or end the program: `ss -lntup` on the node shows it.",
        ports=ports,
    )


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
