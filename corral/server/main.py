"""The server program: what `corral server init` and `corral server run` do.

In this room   the wiring of a server: directory, CA, store, core, node link, API; and its end
Comes in       ServerConfig
Goes out       a running server, until a signal or until a part that it can't do without breaks
Always true    one server a data directory; what was begun is undone in reverse order, also when a start fails midway
Next door      core.py is the server without sockets; cli/server.py calls init() and main()
Start here     serving()
"""

import asyncio
import gc
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from corral import log as logs
from corral.clock import Clock, SystemClock, new_id
from corral.controllers.rebalance import think_aside
from corral.files import held, write_whole
from corral.program import run_until_stopped, tell_systemd
from corral.server.admission import Admission
from corral.server.config import ServerConfig
from corral.server.consoles import Consoles
from corral.server.core import ServerCore
from corral.server.fetching import Whereabouts
from corral.server.first_start import first_token
from corral.server.grpc_link import LinkServer, NodeLink
from corral.server.http.app import build
from corral.server.http.serve import serve
from corral.server.images import ImageStore
from corral.server.importing import Imports
from corral.server.joining import JoinTokens
from corral.server.network import certificate_names, is_loopback, reached_at, split
from corral.server.pki import Authority, Identity, covers
from corral.store.sqlite import SqliteStore

log = logging.getLogger("corral.server")


class Serving(Struct, frozen=True, kw_only=True):
    """A server that runs, and where. `failure()` returns never; it raises when a vital part breaks."""

    core: ServerCore
    admin_token: str  # of a first start; else empty
    http: tuple[str, int]
    link_port: int
    join_port: int
    failure: Callable[[], Awaitable[None]]


def init(config: ServerConfig) -> str:
    """Make the data directory, CA and first admin token; write the CLI context.

    returns  the admin token, to be shown once; "" when the directory was initialised before
    raises   DataDirBusy: a server runs on it; CaBroken, StoreFailed
    """

    async def prepare() -> str:
        async with AsyncExitStack() as stack:
            core, _ = await _core(config, SystemClock(), stack)
            return await first_token(core, config)

    return asyncio.run(prepare())


def main(config: ServerConfig) -> None:
    """Run the server in the foreground until SIGTERM or SIGINT. Does init() first where that was not done.

    raises  DataDirBusy, AddressTaken, CaBroken, StoreFailed (CorralError)
    """
    logs.configure(json=not sys.stderr.isatty())
    run_until_stopped(run(config, show=lambda token: _say(f"Admin token, shown this once: {token}")))


async def run(config: ServerConfig, *, show: Callable[[str], None] | None = None) -> None:
    """As main(), inside a running event loop and without touching signals: runs until cancelled.

    show   is given the admin token at the first start
    """
    async with serving(config) as server:
        if server.admin_token and show:
            show(server.admin_token)
        tell_systemd("READY=1")
        await server.failure()


@asynccontextmanager
async def serving(config: ServerConfig, clock: Clock | None = None) -> AsyncIterator[Serving]:
    """A server that runs for as long as the block does. Ports that are 0 become free ones.

    raises  DataDirBusy, AddressTaken, CaBroken, StoreFailed
    """
    async with AsyncExitStack() as stack:
        core, authority = await _core(config, clock or SystemClock(), stack)
        token = await first_token(core, config)
        link = await _link(config, core, authority, stack)
        http, running = await _http(config, core, stack)
        log.info(
            "serving", extra={"http": f"{http[0]}:{http[1]}", "link": link.link_port, "join": link.join_port}
        )
        stack.callback(log.info, "stopping")  # runs first: the others were pushed before it
        yield Serving(
            core=core,
            admin_token=token,
            http=http,
            link_port=link.link_port,
            join_port=link.join_port,
            failure=lambda: _first_end(core, running),
        )


