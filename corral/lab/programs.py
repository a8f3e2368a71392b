"""Programs: the command lines of what runs in a lab.

In this room   units (what init keeps running) and the commands that prepare them
Comes in       LabPlan, NodePlan
Goes out       UnitPlan, argument lists
Next door      machine.py runs them
"""

import sys
from typing import Final

from corral.lab.machine import MachinePlan, UnitPlan, inherited_env
from corral.lab.plan import CORRAL_DIR, PKI, LabPlan, NodePlan

CORRAL: Final = (sys.executable, "-m", "corral.cli.main")
SERVER: Final = "server"  # machine and unit
AGENT: Final = "agent"
LIBVIRT: Final = ("virtlogd", "libvirtd")


def server_machine(plan: LabPlan) -> MachinePlan:
    """The host itself, with the server as its only process. It is started when its data directory is made."""
    return MachinePlan(name=SERVER, dir=plan.dir / "machines" / SERVER)


def server_flags(plan: LabPlan) -> tuple[str, ...]:
    where = ("--data-dir", str(plan.server_dir), "--http", f"127.0.0.1:{plan.port}")
    return (
        *where,
        "--link",
        plan.link,
        "--join",
        plan.join,
        "--name",
        plan.server_address,
        "--context",
        "lab",
    )


def server_env(plan: LabPlan) -> dict[str, str]:
    """Its first start writes the admin's token into the lab's own file of contexts."""
    return {**inherited_env(), "CORRAL_CONFIG": str(plan.contexts)}


def server_init(plan: LabPlan) -> tuple[str, ...]:
    return (*CORRAL, "server", "init", *server_flags(plan))


def server_unit(plan: LabPlan) -> UnitPlan:
    command = (*CORRAL, "server", "run", *server_flags(plan), "--image-network", "127.0.0.0/8")
    return UnitPlan(
        command=command, env=server_env(plan), log=str(plan.dir / "machines" / SERVER / "server.log")
    )


def node_machine(plan: LabPlan, node: NodePlan, *, joined: bool) -> MachinePlan:
    """A node: libvirt's daemons, and the agent once it has its certificate."""
    units = {name: libvirt_unit(node, name) for name in LIBVIRT}
    if joined:
        units[AGENT] = agent_unit(node)
    return MachinePlan(name=node.name, dir=node.dir, netns=node.netns, mounts=node.mounts, units=units)


def libvirt_unit(node: NodePlan, name: str) -> UnitPlan:
    command = (f"/usr/sbin/{name}", *(("--listen",) if name == "libvirtd" else ()))
    return UnitPlan(command=command, env=inherited_env(), log=str(node.dir / f"{name}.log"))


def agent_flags(node: NodePlan) -> tuple[str, ...]:
    return ("--data-dir", str(CORRAL_DIR / "agent"), "--migration-address", node.address)


def agent_join(node: NodePlan, token: str) -> tuple[str, ...]:
    return (*CORRAL, "agent", "join", token, "--name", node.name, *agent_flags(node))


def agent_unit(node: NodePlan) -> UnitPlan:
    command = (
        *CORRAL,
        "agent",
        "run",
        *agent_flags(node),
        "--migration-pki",
        str(PKI),
        "--trust-shared",
    )  # its shared pool is a local directory
    return UnitPlan(command=command, env=inherited_env(), log=str(node.dir / "agent.log"))
