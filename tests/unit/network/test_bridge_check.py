"""What a bridge must be like for a network."""

import msgspec
import pytest

from corral.model.ids import NetworkId
from corral.model.link import NetworkAssignment
from corral.model.network import Subnet
from corral.network.interface import NetworkFailed
from corral.network.links import Link
from corral.network.segments import check

GOOD = Link(index=7, kind="bridge", up=True, mtu=1500, addresses=("192.168.7.1/24", "10.78.0.1/24"))
SUBNET = Subnet(cidr="10.78.0.0/24", first="10.78.0.10", last="10.78.0.99")
NETWORK = NetworkAssignment(network=NetworkId("net-1"), bridge="br0", subnet=SUBNET)
NO_DHCP = msgspec.structs.replace(NETWORK, subnet=msgspec.structs.replace(SUBNET, dhcp=False))

REFUSED = [  # name, bridge, in the message, in the hint
    ("none", None, "there is no bridge br0", "ip link add br0 type bridge"),
    ("a NIC", {"kind": ""}, "is no bridge", "Name a bridge"),
    ("down", {"up": False}, "is down", "ip link set br0 up"),
    ("MTU too small", {"mtu": 1499}, "MTU of 1499", "mtu 1500"),
    ("no address", {"addresses": ()}, "no address in 10.78.0.0/24", "ip addr add ADDRESS/24 dev br0"),
    (
        "address of the next subnet",
        {"addresses": ("10.78.1.1/24",)},
        "no address in 10.78.0.0/24",
        "ip addr add",
    ),
]


@pytest.mark.parametrize(("changes", "says", "hint"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_refused(changes: dict[str, object] | None, says: str, hint: str) -> None:
    bridge = None if changes is None else msgspec.structs.replace(GOOD, **changes)
    with pytest.raises(NetworkFailed, match=says) as refusal:
        check(NETWORK, bridge)
    assert hint in refusal.value.hint


@pytest.mark.parametrize(
    ("network", "bridge"),
    [
        pytest.param(NETWORK, GOOD, id="as needed"),
        pytest.param(NETWORK, msgspec.structs.replace(GOOD, mtu=9000), id="larger MTU"),
        pytest.param(NO_DHCP, msgspec.structs.replace(GOOD, addresses=()), id="no DHCP, so no address"),
        pytest.param(msgspec.structs.replace(NETWORK, subnet=None), msgspec.structs.replace(GOOD, addresses=()), id="no subnet"),
    ],
)  # fmt: skip
def test_taken(network: NetworkAssignment, bridge: Link) -> None:
    assert check(network, bridge) == bridge
