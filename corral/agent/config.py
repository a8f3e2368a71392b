"""Configuration of the agent: everything that an operator can set, with its default."""

from pathlib import Path

from msgspec import Struct


class AgentConfig(Struct, frozen=True, kw_only=True):
    """Flags of `corral agent`, or CORRAL_* in the environment."""

    data_dir: Path = Path("/var/lib/corral/agent")
    libvirt_uri: str = "qemu:///system"
    migration_address: str = ""  # where other nodes reach this one's libvirt; empty: the way to the server
    servers: tuple[str, ...] = ()  # HOST:PORT of node links; empty: those learned when joining
    migration_uri: str = (
        "qemu+tcp://{address}/system"  # of another node's libvirt; qemu+tls:// where keys are set up
    )
    migration_pki: Path = Path("/etc/pki/corral")  # certificates for migrations by TLS, where there are any
    trust_shared: bool = (
        False  # believe pools that say they are shared, also where libvirt sees a local file system
    )
