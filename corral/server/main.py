"""The server program: what `corral server init` and `corral server run` do."""

from corral.server.config import ServerConfig


def init(config: ServerConfig) -> str:
    """Make the data directory, CA and first admin token; write the CLI context.

    returns  the admin token, to be shown once; "" when the directory was initialised before
    raises   DataDirBusy: a server runs on it
    """
    raise NotImplementedError(config)


def main(config: ServerConfig) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT. Does init() first where that was not done.

    raises  DataDirBusy, AddressTaken (CorralError)
    """
    raise NotImplementedError(config)


async def run(config: ServerConfig) -> None:
    """As main(), inside a running event loop and without touching signals: runs until cancelled."""
    raise NotImplementedError(config)