async def _core(config: ServerConfig, clock: Clock, stack: AsyncExitStack) -> tuple[ServerCore, Authority]:
    """The server without sockets: the directory is ours, the mirror is loaded."""
    stack.enter_context(held(config.data_dir))
    database = config.data_dir / "corral.db"
    authority = Authority.open(config.data_dir / "ca", clock, create=not database.exists())
    store = await asyncio.to_thread(SqliteStore, database, clock)
    stack.push_async_callback(store.close)
    core = ServerCore(
        store, clock, holder=_server_id(config.data_dir, clock), secret_key=authority.secret_for("issuing")
    )
    core.consoles = Consoles(core.mirror, core.hub, clock)
    core.image_store = ImageStore(config.data_dir / "images", core.services.desk)
    core.image_keep_s = config.image_keep_s
    core.services.desk.trash_s = config.trash_s
    imports = Imports(core.image_store, Whereabouts.of(config.image_networks))
    core.think_with(think_aside)
    core.forget_image, core.fetch_image = imports.forget, imports.begin
    stack.push_async_callback(imports.close)
    await core.start()
    stack.push_async_callback(core.stop)
    await core.image_store.sweep()
    prepare_interpreter()
    return core, authority


async def _link(
    config: ServerConfig, core: ServerCore, authority: Authority, stack: AsyncExitStack
) -> LinkServer:
    """The node link, listening."""
    host, _ = split(config.link)
    join_host, _ = split(config.join)
    life_s = config.certificate_life_s
    core.join_tokens = JoinTokens(
        core.services.desk,
        authority,
        address=lambda: (reached_at(join_host, config.names), server.join_port),
        life_s=life_s,
    )
    admission = Admission(core.store, core.mirror, core.clock, authority, life_s=life_s)
    node_link = NodeLink(core.hub, core.mirror, admission, core.consoles, core.image_store, authority.pem)
    names = certificate_names([host, join_host, split(config.http)[0]], config.names)
    server = LinkServer(node_link, core.join_tokens, _identity(config, authority, names), authority.pem)
    stack.push_async_callback(server.stop)
    await server.start(config.link, config.join, config.names)
    return server


async def _http(
    config: ServerConfig, core: ServerCore, stack: AsyncExitStack
) -> tuple[tuple[str, int], "asyncio.Task[None]"]:
    """The API, listening; and the task that it is."""
    host, port = split(config.http)
    tls = None if is_loopback(host) else config.data_dir / "tls"
    listening: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        serve(
            build(core, config.origins),
            host,
            port,
            certificate=tls and tls / "server.pem",
            key=tls and tls / "server.key",
            stop_s=config.stop_timeout_s,
            listening=lambda host, port: listening.set_result((host, port)),
        ),
        name="http",
    )
    stack.push_async_callback(_ended, running)
    either: set[asyncio.Future[Any]] = {running, listening}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not listening.done():
        await running  # raises why
    return listening.result(), running


def prepare_interpreter() -> None:
    """Set Python up for a process that answers quickly over a large heap that stays.

    What is loaded by now is not looked at by the garbage collector again. The rest is looked at in small parts: a
    look at 10,000 young objects takes 6 ms, and one at 50,000 (which was tried) holds up every request for 70 ms. Older
    ones are looked at a thousand times less often, as reference counts free nearly all of them. Threads hand over
    after 1 ms instead of 5, since the store's writer needs the interpreter a few times in each transaction.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 5_000, 1_000)
    sys.setswitchinterval(0.001)


def _identity(config: ServerConfig, authority: Authority, names: tuple[str, ...]) -> Identity:
    """The server's key and certificate on disk; made anew when they are old, or the names have changed."""
    directory = config.data_dir / "tls"
    directory.mkdir(mode=0o700, exist_ok=True)
    key, chain = directory / "server.key", directory / "server.pem"
    if key.exists() and chain.exists():
        identity = Identity(key.read_bytes(), chain.read_bytes())
        if covers(identity.chain, authority.pem, names, authority.clock.now_s()):
            return identity
    identity = authority.server_identity(names)
    chain.unlink(
        missing_ok=True
    )  # a crash between the two writes leaves no chain: made anew at the next start
    write_whole(key, identity.key)
    write_whole(chain, identity.chain, mode=0o644)
    return identity


def _server_id(directory: Path, clock: Clock) -> str:
    """The name under which this server leads: the same after a restart, so that it leads again at once."""
    path = directory / "server-id"
    if not path.exists():
        write_whole(path, new_id("server", clock).encode())
    return path.read_text()


async def _first_end(core: ServerCore, http: "asyncio.Task[None]") -> None:
    """Wait until a part ends that the server can't do without; raises what it failed with."""
    vital = [http, *core.tasks]
    await asyncio.wait(vital, return_when=asyncio.FIRST_COMPLETED)
    for task in vital:
        if task.done() and not task.cancelled():
            task.result()
    raise RuntimeError("a part of the server has ended without a word")


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
