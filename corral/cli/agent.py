"""Agent: run Corral's program on a host with libvirt."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.noun import noun

if TYPE_CHECKING:
    from corral.agent.config import AgentConfig

commands = noun("Agent: the program on each node.")

DATA_DIR = "/var/lib/corral/agent"  # as in agent/config.py, which is not imported for help
DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="CORRAL_AGENT_DATA_DIR", help="Where key, certificate and state are kept."
    ),
]
LibvirtOption = Annotated[
    str, typer.Option("--libvirt", envvar="CORRAL_LIBVIRT_URI", metavar="URI", help="libvirt on this host.")
]
AddressOption = Annotated[
    str,
    typer.Option(
        "--migration-address",
        envvar="CORRAL_MIGRATION_ADDRESS",
        help="Where other nodes reach this one's libvirt. Default: as the host's name resolves.",
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        envvar="CORRAL_SERVERS",
        metavar="HOST:PORT",
        help="Node link of a server. Repeatable. Default: as learned when joining.",
    ),
]

UriOption = Annotated[
    str,
    typer.Option(
        "--migration-uri",
        envvar="CORRAL_MIGRATION_URI",
        help="How another node's libvirt is reached, {address} put in; qemu+tls:// encrypts the guest's memory too.",
    ),
]
PkiOption = Annotated[
    Path,
    typer.Option(
        "--migration-pki",
        envvar="CORRAL_MIGRATION_PKI",
        help="Directory of `corral server peer-certificate`: with it, guests are migrated by TLS.",
    ),
]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-shared",
        envvar="CORRAL_TRUST_SHARED",
        help="Believe pools that say they are shared where libvirt sees a local file system.",
    ),
]


@commands.command()
def join(
    token: Annotated[str, typer.Argument(help="From `corral node join-token`; - reads it from stdin.")],
    name: Annotated[str, typer.Option("--name", help="Of the node. Default: the host's.")] = "",
    data_dir: DataDirOption = Path(DATA_DIR),
    libvirt: LibvirtOption = "qemu:///system",
    migration_address: AddressOption = "",
    server: ServerOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Give up the node that this host was, and become a new one.")
    ] = False,
) -> None:
    """Make this host a node: get a certificate with a one-time token.

    Example: corral agent join 10.78.0.254:8442/secret/fingerprint --name node1
    """
    import sys

    from corral.agent.main import join as join_node

    secret = sys.stdin.readline().strip() if token == "-" else token
    joined = join_node(_config(data_dir, libvirt, migration_address, server), secret, name=name, again=again)
    typer.echo(f"Joined as node {joined.name} ({joined.node})")
    typer.echo("`corral agent run` starts the agent, or `systemctl enable --now corral-agent`.", err=True)


@commands.command()
def run(
    data_dir: DataDirOption = Path(DATA_DIR),
    libvirt: LibvirtOption = "qemu:///system",
    migration_address: AddressOption = "",
    migration_uri: UriOption = "qemu+tcp://{address}/system",
    migration_pki: PkiOption = Path("/etc/pki/corral"),
    trust_shared: TrustOption = False,
    server: ServerOption = None,
) -> None:
    """Run the agent in the foreground until SIGTERM or Ctrl-C; VMs go on running after it.

    Example: corral agent run
    """
    from msgspec.structs import replace

    from corral.agent.main import main

    config = _config(data_dir, libvirt, migration_address, server)
    ways = {"migration_uri": migration_uri, "migration_pki": migration_pki, "trust_shared": trust_shared}
    main(replace(config, **ways))


def _config(data_dir: Path, libvirt: str, migration_address: str, server: list[str] | None) -> "AgentConfig":
    from corral.agent.config import AgentConfig

    return AgentConfig(
        data_dir=data_dir,
        libvirt_uri=libvirt,
        migration_address=migration_address,
        servers=tuple(server or ()),
    )
