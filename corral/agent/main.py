"""The agent program: what `corral agent join` and `corral agent run` do."""

from msgspec import Struct

from corral.agent.config import AgentConfig


class Joined(Struct, frozen=True, kw_only=True):
    """What `corral agent join` shows."""

    node: str  # NodeId
    name: str
    servers: tuple[str, ...]


def join(config: AgentConfig, token: str, *, name: str = "") -> Joined:
    """Make a key, get a certificate for it with the token from `corral node join-token`, and keep both.

    name    of the node; empty: the host's name
    raises  TokenUnknown, TokenUsed, TokenExpired, NameTaken, JoinFailed, AlreadyJoined (CorralError)
    """
    raise NotImplementedError(config, token, name)


def main(config: AgentConfig) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT. VMs go on running after it.

    raises  NotJoined (CorralError)
    """
    raise NotImplementedError(config)


async def run(config: AgentConfig) -> None:
    """As main(), inside a running event loop and without touching signals: runs until cancelled."""
    raise NotImplementedError(config)
