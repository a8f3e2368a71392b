"""Network: layer-2 segments that VMs have ports on."""

from typing import Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.lookup import Names
from corral.cli.parts.noun import noun
from corral.cli.parts.options import (
    DryRunOption,
    FilterOption,
    LabelFilter,
    LabelsOption,
    Output,
    OutputOption,
    SortOption,
    TimeoutOption,
    WaitOption,
    YesOption,
    labels_of,
    names_of,
    sure,
)
from corral.cli.parts.present import show_list, show_one
from corral.cli.parts.session import connect
from corral.errors import Invalid

commands = noun("Networks: layer-2 segments on an existing bridge, with addresses handed out by DHCP.")

NetworkName = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Name or id.", autocompletion=names_of("networks"))
]


@commands.command("list")
def list_networks(
    label: LabelFilter = None,
    filter: FilterOption = "",
    sort: SortOption = "name",
    output: OutputOption = Output.TABLE,
) -> None:
    """List networks.

    Example: corral network list
    """
    from corral.cli.parts.columns import network_columns

    with connect() as client:
        networks = client.networks.list(sort=sort, label=label or [], filter=filter)
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
        show_one(found, lambda: network_details(found, client.nodes.list(sort="name")), output)


@commands.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the new network.")],
    bridge: Annotated[str, typer.Option("--bridge", help="Bridge that exists on the nodes.")],
    subnet: Annotated[
        str, typer.Option("--subnet", metavar="CIDR", help="Addresses to give out, e.g. 10.78.0.0/24.")
    ] = "",
    range: Annotated[
        str, typer.Option("--range", metavar="FIRST-LAST", help="Of the subnet. Default: all but the ends.")
    ] = "",
    gateway: Annotated[str, typer.Option("--gateway", help="Router that guests are told of.")] = "",
    dns: Annotated[
        list[str] | None, typer.Option("--dns", help="Name server for guests. Repeatable.")
    ] = None,
    dhcp: Annotated[
        bool, typer.Option("--dhcp/--no-dhcp", help="Each node answers DHCP for its own VMs.")
    ] = True,
    mtu: Annotated[int, typer.Option("--mtu", help="Largest packet in bytes.")] = 1500,
    node: Annotated[
        list[str] | None,
        typer.Option(
            "--node", help="Where it is. Default: everywhere. Repeatable.", autocompletion=names_of("nodes")
        ),
    ] = None,
    label: LabelsOption = None,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a network on a bridge that exists on the nodes.

    Example: corral network create default --bridge br0 --subnet 10.78.0.0/24 --range 10.78.0.100-10.78.0.199
    """
    addresses = subnet_of(subnet, range, gateway, dns or [], dhcp)
    with connect() as client:
        operation = client.networks.having(dry_run=dry_run).create(
            name=name, bridge=bridge, subnet=addresses, mtu=mtu, nodes=node or [], labels=labels_of(label)
        )
        finish(client, [operation], output, wait=wait, timeout=timeout, dry_run=dry_run)


@commands.command()
def delete(
    network: NetworkName,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Forget a network that no VM has a port on; the bridge stays.

    Example: corral network delete default
    """
    sure(f"Delete network {network}?", yes or dry_run)
    with connect() as client:
        operation = client.networks.having(dry_run=dry_run).delete(network)
        finish(client, [operation], output, wait=wait, timeout=timeout, dry_run=dry_run)


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
    first, dash, last = range.partition("-")
    if range and not (dash and first and last):
        raise Invalid("--range", range, "two addresses", hint=f"Like {network[1]}-{network[-2]}.")
    return {
        "cidr": cidr,
        "first": first.strip() or str(network[1]),
        "last": last.strip() or str(network[-2]),
        "gateway": gateway,
        "dns": dns,
        "dhcp": dhcp,
    }
