"""Forwarding: a host routes packets for NAT networks, and for nobody else.

In this room   plan(), pure; Forwarding, which writes what it says
Comes in       links; whether any network of the node needs it
Goes out       net.ipv4.conf.LINK.forwarding of the links in question; a table that keeps the rest as it was
Always true    net.ipv4.ip_forward is never written. Where it is on already, somebody else routes here and nothing is
               changed. Where it is off, forwarding is switched on for the links that need it, and what neither comes from
               nor goes to a bridge of Corral's is dropped, as it was before.
Next door      rules.py has the rules of each network
Start here     plan()
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.model.network import OWN_BRIDGE
from corral.network.interface import NetworkFailed
from corral.network.links import SYSCTL, Link
from corral.network.nft import Nft
from corral.network.rules import FORWARDING

STATE: Final = "forwarding.json"


class ForwardingPlan(Struct, frozen=True, kw_only=True):
    on: tuple[str, ...] = ()  # links to switch on
    off: tuple[str, ...] = ()  # links to switch off again
    ours: tuple[str, ...] = ()  # links that are on because of Corral, after that
    guard: str = ""  # text of the table; empty: none


def plan(
    bridges: Iterable[str], links: Mapping[str, Link], on: Mapping[str, bool], ours: Iterable[str]
) -> ForwardingPlan:
    """What to switch.

    bridges  of NAT networks
    on       forwarding by link; "all" is net.ipv4.ip_forward
    ours     links that Corral switched on earlier
    """
    wanted, earlier = set(bridges) & set(links), set(ours) & set(links)
    if on.get("all"):  # somebody else routes: no guard, nothing to take back
        return ForwardingPlan(on=tuple(sorted(name for name in wanted if not on.get(name))))
    if not wanted:
        return ForwardingPlan(off=tuple(sorted(earlier)))
    ways = {
        link.name
        for link in links.values()
        if link.addresses and link.name != "lo" and not link.name.startswith(OWN_BRIDGE)
    }
    switched = {name for name in ways if not on.get(name)} | (earlier & ways)
    return ForwardingPlan(
        on=tuple(sorted(name for name in wanted | ways if not on.get(name))),
        off=tuple(sorted(earlier - ways)),
        ours=tuple(sorted(switched)),
        guard=_guard(switched),
    )


def _guard(switched: Iterable[str]) -> str:
    links = ", ".join(f'"{name}"' for name in sorted(switched))
    if not links:
        return ""
    rule = f'iifname {{ {links} }} oifname != "{OWN_BRIDGE}*" drop'
    return f"table ip {FORWARDING} {{\n  chain forward {{\n    type filter hook forward priority -10;\n    {rule}\n  }}\n}}\n"


class Forwarding:
    """Forwarding on this host; `directory` keeps what has to be taken back."""

    def __init__(self, directory: Path, nft: Nft, *, sysctl: Path = SYSCTL) -> None:
        self._state, self._nft, self._conf = directory / STATE, nft, sysctl / "ipv4/conf"

    async def keep(self, bridges: Iterable[str], links: Mapping[str, Link]) -> None:
        """Make it so. raises NetworkFailed"""
        bridges, ours = tuple(bridges), self._ours()
        if not bridges and not self._state.exists():
            return
        wanted = plan(bridges, links, {name: self._on(name) for name in ("all", *links)}, ours)
        self._note((*ours, *wanted.ours))  # before: what is on is known to be ours, whenever the agent dies
        await self._nft.keep(FORWARDING, {"ip": wanted.guard} if wanted.guard else {})
        for name in wanted.on:
            self._switch(name, "1")
        for name in wanted.off:
            self._switch(name, "0")
        self._note(wanted.ours if bridges else None)

    def _on(self, link: str) -> bool:
        try:
            return (self._conf / link / "forwarding").read_text().strip() == "1"
        except OSError:
            return False

    def _switch(self, link: str, value: str) -> None:
        try:
            (self._conf / link / "forwarding").write_text(value)
        except FileNotFoundError:
            return  # the link is gone
        except OSError as error:
            raise NetworkFailed(
                f"net.ipv4.conf.{link}.forwarding can't be set: {error.strerror}",
                hint="The agent needs root, and /proc/sys that can be written.",
                link=link,
            ) from None

    def _ours(self) -> tuple[str, ...]:
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError):
            return ()

    def _note(self, ours: Iterable[str] | None) -> None:
        if ours is None:
            self._state.unlink(missing_ok=True)
        else:
            self._state.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._state.write_bytes(msgspec.json.encode(sorted(set(ours))))
