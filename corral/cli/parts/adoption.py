"""Adoption: the verbs of `corral vm` about domains that were there before Corral.

In this room   found, and what is done with found domains
Next door      vm.py has the other verbs of the noun
Start here     add_to()
"""

from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.following import finish
from corral.cli.parts.groups import GIVEN, grouped
from corral.cli.parts.lookup import Names
from corral.cli.parts.options import (
    How,
    LabelsOption,
    Output,
    OutputOption,
    TimeoutOption,
    WaitOption,
    YesOption,
    following,
    labels_of,
    names_of,
    sure,
)
from corral.cli.parts.present import show_document, show_list, show_one
from corral.cli.parts.session import connect
from corral.errors import CorralError, Invalid

if TYPE_CHECKING:
    from corral.client.client import Client
    from corral.client.nouns import Adoption
    from corral.model.domain import Drift
    from corral.model.found import FoundDomain
    from corral.model.operation import Operation

NodeOption = Annotated[
    str, typer.Option("--node", help="Only those on this node.", autocompletion=names_of("nodes"))
]


def add_to(commands: typer.Typer) -> None:
    for name, verb in (("found", found), ("adopt", adopt), ("release", release), ("drift", drift)):
        commands.command(name)(verb)


def found(
    domain: Annotated[
        str, typer.Argument(metavar="[DOMAIN]", help="Show this one in detail: its name or UUID.")
    ] = "",
    node: NodeOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List domains on nodes that Corral does not manage, or show one.

    Example: corral vm found --node node1
    """
    from corral.cli.parts.columns import found_columns
    from corral.cli.parts.details import found_details

    with connect() as client:
        names = Names(client)
        if domain:
            one = client.found.get(the_domain(client, domain, node).name)
            show_one(one, lambda: found_details(one, names), output)
            return
        domains = sorted(client.found.list(node=node), key=lambda d: (d.status.name, d.name))
        show_list(domains, found_columns(names), output, empty="No domain that is not Corral's.")


def adopt(
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="[DOMAIN...]", help="Names or UUIDs of found domains.")
    ] = None,
    node: NodeOption = "",
    all_: Annotated[bool, typer.Option("--all", help="Every domain that can be adopted.")] = False,
    name: Annotated[
        str,
        typer.Option("--name", help="What the VM is to be called, with one DOMAIN. Default: as the domain."),
    ] = "",
    label: LabelsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be made of each, and change nothing.")
    ] = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Make VMs of domains that were there before Corral. Their guests run on untouched.

    Example: corral vm adopt web db --node node1
    """
    if bool(domains) == all_ or (name and len(domains or []) != 1):
        raise typer.BadParameter("give domains or --all; --name goes with one domain")
    with connect() as client:
        chosen = _all(client, node) if all_ else [the_domain(client, word, node) for word in domains or []]
        if dry_run:
            _preview(client, chosen, name, output)
            return
        begun, failed = _begin(client, chosen, name, labels_of(label))
        finish(client, begun, How(output, wait=wait, timeout=timeout))
        if failed:
            raise failed


def _all(client: "Client", node: str) -> "list[FoundDomain]":
    """Those that can be adopted; the others are named on stderr."""
    found = client.found.list(node=node)
    for domain in found:
        if refusal := domain.status.refusal:
            typer.echo(f"skipped {domain.status.name}: {refusal.element}: {refusal.reason}", err=True)
    return sorted((d for d in found if not d.status.refusal), key=lambda d: (d.status.name, d.name))


def _begin(
    client: "Client", chosen: "list[FoundDomain]", name: str, labels: dict[str, str]
) -> "tuple[list[Operation], CorralError | None]":
    """Ask for all of them; one that is refused keeps no other back."""
    begun: list[Operation] = []
    failed: CorralError | None = None
    for domain in chosen:
        try:
            begun.append(client.found.adopt(domain.name, vm=name, labels=labels))
        except CorralError as error:
            if len(chosen) > 1:
                typer.echo(f"{domain.status.name}: {error.message} [{error.code}]", err=True)
            failed = failed or error
    return begun, failed


def _preview(client: "Client", chosen: "list[FoundDomain]", name: str, output: Output) -> None:
    from corral.cli.parts.details import adoption_words

    failed: CorralError | None = None
    shown: list[Adoption] = []
    for domain in chosen:
        try:
            adoption = client.found.preview(domain.name, vm=name)
        except CorralError as error:
            typer.echo(f"{domain.status.name}: {error.message} [{error.code}]", err=True)
            failed = failed or error
            continue
        shown.append(adoption)
        if output not in (Output.JSON, Output.YAML):
            typer.echo(adoption_words(adoption))
    if output in (Output.JSON, Output.YAML):
        show_document(shown, output)
    if failed:
        raise failed


@grouped(how=following)
def release(
    vms: Annotated[
        list[str], typer.Argument(metavar="VM...", help="Names or ids.", autocompletion=names_of("vms"))
    ],
    yes: YesOption = False,
    how: How = GIVEN,
) -> None:
    """Hand VMs back: their domains go on without Corral, all files stay, Corral's records of them go.

    Example: corral vm release web
    """
    sure(f"Release {', '.join(vms)}? Corral forgets them, their domains go on.", yes or how.dry_run)
    with connect() as client:
        nouns = client.vms.having(dry_run=how.dry_run)
        asked = [nouns.release(vm) for vm in vms]
        finish(client, asked, how)


@grouped(how=following)
def drift(
    vm: Annotated[str, typer.Argument(metavar="VM", help="Name or id.", autocompletion=names_of("vms"))],
    accept: Annotated[bool, typer.Option("--accept", help="The VM takes it over.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="The definition becomes the VM's again.")] = False,
    how: How = GIVEN,
) -> None:
    """Show what somebody else changed in a VM's definition, take it over or undo it.

    Example: corral vm drift web --revert
    """
    if accept and revert:
        raise typer.BadParameter("either --accept or --revert")
    with connect() as client:
        now = client.vms.get(vm)
        seen = now.report.drift if now.report else None
        if not (accept or revert):
            _show_drift(vm, seen, how.output)
            return
        choice = "accept" if accept else "revert"
        asked = client.vms.having(dry_run=how.dry_run).settle(vm, choice, seen.digest if seen else "")
        finish(client, [asked], how)


def _show_drift(vm: str, seen: "Drift | None", output: Output) -> None:
    if output in (Output.JSON, Output.YAML):
        show_document([seen] if seen else [], output)
    elif seen is None:
        typer.echo(f"The definition of {vm} is as Corral left it.", err=True)
    else:
        typer.echo("\n".join(seen.lines))
        typer.echo(
            f"\n`corral vm drift {vm} --accept` takes this over, --revert undoes it. Until then changes of the VM "
            "do not reach its definition.",
            err=True,
        )


def the_domain(client: "Client", word: str, node: str) -> "FoundDomain":
    """The found domain of this name or UUID. raises Invalid: none, or on several nodes"""
    domains = [d for d in client.found.list(node=node) if word in (d.status.name, d.spec.uuid, d.name, d.id)]
    if not domains:
        raise Invalid(
            "domain", word, "the name or UUID of a found domain", hint="`corral vm found` lists them."
        )
    if len(domains) > 1:
        nodes = ", ".join(Names(client).of("nodes", d.spec.node) for d in domains)
        raise Invalid("domain", word, "on one node only", hint=f"Say which with --node: {nodes}.")
    return domains[0]
