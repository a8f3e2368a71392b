"""Which links a network needs, and whose they are; and who routes."""

from typing import Any

import pytest
from msgspec.structs import replace

from corral.errors import CorralError
from corral.model.ids import NetworkId
from corral.model.link import NetworkAssignment, Port
from corral.model.network import Segment, Subnet, own_bridge, own_vlan
from corral.network import forwarding
from corral.network.interface import BridgeTaken, NetworkFailed, SubnetTaken, VlanTaken
from corral.network.links import (
    AddAddress,
    AddBridge,
    AddVlan,
    Link,
    RemoveAddress,
    RemoveLink,
    SetLink,
    Step,
)
from corral.network.segments import bridge_mac, leftovers, plan, taps

NET = NetworkId("net-01test00000001")
BRIDGE, VLAN, MAC = own_bridge(NET), own_vlan(NET), bridge_mac(NET)
MARK = f"corral {NET} inside"
SUBNET = Subnet(cidr="10.80.0.0/24", first="10.80.0.2", last="10.80.0.99", server="10.80.0.1")
NAT = NetworkAssignment(network=NET, name="inside", bridge=BRIDGE, segment=Segment.NAT, subnet=SUBNET)
DMZ = replace(NAT, segment=Segment.VLAN, uplink="eth1", vlan=120, subnet=None)


def links(*more: Link, **changes: dict[str, Any]) -> dict[str, Link]:
    """A host with two NICs and, if it is told so, links of the network as they should be."""
    known = {
        "eth0": Link(index=2, name="eth0", kind="", up=True, mtu=1500, addresses=("192.168.1.5/24",)),
        "eth1": Link(index=3, name="eth1", kind="", up=True, mtu=1500),
    }
    return known | {link.name: link for link in more}


OURS = Link(
    index=7, name=BRIDGE, kind="bridge", up=True, mtu=1500, mac=MAC, alias=MARK, addresses=("10.80.0.1/24",)
)
BARE = replace(OURS, addresses=())
TAGGED = Link(index=8, name=VLAN, kind="vlan", up=True, mtu=1500, alias=MARK, master=7, parent=3, vlan=120)
NEW = [AddBridge(BRIDGE, MAC, 1500), SetLink(name=BRIDGE, alias=MARK), SetLink(name=BRIDGE, up=True)]
NEW_VLAN = [
    AddVlan(VLAN, 3, 120, 1500),
    SetLink(name=VLAN, alias=MARK),
    SetLink(name=VLAN, master=BRIDGE),
    SetLink(name=VLAN, up=True),
]
PLANS: list[tuple[str, NetworkAssignment, dict[str, Link], list[Step]]] = [
    ("nothing there", NAT, links(), [*NEW, AddAddress(BRIDGE, "10.80.0.1/24")]),
    ("as wanted: rest", NAT, links(OURS), []),
    ("down", NAT, links(replace(OURS, up=False)), [SetLink(name=BRIDGE, up=True)]),
    ("another MTU", replace(NAT, mtu=1400), links(OURS), [SetLink(name=BRIDGE, mac=MAC, mtu=1400, alias=MARK)]),
    ("the gateway moved", NAT, links(replace(OURS, addresses=("10.80.0.254/24",))),
     [RemoveAddress(BRIDGE, "10.80.0.254/24"), AddAddress(BRIDGE, "10.80.0.1/24")]),
    ("an agent died before it marked it", NAT, links(replace(BARE, alias="", up=False)),
     [SetLink(name=BRIDGE, mac=MAC, mtu=1500, alias=MARK), SetLink(name=BRIDGE, up=True), AddAddress(BRIDGE, "10.80.0.1/24")]),
    ("VLAN: nothing there", DMZ, links(), [*NEW, *NEW_VLAN]),
    ("VLAN: as wanted", DMZ, links(BARE, TAGGED), []),
    ("VLAN: another number", DMZ, links(BARE, replace(TAGGED, vlan=7)), [RemoveLink(VLAN), *NEW_VLAN]),
    ("VLAN: pulled out of its bridge", DMZ, links(BARE, replace(TAGGED, master=0)), [SetLink(name=VLAN, master=BRIDGE)]),
]  # fmt: skip


@pytest.mark.parametrize(("network", "seen", "steps"), [pytest.param(*p[1:], id=p[0]) for p in PLANS])
def test_plan(network: NetworkAssignment, seen: dict[str, Link], steps: list[Step]) -> None:
    assert plan(network, seen) == steps


