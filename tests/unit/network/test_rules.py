"""What nftables is told, whole: golden files, which tests/lab/test_network_kinds.py proves on real links.

CORRAL_GOLDEN=write rewrites them: read the difference before you commit it.
"""

import os
from pathlib import Path

import pytest

from corral.model.ids import NetworkId
from corral.model.link import Forward, NetworkAssignment, Port
from corral.model.network import Segment, Subnet, own_bridge
from corral.network.rules import tables

GOLDEN = Path(__file__).parent / "golden"
NET = NetworkId("net-01test00000001")
SUBNET = Subnet(cidr="10.80.0.0/24", first="10.80.0.2", last="10.80.0.99", server="10.80.0.1")
WEB = Port(mac="0E:00:00:00:00:01", address="10.80.0.10", name="web")
ROUTER = Port(mac="0e:00:00:00:00:02", address="10.80.0.11", name="router", anti_spoofing=False)
FREE = Port(mac="0e:00:00:00:00:03", address="", name="free")
WAYS = (
    Forward(protocol="udp", port=53, address="10.80.0.10", to_port=53),
    Forward(protocol="tcp", port=8443, address="10.80.0.10", to_port=443),
    Forward(protocol="tcp", port=8080, address="10.80.0.10", to_port=80),
)


def network(segment: Segment, **fields: object) -> NetworkAssignment:
    known: dict[str, object] = {
        "network": NET,
        "bridge": own_bridge(NET),
        "subnet": SUBNET,
        "ports": (WEB, ROUTER, FREE),
    }
    return NetworkAssignment(**{**known, "segment": segment, **fields})  # type: ignore[arg-type]


CASES = [  # name of the golden file, network
    ("bridge", network(Segment.BRIDGE, bridge="br0")),
    ("isolated", network(Segment.ISOLATED)),
    ("nat", network(Segment.NAT, forwards=WAYS)),
    ("vlan", network(Segment.VLAN, uplink="eth1", vlan=120)),
    ("vlan-without-guests", network(Segment.VLAN, uplink="eth1", vlan=120, subnet=None, ports=())),
]


@pytest.mark.parametrize(("name", "asked"), [pytest.param(*case, id=case[0]) for case in CASES])
def test_golden(name: str, asked: NetworkAssignment) -> None:
    path, text = GOLDEN / f"{name}.nft", "".join(tables(asked).values())
    if os.environ.get("CORRAL_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_nothing_is_told_where_nothing_is_wanted() -> None:
    assert tables(network(Segment.BRIDGE, bridge="br0", ports=(ROUTER,))) == {}


def test_the_order_of_ports_and_forwards_is_no_difference() -> None:
    one = network(Segment.NAT, forwards=WAYS)
    other = network(Segment.NAT, forwards=WAYS[::-1], ports=(FREE, ROUTER, WEB))
    assert tables(one) == tables(other)


def test_a_guest_under_another_name_is_held_to_the_same() -> None:
    text = tables(network(Segment.ISOLATED, ports=(WEB,)), {WEB.mac.lower(): ("vnet3",)})["bridge"]
    assert '"vnet3" . 10.80.0.10' in text and '"vnet3" . 0e:00:00:00:00:01' in text
