"""Server: run the control plane."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.parts.noun import SETTINGS
from corral.cli.parts.options import duration_s
from corral.errors import Invalid

if TYPE_CHECKING:
    from corral.server.config import ServerConfig

commands = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
    invoke_without_command=True,
)

DATA_DIR = "/var/lib/corral/server"  # as in server/config.py, which is not imported for help
DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir", envvar="CORRAL_SERVER_DATA_DIR", help="Where database, CA and images are kept."
    ),
]
HttpOption = Annotated[
    str,
    typer.Option(
        "--http", envvar="CORRAL_HTTP", metavar="HOST:PORT", help="REST API; TLS unless on loopback."
    ),
]
LinkOption = Annotated[
    str,
    typer.Option("--link", envvar="CORRAL_LINK", metavar="HOST:PORT", help="Node link: agents dial in here."),
]
JoinOption = Annotated[
    str,
    typer.Option(
        "--join", envvar="CORRAL_JOIN", metavar="HOST:PORT", help="Where new nodes get a certificate."
    ),
]
NameOption = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        envvar="CORRAL_NAMES",
        metavar="HOST",
        help="Name or address under which others reach it. Repeatable.",
    ),
]
ImageNetworkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--image-network",
        envvar="CORRAL_IMAGE_NETWORKS",
        metavar="CIDR",
        help="Private network from which images may be imported by URL. Repeatable. Default: public addresses only.",
    ),
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--origin",
        envvar="CORRAL_ORIGINS",
        metavar="URL",
        help="Of web pages that may open consoles, besides its own. Repeatable.",
    ),
]
ImageKeepOption = Annotated[
    str,
    typer.Option(
        "--image-keep",
        envvar="CORRAL_IMAGE_KEEP",
        metavar="TIME",
        help="How long pools keep copies of images that no volume stands on; 0: for ever.",
    ),
]
TrashOption = Annotated[
    str,
    typer.Option(
        "--trash",
        envvar="CORRAL_TRASH",
        metavar="TIME",
        help="How long deleted volumes are kept; 0: not at all.",
    ),
]
ContextOption = Annotated[
    str, typer.Option("--context", help="CLI context that the first start writes; '' for none.")
]


@commands.callback()
def server(
    ctx: typer.Context,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Run it on simulated nodes, for a look: no root, no KVM, nothing kept."),
    ] = False,
    http: HttpOption = "127.0.0.1:8440",
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Simulated nodes of the demo.")] = 20,
    vms: Annotated[int, typer.Option("--vms", min=0, help="VMs that run on them.")] = 200,
    events: Annotated[
        float,
        typer.Option("--events", min=0, metavar="N", help="VMs to stop or start a second, by a fixed seed."),
    ] = 0.0,
) -> None:
    """The control plane, with API and node link.

    Example: corral server --demo
    """
    if ctx.invoked_subcommand is not None:
        if demo:
            raise Invalid("--demo", ctx.invoked_subcommand, "alone: it takes no verb")
        return
    if not demo:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)
    from corral.demo.program import main

    main(http, nodes, vms, events)


@commands.command()
def init(
    data_dir: DataDirOption = Path(DATA_DIR),
    http: HttpOption = "127.0.0.1:8440",
    link: LinkOption = "0.0.0.0:8441",
    join: JoinOption = "0.0.0.0:8442",
    name: NameOption = None,
    context: ContextOption = "local",
) -> None:
    """Make data directory, CA and the first admin token; write the CLI's context.

    Example: corral server init --name corral.example --http 0.0.0.0:8440
    """
    from corral.server.main import init as make

    token = make(_config(data_dir, http, link, join, name, context))
    if not token:
        typer.echo(f"{data_dir} was initialised before; nothing was changed.", err=True)
        return
    typer.echo(token)
    typer.echo(
        "This admin token is shown this once." + (f" Context {context} has it." if context else ""), err=True
    )


@commands.command("peer-certificate")
def peer_certificate(
    names: Annotated[
        list[str], typer.Argument(metavar="ADDRESS...", help="Under which other nodes reach the node.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Directory to write; copy it to /etc/pki/corral there.")],
    data_dir: DataDirOption = Path(DATA_DIR),
) -> None:
    """Issue a certificate for a node's libvirt, so that guests are migrated by TLS.

    Example: corral server peer-certificate 10.78.0.1 --out node1-pki
    """
    from corral.clock import SystemClock
    from corral.server.peers import write_peer_files
    from corral.server.pki import Authority

    write_peer_files(Authority.open(data_dir / "ca", SystemClock(), create=False), names, out)
    typer.echo(
        f"{out} has the certificate of {', '.join(names)}. docs/operations/migration.md: what to do with it."
    )


@commands.command()
def run(
    data_dir: DataDirOption = Path(DATA_DIR),
    http: HttpOption = "127.0.0.1:8440",
    link: LinkOption = "0.0.0.0:8441",
    join: JoinOption = "0.0.0.0:8442",
    name: NameOption = None,
    image_network: ImageNetworkOption = None,
    origin: OriginOption = None,
    image_keep: ImageKeepOption = "7d",
    trash: TrashOption = "7d",
    context: ContextOption = "local",
) -> None:
    """Run the server in the foreground until SIGTERM or Ctrl-C; the first start does `init` too.

    Example: corral server run --http 127.0.0.1:8440
    """
    from corral.server.main import main

    main(_config(data_dir, http, link, join, name, context, image_network, origin, trash, image_keep))


def _config(
    data_dir: Path,
    http: str,
    link: str,
    join: str,
    names: list[str] | None,
    context: str,
    image_networks: list[str] | None = None,
    origins: list[str] | None = None,
    trash: str = "7d",
    image_keep: str = "7d",
) -> "ServerConfig":
    from corral.server.config import ServerConfig

    return ServerConfig(
        data_dir=data_dir,
        http=http,
        link=link,
        join=join,
        names=tuple(names or ()),
        context=context,
        image_networks=tuple(image_networks or ()),
        origins=tuple(origin.rstrip("/") for origin in origins or ()),
        image_keep_s=duration_s(image_keep, "image-keep") or 0.0,
        trash_s=duration_s(trash, "trash") or 0.0,
    )
