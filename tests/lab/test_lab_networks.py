"""A NAT network under a real guest on a whole lab: out, in by a forwarded port, and both after it moved."""

import socket
from collections.abc import Iterator

import pytest

from corral.errors import CorralError
from corral.model.network import Network, own_bridge
from tests.lab.test_lab_life import shell
from tests.lab.world import IMAGE, World

NAME, PORT = "inside", 2222


@pytest.fixture
def inside(world: World) -> Iterator[Network]:
    subnet = {"cidr": "10.88.0.0/24"}
    world.wait(world.client.networks.create(name=NAME, segment="nat", subnet=subnet))
    network = world.client.networks.get(NAME)
    yield network
    for vm in world.client.vms.list(filter=f"name={NAME}"):
        world.remove(vm.name)
    world.wait(world.client.networks.delete(NAME))
    world.until("nothing left of it", lambda: not any(left(world, node) for node in world.nodes), 40)


def left(world: World, node: str) -> str:
    shown = world.lab.run(node, "sh", "-c", "ip -o link; nft list tables; ls /var/lib/corral/agent/dhcp")
    return (
        "cn-"
        if "cn-" in shown
        or "corral-net" in shown.replace(world.client.networks.get("default").id.lower(), "")
        else ""
    )


def banner(world: World, node: str) -> bytes:
    """What a client outside hears at the node's forwarded port."""
    with socket.create_connection((world.lab.plan.node(node).address, PORT), 2) as client:
        client.settimeout(5)
        return client.recv(100)


def hears(world: World, node: str) -> bool:
    try:
        return banner(world, node).startswith(b"SSH-2.0-")
    except OSError:
        return False


def test_nat_of_a_guest_that_moves(world: World, inside: Network) -> None:
    client, outside = world.client, world.lab.plan.server_address
    disks = [{"image": IMAGE, "pool": "shared"}]
    world.wait(client.vms.create(name=NAME, memory="128MiB", disks=disks, nics=[{"network": NAME}]))
    vm = world.guest_up(NAME)
    source = world.node_of(NAME)
    assert vm.spec.nics[0].address in vm.status.guest.addresses
    assert own_bridge(inside.id) in world.virsh(source, "domiflist", NAME)
    heard = shell(world, NAME, f"ping -c 2 -W 2 {outside}; echo ping-$((1 + 1))", until="ping-2")
    assert " 0% packet loss" in heard

    world.wait(client.networks.add_forward(NAME, port=PORT, vm=NAME, to_port=22))
    assert banner(world, source).startswith(b"SSH-2.0-")
    with pytest.raises(CorralError) as refused:
        client.networks.add_forward(NAME, port=PORT, vm=NAME)
    assert refused.value.code == "network.forward_taken"

    world.wait(client.vms.migrate(NAME))
    target = world.node_of(NAME)
    assert target != source
    world.until("the forward on its new node", lambda: hears(world, target), 20)
    assert not hears(world, source)
    heard = shell(world, NAME, f"ping -c 2 -W 2 {outside}; echo ping-$((1 + 1))", until="ping-2")
    assert " 0% packet loss" in heard
