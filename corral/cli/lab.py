"""Lab: a server and several nodes on this one machine, to try things on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.noun import noun

if TYPE_CHECKING:
    from corral.lab.lab import Lab

commands = noun(
    "Lab: several hosts made of namespaces, each with its own libvirt, on one machine. Needs root."
)

DIR = "/var/lib/corral-lab"  # as in lab/plan.py, which is not imported for help
DirOption = Annotated[
    Path, typer.Option("--dir", envvar="CORRAL_LAB_DIR", help="Where the lab lives; one a lab.")
]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="node1, node2, …")]


@commands.command()
def up(
    nodes: Annotated[int, typer.Option("--nodes", help="How many nodes.")] = 3,
    dir: DirOption = Path(DIR),
    prefix: Annotated[
        str, typer.Option("--prefix", help="First three numbers of its addresses.")
    ] = "10.78.0",
    bridge: Annotated[str, typer.Option("--bridge", help="Name of its bridge on this machine.")] = "corral0",
    port: Annotated[int, typer.Option("--port", help="Of its API, on 127.0.0.1.")] = 8440,
    context: Annotated[
        str, typer.Option("--context", help="Name for it on this command line; '' for none.")
    ] = "lab",
) -> None:
    """Make a lab, or what is missing of it. A lab that is up is left as it is.

    Example: corral lab up --nodes 3
    """
    from corral.lab.lab import Lab
    from corral.lab.plan import LabPlan

    plan = LabPlan(nodes=nodes, dir=dir.absolute(), prefix=prefix, bridge=bridge, port=port)
    Lab(plan, context=context, tell=_tell).up()
    typer.echo(f"{nodes} nodes are ready; `corral node list` shows them. API: {plan.url}")


@commands.command()
def status(dir: DirOption = Path(DIR)) -> None:
    """Show the nodes of the lab as this machine sees them.

    Example: corral lab status
    """
    from corral.cli.parts.table import Column, render

    columns = [
        Column("NODE", lambda s: s.name),
        Column("ADDRESS", lambda s: s.address),
        Column("POWER", lambda s: "on" if s.on else "off"),
        Column("CABLE", lambda s: "in" if s.cable else "out"),
        Column("UNITS", lambda s: " ".join(u if up else f"({u} is down)" for u, up in s.units.items())),
    ]
    typer.echo(render(columns, _lab(dir).see(), colour=False))


@commands.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def exec(
    node: NodeName,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="What to run in the node.")],
    dir: DirOption = Path(DIR),
) -> None:
    """Run a command inside a node.

    Example: corral lab exec node1 -- virsh list
    """
    raise typer.Exit(_lab(dir).execute(node, command[1:] if command[:1] == ["--"] else command))


@commands.command()
def kill(node: NodeName, dir: DirOption = Path(DIR)) -> None:
    """Sudden death of a host: its link falls silent, then all its processes are gone, guests included.

    Example: corral lab kill node2
    """
    _lab(dir).kill(node)
    typer.echo(f"{node} is off; `corral lab heal {node}` switches it on again")


@commands.command()
def cut(node: NodeName, dir: DirOption = Path(DIR)) -> None:
    """Pull a node's network cable: it runs on, cut off from all others.

    Example: corral lab cut node2
    """
    _lab(dir).cut(node)
    typer.echo(f"the cable of {node} is out; `corral lab heal {node}` plugs it in")


@commands.command()
def heal(node: NodeName, dir: DirOption = Path(DIR)) -> None:
    """Plug a node's cable in, and switch it on if it is off.

    Example: corral lab heal node2
    """
    _lab(dir).heal(node)
    typer.echo(f"{node} is on")


@commands.command()
def kill_agent(node: NodeName, dir: DirOption = Path(DIR)) -> None:
    """Kill a node's agent (SIGKILL); it starts again by itself, and its guests should not notice.

    Example: corral lab kill-agent node1
    """
    _lab(dir).kill_unit(node, "agent")
    typer.echo(f"the agent of {node} was killed")


@commands.command()
def restart_server(dir: DirOption = Path(DIR)) -> None:
    """Kill the server (SIGKILL), start it again and wait until it is ready.

    Example: corral lab restart-server
    """
    lab = _lab(dir)
    lab.stop_server()
    lab.start_server()
    typer.echo("the server was killed, and is ready again")


@commands.command()
def down(dir: DirOption = Path(DIR)) -> None:
    """End the lab and remove all of it: processes, namespaces, links, mounts, files.

    Example: corral lab down
    """
    from corral.lab.lab import Lab
    from corral.lab.state import load

    if (state := load(dir.absolute())) is None:
        typer.echo(f"there is no lab in {dir}")
        return
    Lab(state.plan, context=state.context, tell=_tell).down()
    typer.echo("the lab is gone")


def _lab(dir: Path) -> "Lab":
    from corral.lab.lab import Lab

    return Lab.at(dir.absolute(), _tell)


def _tell(line: str) -> None:
    typer.echo(line, err=True)