REFUSED: list[tuple[str, NetworkAssignment, dict[str, Link], type[CorralError]]] = [
    ("the host's own bridge has the name", NAT, links(replace(OURS, alias="mine")), BridgeTaken),
    ("a bridge without a mark that is in use", NAT, links(replace(OURS, alias="")), BridgeTaken),
    ("the host has an address there", NAT, links(Link(index=9, name="x", kind="", up=True, mtu=1500, addresses=("10.80.0.7/16",))), SubnetTaken),
    ("no uplink", replace(DMZ, uplink="eth9"), links(), NetworkFailed),
    ("an uplink of a smaller MTU", replace(DMZ, mtu=9000), links(), NetworkFailed),
    ("the host has the VLAN", DMZ, links(replace(TAGGED, name="eth1.120", alias="", master=0)), VlanTaken),
]  # fmt: skip


@pytest.mark.parametrize(("network", "seen", "error"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_refused(network: NetworkAssignment, seen: dict[str, Link], error: type[CorralError]) -> None:
    with pytest.raises(error) as refusal:
        plan(network, seen)
    assert refusal.value.hint and refusal.value.context


TAP = Link(index=9, name="c0e0000000001", kind="tun", up=True, mtu=1500, master=7)
LEFT: list[tuple[str, list[NetworkAssignment], dict[str, Link], list[Step]]] = [
    ("still wanted", [NAT], links(OURS), []),
    ("gone", [], links(OURS), [RemoveLink(BRIDGE)]),
    ("gone, with its VLAN", [], links(BARE, TAGGED), [RemoveLink(VLAN), RemoveLink(BRIDGE)]),
    ("gone, and a guest is on it", [], links(OURS, TAP), []),
    ("gone, a guest is on it, and it has a VLAN", [], links(BARE, TAGGED, TAP), []),
    ("called like one of Corral's", [], links(replace(OURS, alias="mine")), []),
    ("marked like one of Corral's, called otherwise", [], links(replace(OURS, name="br0")), []),
]


@pytest.mark.parametrize(("known", "seen", "steps"), [pytest.param(*p[1:], id=p[0]) for p in LEFT])
def test_leftovers(known: list[NetworkAssignment], seen: dict[str, Link], steps: list[Step]) -> None:
    assert leftovers(known, seen) == steps


def test_forwarding_is_switched_on_where_it_is_needed_and_guarded() -> None:
    wanted = forwarding.plan([BRIDGE], links(OURS), {}, [])
    assert (wanted.on, wanted.off, wanted.ours) == ((BRIDGE, "eth0"), (), ("eth0",))
    assert 'iifname { "eth0" } oifname != "cn-*" drop' in wanted.guard


def test_forwarding_of_a_host_that_routes_is_its_own_business() -> None:
    wanted = forwarding.plan([BRIDGE], links(OURS), {"all": True, "eth0": True, BRIDGE: True}, ["eth0"])
    assert wanted == forwarding.ForwardingPlan()


def test_forwarding_that_an_administrator_switched_on_is_not_guarded() -> None:
    wanted = forwarding.plan([BRIDGE], links(OURS), {"eth0": True}, [])
    assert (wanted.on, wanted.ours, wanted.guard) == ((BRIDGE,), (), "")


def test_forwarding_ends_with_the_last_network_that_needs_it() -> None:
    assert forwarding.plan([], links(), {"eth0": True}, ["eth0", "gone"]) == forwarding.ForwardingPlan(
        off=("eth0",)
    )


def test_guests_that_libvirt_named_are_found_on_their_bridge() -> None:
    """As they are where a VM was adopted, or runs since before Corral gave taps names."""
    port = Port(mac="52:54:00:00:00:07", address="10.80.0.7", name="old")
    own = Link(index=20, name=port.tap, kind="tun", up=True, mtu=1500, master=7, mac="fe:54:00:00:00:07")
    named = replace(own, index=21, name="vnet3")
    elsewhere = replace(own, index=22, name="vnet4", master=1)
    another = replace(own, index=23, name="vnet5", mac="fe:54:00:00:00:08")
    network = replace(NAT, ports=(port,))
    assert taps(network, links(OURS, own, named, elsewhere, another)) == {port.mac: ("vnet3",)}
    assert taps(network, links(OURS, own)) == {}
