"""Network: layer-2 segments that VMs have ports on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from corral.cli.parts import forwards
from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    How,
    LabelsOption,
    Output,
    OutputOption,
    YesOption,
    changed_labels,
    following,
    labels_of,
    listing,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect
from corral.errors import Invalid

if TYPE_CHECKING:
    from corral.client.client import Client
    from corral.model.node import Node
    from corral.model.port import Port

commands = noun("Networks: layer-2 segments that VMs have ports on, with addresses, names and a way out.")
commands.add_typer(forwards.commands, name="forward")

NetworkName = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Name or id.", autocompletion=names_of("networks"))
]


@commands.command("list")
@grouped(query=listing)
def list_networks(
    query: Mapping[str, Any] = GIVEN,
    output: OutputOption = Output.TABLE,
) -> None:
    """List networks.

    Example: corral network list
    """
    from corral.cli.parts.columns import network_columns

    with connect() as client:
        networks = client.networks.list(**query)
        empty = "No network yet. `corral network create` makes one."
        show_list(networks, network_columns(Names(client)), output, empty=empty)


@commands.command()
def show(network: NetworkName, output: OutputOption = Output.TABLE) -> None:
    """Show a network in detail.

    Example: corral network show default
    """
    from corral.cli.parts.details import network_details

    with connect() as client:
        found = client.networks.get(network)
        show_one(found, lambda: network_details(found, *_around(client, found.id)), output)


def _around(client: "Client", network: str) -> "tuple[list[Node], list[Port], Names]":
    """What a person wants to see with a network."""
    return client.nodes.list(sort="name"), client.ports.list(network=network), Names(client)


@commands.command()
@grouped(how=following)
def create(
    name: Annotated[str, typer.Argument(help="Name of the new network.")],
    bridge: Annotated[str, typer.Option("--bridge", help="Bridge that exists on the nodes.")] = "",
    vlan: Annotated[int, typer.Option("--vlan", help="A VLAN of the nodes' --uplink, 1 to 4094.")] = 0,
    uplink: Annotated[
        str,
        typer.Option("--uplink", metavar="LINK", help="NIC, bond or bridge of the nodes that carries it."),
    ] = "",
    nat: Annotated[
        bool, typer.Option("--nat", help="A bridge of its own on each node, and out by the node's address.")
    ] = False,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="A bridge of its own on each node, with no way out.")
    ] = False,
    subnet: Annotated[
        str, typer.Option("--subnet", metavar="CIDR", help="Addresses to give out, e.g. 10.78.0.0/24.")
    ] = "",
    range: Annotated[
        str, typer.Option("--range", metavar="FIRST-LAST", help="Of the subnet. Default: all but the ends.")
    ] = "",
    gateway: Annotated[
        str, typer.Option("--gateway", help="Router that guests are told of; with --nat it is the node.")
    ] = "",
    dns: Annotated[
        list[str] | None, typer.Option("--dns", help="Name server for guests. Repeatable.")
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            help="VMs are found as VM.DOMAIN; '' for none. Default: NETWORK.internal with --nat and --isolated.",
        ),
    ] = None,
    forwarder: Annotated[
        list[str] | None,
        typer.Option("--forwarder", metavar="ADDRESS", help="Who is asked other names. Repeatable."),
    ] = None,
    dhcp: Annotated[
        bool, typer.Option("--dhcp/--no-dhcp", help="Each node answers DHCP for its own VMs.")
    ] = True,
    mtu: Annotated[int, typer.Option("--mtu", help="Largest packet in bytes.")] = 1500,
    anti_spoofing: Annotated[
        bool,
        typer.Option(
            "--anti-spoofing/--no-anti-spoofing", help="Drop what guests send under another's address."
        ),
    ] = True,
    node: Annotated[
        list[str] | None,
        typer.Option(
            "--node", help="Where it is. Default: everywhere. Repeatable.", autocompletion=names_of("nodes")
        ),
    ] = None,
    label: LabelsOption = None,
    how: How = GIVEN,
) -> None:
    """Create a network: on a bridge of the nodes, on a VLAN of theirs, or on bridges that Corral makes.

    Example: corral network create default --bridge br0 --subnet 10.78.0.0/24 --range 10.78.0.100-10.78.0.199

    A VLAN: corral network create dmz --vlan 120 --uplink eth1

    Behind each node's address: corral network create inside --nat --subnet 10.80.0.0/24
    """
    fields: dict[str, object] = {
        "name": name,
        "segment": segment_of(bridge=bridge, vlan=vlan, uplink=uplink, nat=nat, isolated=isolated),
        "bridge": bridge,
        "uplink": uplink,
        "vlan": vlan,
        "subnet": subnet_of(subnet, range, gateway, dns or [], dhcp),
        "domain": domain,
        "forwarders": forwarder or [],
        "mtu": mtu,
        "anti_spoofing": anti_spoofing,
        "nodes": node or [],
        "labels": labels_of(label),
    }
    with connect() as client:
        operation = client.networks.having(dry_run=how.dry_run).create(**fields)
        finish(client, [operation], how)


@commands.command("set")
@grouped(how=following)
def set_(
    network: NetworkName,
    range: Annotated[
        str, typer.Option("--range", metavar="FIRST-LAST", help="Addresses to give out to new VMs.")
    ] = "",
    gateway: Annotated[str | None, typer.Option("--gateway", help="Router that guests are told of.")] = None,
    dns: Annotated[
        list[str] | None, typer.Option("--dns", help="Name servers for guests; '' for none. Repeatable.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="VMs are found as VM.DOMAIN; '' for no DNS.")
    ] = None,
    forwarder: Annotated[
        list[str] | None,
        typer.Option(
            "--forwarder", metavar="ADDRESS", help="Who is asked other names; '' for none. Repeatable."
        ),
    ] = None,
    dhcp: Annotated[
        bool | None, typer.Option("--dhcp/--no-dhcp", help="Each node answers DHCP for its own VMs.")
    ] = None,
    mtu: Annotated[
        int | None, typer.Option("--mtu", help="Largest packet; guests have it from their next start on.")
    ] = None,
    anti_spoofing: Annotated[
        bool | None,
        typer.Option(
            "--anti-spoofing/--no-anti-spoofing", help="Drop what guests send under another's address."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", "-l", metavar="KEY=VALUE", help="Set this label; KEY- takes it away. Repeatable."
        ),
    ] = None,
    how: How = GIVEN,
) -> None:
    """Change a network; running guests see it when they renew their address.

    Example: corral network set default --dns 10.78.0.2 --range 10.78.0.50-10.78.0.199
    """
    first, last = range_of(range, "10.78.0.50-10.78.0.199")
    of_subnet = _said(
        first=first or None,
        last=last or None,
        gateway=gateway,
        dns=None if dns is None else [address for address in dns if address],
        dhcp=dhcp,
    )
    fields = _said(
        subnet=of_subnet or None,
        domain=domain,
        forwarders=None if forwarder is None else [address for address in forwarder if address],
        mtu=mtu,
        anti_spoofing=anti_spoofing,
    )
    if not fields and not label:
        raise typer.BadParameter("nothing to set; --help lists what can be")
    with connect() as client:
        networks = client.networks.having(dry_run=how.dry_run)
        operation = (
            networks.edit(network, lambda now: {**fields, "labels": changed_labels(now.labels, label)})
            if label
            else networks.update(network, **fields)
        )
        finish(client, [operation], how)


@commands.command()
@grouped(how=following)
def delete(
    network: NetworkName,
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Forget a network that no VM has a port on; a bridge of the host stays, one that Corral made goes.

    Example: corral network delete default
    """
    sure(f"Delete network {network}?", yes or how.dry_run)
    with connect() as client:
        operation = client.networks.having(dry_run=how.dry_run).delete(network)
        finish(client, [operation], how)


