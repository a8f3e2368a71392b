"""Demo program: `corral server --demo`.

In this room   a real server in a directory that goes with it; agents on simulated hosts in the same process
Goes out       the API on loopback, an admin token, a context of the CLI
Always true    agents and server talk the messages of the link; only the sockets between them are left out
Next door      fleet.py makes the fleet, figures.py its charts, commotion.py its changes
Start here     main()
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from corral import __version__
from corral import log as logs
from corral.agent.agent import Agent
from corral.agent.memory import MemoryMemory
from corral.agent.ports import ConsoleStream, LinkDown, Stream
from corral.clock import Clock, SystemClock
from corral.demo.commotion import stir
from corral.demo.figures import LivelyFigures
from corral.demo.fleet import ACCELERATOR, BEFORE_CORRAL, Fleet, settle
from corral.errors import CorralError
from corral.hypervisor.simulated import SimulatedHypervisor, World
from corral.hypervisor.simulated.foreign import add_foreign
from corral.model.ids import NodeId
from corral.model.link import AgentMessage, ImageSource, ServerMessage
from corral.model.node import Node
from corral.model.units import GiB, TiB
from corral.network.simulated import SimulatedNetworking
from corral.program import run_until_stopped
from corral.proto.lanes import Ended
from corral.server import assignments
from corral.server.config import ServerConfig
from corral.server.core import ServerCore
from corral.server.main import Serving, prepare_interpreter, serving
from corral.server.network import is_loopback, split
from corral.storage.simulated import Files, SharedFiles, SimulatedStorage
from corral.store.interface import Put

BATCH: Final = 2_000  # resources in one commit
QUEUE: Final = 1_000  # messages on the way
BREATH_S: Final = 0.01
ROUNDS_AS_USUAL: Final = (
    200  # nodes, up to which agents look as often as on real hosts: they share one CPU here
)


class DemoConfig(Struct, frozen=True, kw_only=True):
    http: str = "127.0.0.1:8440"
    nodes: int = 20
    vms: int = 200
    context: str = "demo"
    events: float = 0.0  # requests a second that stop or start a VM


class End:
    """One end of a stream inside the process."""

    def __init__(
        self,
        node: NodeId,
        out: "asyncio.Queue[AgentMessage | ServerMessage | None]",
        back: "asyncio.Queue[AgentMessage | ServerMessage | None]",
    ) -> None:
        self.node, self._out, self._back, self._closed = node, out, back, False

    async def send(self, message: AgentMessage | ServerMessage) -> None:
        if self._closed:
            raise LinkDown("the stream is closed")
        await self._out.put(message)

    async def receive(self) -> AgentMessage | ServerMessage:
        message = await self._back.get()
        if message is None:
            self._closed = True
            raise LinkDown("the stream is closed")
        return message

    async def close(self, reason: str = "") -> None:
        if not self._closed:
            self._closed = True
            self._out.put_nowait(None)
            self._back.put_nowait(None)


class DemoLink:
    """An agent's way to the server in the same process."""

    def __init__(self, node: NodeId, core: ServerCore) -> None:
        self.node, self.core = node, core
        self._serving: asyncio.Task[None] | None = None

    async def dial(self) -> Stream:
        up: asyncio.Queue[AgentMessage | ServerMessage | None] = asyncio.Queue(QUEUE)
        down: asyncio.Queue[AgentMessage | ServerMessage | None] = asyncio.Queue(QUEUE)
        here, there = End(self.node, up, down), End(self.node, down, up)
        self._serving = asyncio.create_task(self._serve(there), name=f"serve {self.node}")
        return here  # type: ignore[return-value]  # an end sends what its side says

    async def _serve(self, end: End) -> None:
        try:
            await self.core.hub.serve(end)  # type: ignore[arg-type]
        except LinkDown:
            return
        finally:
            await end.close()

    async def fetch(self, image: ImageSource) -> AsyncIterator[bytes]:
        async for chunk in self.core.image_store.chunks(image.image):
            yield chunk

    async def console(self, session: str) -> ConsoleStream:
        return DemoConsole(self.core, session, self.node)

    async def no_console(self, session: str, why: CorralError) -> None:
        self.core.consoles.arrive(session, self.node, why)


