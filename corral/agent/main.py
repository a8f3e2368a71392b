"""The agent program: what `corral agent join` and `corral agent run` do.

In this room   the wiring of an agent: identity, memory, drivers, link; and its end
Comes in       AgentConfig
Goes out       a running agent, until a signal
Always true    one agent a data directory; VMs go on running whatever happens to it
Next door      agent.py is the agent without a host; cli/agent.py calls join() and main()
Start here     run()
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from msgspec import Struct

from corral import __version__
from corral import log as logs
from corral.agent import identity as identities
from corral.agent.agent import Agent
from corral.agent.config import AgentConfig
from corral.agent.disk import DiskMemory
from corral.agent.grpc_link import GrpcLink, keep_certificate
from corral.agent.identity import Identity
from corral.clock import Clock, SystemClock
from corral.files import held
from corral.program import address_towards, give_back_memory, run_until_stopped, share_heaps, tell_systemd
from corral.proto.channel import split_address

log = logging.getLogger("corral.agent")
DIR_MODE = 0o711  # QEMU's own user passes through to the seeds of its guests, dnsmasq to its hosts; key and state are root's


class Joined(Struct, frozen=True, kw_only=True):
    """What `corral agent join` shows."""

    node: str  # NodeId
    name: str
    servers: tuple[str, ...]


def join(config: AgentConfig, token: str, *, name: str = "", again: bool = False) -> Joined:
    """Make a key, get a certificate for it with the token from `corral node join-token`, and keep both.

    name    of the node; empty: the host's name
    again   give up what this host was before
    raises  Invalid, AlreadyJoined, JoinFailed, DataDirBusy; join.unknown, join.used, join.expired,
            resource.name_taken as the server says (CorralError)
    """
    with held(config.data_dir, mode=DIR_MODE):
        known = asyncio.run(identities.join(config.data_dir, token, name=name, again=again))
    return Joined(node=known.node, name=known.name, servers=known.servers)


def main(config: AgentConfig) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT. VMs go on running after it.

    raises  NotJoined, DataDirBusy, MemoryBroken (CorralError)
    """
    share_heaps()
    logs.configure(json=not sys.stderr.isatty())
    sys.setswitchinterval(0.001)  # threads hand over after 1 ms, not 5: keys at consoles cross three of them
    run_until_stopped(run(config))


Making = Callable[[AgentConfig, GrpcLink, DiskMemory, Clock], Agent]


async def run(config: AgentConfig, clock: Clock | None = None, *, make: Making | None = None) -> None:
    """As main(), inside a running event loop and without touching signals: runs until cancelled.

    make   the agent with its drivers; None: the real ones
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(held(config.data_dir, mode=DIR_MODE))
        link = GrpcLink(Identity(config.data_dir), config.servers)
        memory = await asyncio.to_thread(DiskMemory.open, config.data_dir / "state")
        stack.push_async_callback(memory.close)
        agent = (make or make_agent)(config, link, memory, clock)
        stack.push_async_callback(agent.close)
        log.info("running", extra={"node": agent.node, "servers": ", ".join(link.servers)})
        tell_systemd("READY=1")
        async with asyncio.TaskGroup() as group:
            group.create_task(agent.run(), name="agent")
            group.create_task(keep_certificate(link, clock), name="certificate")
            group.create_task(give_back_memory(clock), name="memory")


def make_agent(config: AgentConfig, link: GrpcLink, memory: DiskMemory, clock: Clock) -> Agent:
    """The agent with the real drivers."""
    from corral.hypervisor.libvirt.driver import LibvirtHypervisor  # here: joining needs no libvirt
    from corral.hypervisor.libvirt.migration import Route
    from corral.network.bridge import BridgeNetworking
    from corral.storage.directory import DirectoryStorage

    state = config.data_dir / "state"
    address = config.migration_address or _address(link)
    return Agent(
        link.identity.node,
        hypervisor=LibvirtHypervisor(
            config.libvirt_uri,
            clock,
            state_dir=state,
            migration_address=address,
            pki=config.migration_pki,
            route=Route(
                peer_uri=config.migration_uri,
                pki_path=str(config.migration_pki),
                trust_shared=config.trust_shared,
            ),
        ),
        storage=DirectoryStorage(
            node=link.identity.node, seeds_path=str(config.data_dir / "seeds"), clock=clock
        ),
        networking=BridgeNetworking(config.data_dir / "dhcp", clock),
        link=link,
        memory=memory,
        clock=clock,
        version=__version__,
    )


def _address(link: GrpcLink) -> str:
    """Where other nodes most likely reach this one: where the server does."""
    return next((found for s in link.servers if (found := address_towards(*split_address(s)))), "")