def _said(**fields: object) -> dict[str, object]:
    """Those that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def segment_of(*, bridge: str, vlan: int, uplink: str, nat: bool, isolated: bool) -> str:
    """The API's segment. raises Invalid: not just one of them"""
    segments = {"bridge": bool(bridge), "vlan": bool(vlan or uplink), "nat": nat, "isolated": isolated}
    chosen = [segment for segment, wanted in segments.items() if wanted]
    if len(chosen) != 1:
        raise Invalid(
            "segment", " and ".join(chosen), "one of --bridge, --vlan with --uplink, --nat, --isolated"
        )
    return chosen[0]


def range_of(text: str, example: str) -> tuple[str, str]:
    """First and last address; both empty for no text. raises Invalid"""
    first, dash, last = text.partition("-")
    if text and not (dash and first and last):
        raise Invalid("--range", text, "two addresses", hint=f"Like {example}.")
    return first.strip(), last.strip()


def subnet_of(
    cidr: str, range: str, gateway: str, dns: list[str], dhcp: bool
) -> dict[str, str | bool | list[str]] | None:
    """The API's Subnet; None without one. raises Invalid"""
    if not cidr:
        if range or gateway or dns:
            raise Invalid(
                "--subnet", "", "given, though --range, --gateway or --dns are", hint="Like 10.78.0.0/24."
            )
        return None
    from ipaddress import IPv4Network

    try:
        network = IPv4Network(cidr)
    except ValueError as error:
        raise Invalid("--subnet", cidr, "an IPv4 network", hint=f"{error}. Like 10.78.0.0/24.") from None
    if network.prefixlen > 30 and not range:
        raise Invalid("--subnet", cidr, "large enough to have addresses to give out")
    first, last = range_of(range, f"{network[1]}-{network[-2]}")
    return {"cidr": cidr, "first": first, "last": last, "gateway": gateway, "dns": dns, "dhcp": dhcp}
