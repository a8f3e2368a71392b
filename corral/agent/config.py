"""Configuration of the agent: everything that an operator can set, with its default."""

from pathlib import Path

from msgspec import Struct


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Flags of `corral agent`, or CORRAL_* in the environment."""

    data_dir: Path = Path("/var/lib/corral/agent")
    libvirt_uri: str = "qemu:///system"
    migration_address: str = ""  # where other nodes reach this one's libvirt; empty: the way to the server
    servers: tuple[str, ...] = ()  # HOST:PORT of node links; empty: those learned when joining
