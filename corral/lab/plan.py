"""Plan: names, addresses, directories and configuration of a lab.

In this room   what a lab is made of, and nothing is done about it
Comes in       LabPlan: directory, bridge, prefix, port, number of nodes
Goes out       NodePlan for each node, ServerPlan; texts of configuration files; argument lists
Always true    two labs share nothing when their directory, bridge, prefix and port differ
Next door      wires.py (links), machine.py (namespaces), lab.py carry it out
Start here     LabPlan
"""

import re
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct

from corral.errors import Invalid

DIR: Final = Path("/var/lib/corral-lab")
BRIDGE: Final = "corral0"
PREFIX: Final = "10.78.0"
PORT: Final = 8440  # of REST, on loopback; a lab beside another one needs its own
DIRS_NOT: Final = ("run", "proc", "sys", "dev")  # a node has its own
NODES_MAX: Final = 32
SERVER_HOST: Final = 254  # last number of the server's address
GUEST_BRIDGE: Final = "br0"  # in each node: what its guests and its own address are on
CORRAL_DIR: Final = Path("/var/lib/corral")  # as each node sees it
POOL_SHARED: Final = CORRAL_DIR / "pools" / "shared"
POOL_LOCAL: Final = CORRAL_DIR / "pools" / "local"
PKI: Final = Path("/etc/libvirt/pki")  # of each node, as it sees it
LIBVIRT_DIRS: Final = {  # directory in the node's folder: where the node sees it; /run is a tmpfs, gone at power-off
    "lib": Path("/var/lib/libvirt"),
    "etc": Path("/etc/libvirt"),
    "cache": Path("/var/cache/libvirt"),
    "log": Path("/var/log/libvirt"),
}


class NodePlan(Struct, frozen=True, kw_only=True):
    """A node of the lab: a machine made of namespaces."""

    number: int  # 1, 2, …
    name: str
    address: str
    mask: int  # bits of the network's part of the address
    dir: Path
    netns: str
    veth: str  # outer end of its cable; the inner one is eth0
    mac: str  # of eth0 and br0
    uuid: str  # of its "mainboard": libvirt refuses to migrate between equal ones

    @property
    def mounts(self) -> tuple[tuple[Path, Path], ...]:
        """Directories (or files) of the lab and where the node sees them, in order of mounting."""
        return (
            *((self.dir / name, target) for name, target in LIBVIRT_DIRS.items()),
            (self.dir / "corral", CORRAL_DIR),
            (self.dir.parent.parent / "shared", POOL_SHARED),
            (self.dir / "hosts", Path("/etc/hosts")),
        )

    @property
    def dirs(self) -> tuple[Path, ...]:
        """Directories to make before its first start."""
        inner = ("corral/agent", "corral/pools/local", "corral/pools/shared", "lib/images", "log/qemu")
        return tuple(self.dir / name for name in (*LIBVIRT_DIRS, *inner))