class DemoConsole:
    """The agent's end of a console session."""

    def __init__(self, core: ServerCore, session: str, node: NodeId) -> None:
        self._leg = core.consoles.arrive(session, node)

    async def read(self) -> bytes:
        try:
            return await self._leg.to_node.take()
        except Ended:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._leg.from_node.put(data)
        except Ended as ended:
            raise LinkDown(f"the console has ended: {ended}") from None

    async def close(self) -> None:
        self._leg.end("the console was closed")


def main(http: str = "127.0.0.1:8440", nodes: int = 20, vms: int = 200, events: float = 0.0) -> None:
    """Run the demo in the foreground until SIGTERM or Ctrl-C. Nothing is kept."""
    logs.configure(json=not sys.stderr.isatty())
    run_until_stopped(run(DemoConfig(http=http, nodes=nodes, vms=vms, events=events)))


async def run(config: DemoConfig) -> None:
    with tempfile.TemporaryDirectory(prefix="corral-demo-") as directory:
        server_config = ServerConfig(
            data_dir=Path(directory),
            http=config.http,
            link="127.0.0.1:0",
            join="127.0.0.1:0",
            context=config.context,
        )
        async with serving(server_config) as server, asyncio.TaskGroup() as group:
            _say(f"Admin token: {server.admin_token}")
            agents = await furnish(server, config)
            prepare_interpreter()
            group.create_task(begin(agents, group, SystemClock()), name="agents")
            if config.events:
                stirring = stir(server.core, server.core.clock, config.events)
                group.create_task(stirring, name="stir")
            _say(f"{config.nodes} nodes and {config.vms} VMs, simulated.")
            _say(f"Context `{config.context}` has the token. Try: corral node list; corral vm list")
            _say(f"Open {address_of(config.http, server.http)}#token={server.admin_token}")
            await server.failure()


async def begin(agents: list[Agent], group: asyncio.TaskGroup, clock: Clock) -> None:
    """One agent after the other: each looks at all of its VMs first, and the API is to answer meanwhile."""
    for agent in agents:
        group.create_task(agent.run(), name=f"agent {agent.node}")
        await clock.sleep(BREATH_S)


async def furnish(server: Serving, config: DemoConfig, world: World | None = None) -> list[Agent]:
    """Commit the fleet, and make agents whose hosts (in `world`, or one of their own) agree with it."""
    clock, core = SystemClock(), server.core
    fleet = Fleet(config.nodes, config.vms, clock)
    documents = list(fleet.resources())
    for start in range(0, len(documents), BATCH):
        await core.store.commit([Put(r) for r in documents[start : start + BATCH]])
    await core.read_barrier()
    core.hub.expect_again()
    world, files = world or World(clock), SharedFiles(total_bytes=1000 * TiB)
    files.pools[fleet.pool.spec.path] = None
    leisure = max(1.0, config.nodes / ROUNDS_AS_USUAL)
    return [
        _agent(core, node, number, world, files, clock, leisure) for number, node in enumerate(fleet.nodes)
    ]


def address_of(asked: str, listening: tuple[str, int]) -> str:
    """Where a browser on this machine finds it: every address is no address to open."""
    host = listening[0]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    scheme = "http" if is_loopback(split(asked)[0]) else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{listening[1]}/"


def _agent(
    core: ServerCore,
    node: Node,
    number: int,
    world: World,
    files: SharedFiles,
    clock: SystemClock,
    leisure: float,
) -> Agent:
    id, inventory = NodeId(node.id), node.status.inventory
    host = world.add_host(node.name, cpus=inventory.cpus, memory_bytes=inventory.memory_bytes)
    host.accelerator = ACCELERATOR
    if number == 0:
        add_foreign(host, BEFORE_CORRAL)
    keys = dict.fromkeys(assignments.keys_of(core.mirror, id))
    assigned = [a for key in keys if (a := assignments.assignment(core.mirror, id, key))]
    memory = MemoryMemory()
    memory.assignments = {a.key: a for a in assigned}
    memory.notes = settle(host, files, assigned, node.created_at)
    storage = SimulatedStorage(Files(), files, clock)
    return Agent(
        id,
        hypervisor=SimulatedHypervisor(host, file_exists=storage.exists),
        storage=storage,
        networking=SimulatedNetworking(clock),
        link=DemoLink(id, core),
        memory=memory,
        clock=clock,
        version=__version__,
        leisure=leisure,
        figures=LivelyFigures(clock, number, 0.2 + 0.5 * (number % 7) / 7, (40 + 20 * (number % 9)) * GiB),
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
