"""Links: what this host (or the network namespace that the agent is in) has of a network, by netlink."""

from typing import Final

from msgspec import Struct

IPV4: Final = 2  # AF_INET


class Bridge(Struct, frozen=True, kw_only=True):
    """A link as it is."""

    index: int  # the kernel's number of it: a bridge that was made anew has another
    kind: str  # "bridge", "" for a physical NIC, …
    up: bool
    mtu: int
    addresses: tuple[str, ...] = ()  # IPv4, as 10.78.0.1/24


def look_at(name: str) -> Bridge | None:
    """The link of this name; None: there is none. Blocks for some milliseconds."""
    from pyroute2 import (
        IPRoute,  # here: its import takes longer than all else that an agent does at its start
    )

    with IPRoute() as netlink:
        index = next(iter(netlink.link_lookup(ifname=name)), None)
        if index is None:
            return None
        link = netlink.get_links(index)[0]
        info = link.get_attr("IFLA_LINKINFO")
        return Bridge(
            index=index,
            kind=(info.get_attr("IFLA_INFO_KIND") if info else "") or "",
            up=bool(link["flags"] & 1),
            mtu=link.get_attr("IFLA_MTU"),
            addresses=tuple(
                f"{a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}"
                for a in netlink.get_addr(index=index, family=IPV4)
            ),
        )
