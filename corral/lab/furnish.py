"""Furnish: what a lab asks of its server through the API, as any operator would.

In this room   joining nodes; the pools and the network that a lab begins with
Comes in       LabPlan, a Client
Goes out       resources
Always true    each step looks first: what is there is left alone
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final

from corral.client import Client
from corral.client.contexts import Contexts
from corral.errors import CorralError
from corral.lab.host import LabFailed, wait_for
from corral.lab.plan import GUEST_BRIDGE, POOL_LOCAL, POOL_SHARED, LabPlan
from corral.model.ids import NodeId
from corral.model.node import Node, NodePhase

NETWORK: Final = "default"
READY_S_MAX: Final = 40.0


def client_of(plan: LabPlan) -> Client:
    """The lab's API, as its admin. Raises  LabFailed: the server never started"""
    contexts = Contexts.load(plan.contexts)
    if "lab" not in contexts.by_name:
        raise LabFailed("the lab's server has not been initialised", hint="`corral lab up` does it.")
    context = contexts.named("lab")
    return Client(context.url, context.token, context.ca or None)


def pools() -> dict[str, dict[str, Any]]:
    return {"shared": {"path": str(POOL_SHARED), "shared": True}, "local": {"path": str(POOL_LOCAL)}}


def networks(plan: LabPlan) -> dict[str, dict[str, Any]]:
    subnet = {
        "cidr": plan.cidr,
        "first": f"{plan.prefix}.100",
        "last": f"{plan.prefix}.200",
        "dhcp": True,
    }
    return {NETWORK: {"bridge": GUEST_BRIDGE, "subnet": subnet}}


def furnish(plan: LabPlan, client: Client) -> None:
    """Pools `shared` and `local`, network `default`: created where they are missing, then waited for."""
    wishes: tuple[tuple[Any, Mapping[str, dict[str, Any]]], ...] = (
        (client.pools, pools()),
        (client.networks, networks(plan)),
    )
    for noun, wanted in wishes:
        for name, fields in wanted.items():
            if noun.find(name) is None:
                client.operations.wait(noun.create(name=name, **fields), timeout_s=READY_S_MAX)


def wait_for_nodes(plan: LabPlan, client: Client, names: frozenset[str]) -> None:
    """Until these nodes are ready, and see the pools and networks of the lab.

    raises  LabFailed: some are not in time; says which
    """

    def all_ready() -> bool:
        return not (names - ready_nodes(client))

    try:
        wait_for("readiness of the nodes", all_ready, READY_S_MAX)
    except LabFailed:
        missing = ", ".join(sorted(names - ready_nodes(client)))
        raise LabFailed(
            f"not ready after {READY_S_MAX:g} s: {missing}", hint=f"Logs: {plan.dir}/nodes/*/agent.log"
        ) from None


def ready_nodes(client: Client) -> frozenset[str]:
    """Names of nodes that are ready with all that they should have."""
    pools, networks = client.pools.list(), client.networks.list()
    return frozenset(
        node.name
        for node in client.nodes.list()
        if node.status.phase is NodePhase.READY
        and all(p.id in node.status.pools and node.status.pools[p.id].ready for p in pools if p.on(_id(node)))
        and all(
            n.id in node.status.networks and node.status.networks[n.id].ready
            for n in networks
            if n.on(_id(node))
        )
    )


def _id(node: Node) -> NodeId:
    return NodeId(node.id)


def wait_for_server(plan: LabPlan, timeout_s: float = 30.0) -> None:
    """Until it says that it is ready. Raises  LabFailed"""
    from urllib.request import urlopen

    def ready() -> bool:
        with contextlib.suppress(OSError), urlopen(f"{plan.url}/readyz", timeout=2.0) as answer:
            return int(answer.status) == 200
        time.sleep(0.05)
        return False

    wait_for(f"start of the server (log: {plan.dir}/machines/server/server.log)", ready, timeout_s)


def tell_user(plan: LabPlan, name: str) -> None:
    """Make the lab a context of the user's command line, the current one."""
    Contexts.load().having(name, Contexts.load(plan.contexts).named("lab"), current=True).save()


def forget_user(plan: LabPlan, name: str) -> None:
    """Take that context away again; a file that is left empty goes, too."""
    contexts = Contexts.load()
    with contextlib.suppress(CorralError):
        if contexts.named(name).url == plan.url:
            rest = contexts.without(name)
            if rest.by_name:
                rest.save()
            else:
                contexts.path.unlink(missing_ok=True)