class LabPlan(Struct, frozen=True, kw_only=True, dict=True):
    """A whole lab. The same values give the same lab."""

    nodes: int = 3
    dir: Path = DIR
    prefix: str = PREFIX  # first three numbers of its addresses
    bridge: str = BRIDGE
    port: int = PORT

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= NODES_MAX:
            raise Invalid("nodes", self.nodes, f"1 to {NODES_MAX} nodes")
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,9}", self.bridge):
            raise Invalid("bridge", self.bridge, "a bridge name of up to 10 characters (a-z, 0-9, -)")
        if not self.dir.is_absolute() or len(self.dir.parts) < 3 or self.dir.parts[1] in DIRS_NOT:
            raise Invalid("dir", self.dir, "an absolute path, two levels deep or more, on a disk")
        if not 1 <= self.port <= 65535:
            raise Invalid("port", self.port, "a TCP port")
        try:
            IPv4Network(f"{self.prefix}.0/24")
        except ValueError:
            raise Invalid("prefix", self.prefix, "three numbers like 10.78.0") from None

    @property
    def cidr(self) -> str:
        return f"{self.prefix}.0/24"

    @property
    def server_address(self) -> str:
        return f"{self.prefix}.{SERVER_HOST}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        """Where agents dial."""
        return f"{self.server_address}:8441"

    @property
    def join(self) -> str:
        """Where new nodes get their certificate."""
        return f"{self.server_address}:8442"

    @property
    def server_dir(self) -> Path:
        return self.dir / "server"

    @property
    def shared_dir(self) -> Path:
        return self.dir / "shared"

    @property
    def contexts(self) -> Path:
        """The lab's own file of command-line contexts, with the admin's token."""
        return self.dir / "contexts.json"

    @property
    def guest_image(self) -> Path:
        return self.dir / "guest.qcow2"

    @cached_property
    def members(self) -> tuple[NodePlan, ...]:
        return tuple(self._node(number) for number in range(1, self.nodes + 1))

    def node(self, name: str) -> NodePlan:
        """Raises  Invalid: the lab has no such node"""
        for node in self.members:
            if node.name == name:
                return node
        raise Invalid("node", name, f"one of {', '.join(n.name for n in self.members)}")

    @property
    def hosts_text(self) -> str:
        """/etc/hosts of all nodes."""
        known = (*((n.address, n.name) for n in self.members), (self.server_address, "server"))
        return "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for address, name in known)

    def _node(self, number: int) -> NodePlan:
        name, address = f"node{number}", f"{self.prefix}.{number}"
        return NodePlan(
            number=number,
            name=name,
            address=address,
            mask=24,
            dir=self.dir / "nodes" / name,
            netns=f"{self.bridge}-{name}",
            veth=f"{self.bridge}n{number}",
            mac="02:" + ":".join(f"{int(part):02x}" for part in address.split(".")) + ":01",
            uuid=str(uuid5(NAMESPACE_URL, f"{self.dir}/{self.bridge}/{name}")),
        )


def libvirtd_conf(node: NodePlan, *, tls: bool = True) -> str:
    """TLS with certificates of the server's CA, where there is one; and TCP, on which the lab's nodes trust each other:
    no real host does that.
    """
    return (
        f'host_uuid = "{node.uuid}"\nlisten_tls = {int(tls)}\nlisten_tcp = 1\nlisten_addr = "{node.address}"\n'
        f'ca_file = "{PKI}/cacert.pem"\ncert_file = "{PKI}/servercert.pem"\nkey_file = "{PKI}/serverkey.pem"\n'
        'auth_tcp = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\nlog_outputs = "2:stderr"\n'
    )


def qemu_conf(node: NodePlan, *, tls: bool = True) -> str:
    """QEMU as root and without cgroups: the nodes share one kernel, that is not to be set up twice."""
    return (
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = [ ]\nnamespaces = [ ]\n'
        f'remember_owner = 0\nmigration_address = "{node.address}"\nmigration_host = "{node.address}"\n'
        + (f'default_tls_x509_cert_dir = "{PKI}"\ndefault_tls_x509_verify = 1\n' if tls else "")
        + "max_core = 0\nkeepalive_interval = 2\nkeepalive_count = 3\n"  # a silent peer is given up after 8 s
    )


def net_up(plan: LabPlan, node: NodePlan) -> tuple[str, ...]:
    """Lines for `ip -batch` that lay a node's cable; its network namespace exists already."""
    return (
        f"link add {node.veth} type veth peer name eth0 address {node.mac} netns {node.netns}",
        f"link set {node.veth} master {plan.bridge} up",
    )


def net_inside(node: NodePlan) -> tuple[str, ...]:
    """Lines for `ip -n NETNS -batch`: the node's address is on the bridge that its guests are on, too."""
    return (
        "link set lo up",
        f"link add {GUEST_BRIDGE} address {node.mac} type bridge forward_delay 0 stp_state 0",
        f"link set eth0 master {GUEST_BRIDGE} up",
        f"address add {node.address}/{node.mask} dev {GUEST_BRIDGE}",
        f"link set {GUEST_BRIDGE} up",
    )
