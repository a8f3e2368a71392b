"""Wires: the lab's bridge, and a cable from it to each node.

In this room   network namespaces and links, made and unmade with iproute2
Comes in       LabPlan, NodePlan
Goes out       links in the kernel
Always true    only links and namespaces that bear the lab's bridge name are touched; calls may be repeated
Next door      plan.py says what they are called
"""

import json
from pathlib import Path

from corral.lab.host import LabFailed, run, wait_for
from corral.lab.plan import GUEST_BRIDGE, LabPlan, NodePlan, net_inside, net_up


def links() -> set[str]:
    """Names of the links of the host."""
    return {link["ifname"] for link in json.loads(run("ip", "-json", "link", "show"))}


def namespaces() -> set[str]:
    try:
        return {p.name for p in Path("/run/netns").iterdir()}
    except FileNotFoundError:
        return set()


def lay_bridge(plan: LabPlan) -> None:
    """The switch that all nodes are on, with the server's address.

    raises  LabFailed: someone else's bridge or network has the name or the addresses
    """
    if plan.bridge in links():
        return
    taken = [
        (link["ifname"], address["local"])
        for link in json.loads(run("ip", "-json", "-4", "address", "show"))
        for address in link["addr_info"]
        if address["local"].startswith(f"{plan.prefix}.")
    ]
    if taken:
        raise LabFailed(
            f"{taken[0][0]} has the address {taken[0][1]}, which lies in {plan.cidr}",
            hint="Choose another network with --prefix.",
        )
    lines = (
        f"link add {plan.bridge} type bridge forward_delay 0 stp_state 0",
        f"address add {plan.server_address}/24 dev {plan.bridge}",
        f"link set {plan.bridge} up",
    )
    run("ip", "-batch", "-", given="\n".join(lines))


def lay_cable(plan: LabPlan, node: NodePlan) -> None:
    """The node's network namespace, its cable, and the bridge in it."""
    if node.netns not in namespaces():
        run("ip", "netns", "add", node.netns)
    if node.veth not in links():
        run("ip", "-batch", "-", given="\n".join(net_up(plan, node)))
    if GUEST_BRIDGE not in run("ip", "-n", node.netns, "-brief", "link", "show"):
        run("ip", "-n", node.netns, "-batch", "-", given="\n".join(net_inside(node)))


def set_cable(node: NodePlan, *, up: bool) -> None:
    """Plug the cable in or pull it out."""
    run("ip", "link", "set", node.veth, "up" if up else "down")


def cable_up(node: NodePlan) -> bool:
    shown = json.loads(run("ip", "-json", "link", "show"))
    return any(link["ifname"] == node.veth and "UP" in link["flags"] for link in shown)


def take_away(plan: LabPlan) -> None:
    """Remove every namespace and link of the lab, whatever state they are in."""
    for name in sorted(namespaces()):
        if name.startswith(f"{plan.bridge}-node"):
            run("ip", "netns", "del", name)
    ours = {plan.bridge, *(node.veth for node in plan.members)}
    for name in sorted(links() & ours):
        try:
            run("ip", "link", "del", name)
        except LabFailed:
            if name in links():  # a cable goes with its namespace, a moment later
                raise
    wait_for("end of the lab's links", lambda: not links() & ours, 10.0)
