"""Networks: what is filled in, what is refused, and what nodes are told."""

from typing import Any

import msgspec
import pytest

from corral.errors import InUse, NotFound
from corral.model.network import Network, Segment, Subnet
from corral.model.node import NetworkOnNode
from corral.model.operation import Operation, OperationState
from corral.model.port import Port
from corral.model.resource import Trouble
from corral.model.vm import VM, DomainState, VMReport
from corral.model.volume import ObjectReport, ObjectState
from corral.network.interface import ForwardTaken, SubnetTaken, VlanTaken
from corral.server.services.networks import NoNat
from corral.server.services.nics import MacTaken, NoAddress
from corral.server.services.requests import (
    AddForward,
    CreateNetwork,
    NewNic,
    SetAddress,
    UpdateNetwork,
    UpdateSubnet,
)
from tests.unit.server.rig import ASKING, PlayedAgent, Rig, in_rig

CIDR = Subnet(cidr="10.80.0.0/24")
NAT: dict[str, Any] = {"segment": Segment.NAT, "subnet": CIDR}
VLAN: dict[str, Any] = {"segment": Segment.VLAN, "uplink": "eth1", "vlan": 120}


async def make(rig: Rig, name: str = "inside", **fields: Any) -> Network:
    await rig.services.networks.create(CreateNetwork(name=name, **fields), ASKING)
    return rig.mirror.find(Network, name)


FILLED = [  # name, asked, what of the subnet is filled in
    ("a bridge of the host", {"bridge": "br0", "subnet": CIDR}, {"first": "10.80.0.1", "last": "10.80.0.254", "gateway": "", "server": ""}),
    ("NAT: the node is the gateway", NAT, {"gateway": "10.80.0.1", "server": "10.80.0.1"}),
    ("NAT: with a gateway", {**NAT, "subnet": Subnet(cidr="10.80.0.0/24", gateway="10.80.0.254")}, {"server": "10.80.0.254"}),
    ("isolated: no gateway", {"segment": Segment.ISOLATED, "subnet": CIDR}, {"gateway": "", "server": "10.80.0.1"}),
    ("VLAN: beside its router", {**VLAN, "subnet": Subnet(cidr="10.80.0.0/24", gateway="10.80.0.254")}, {"server": "10.80.0.253"}),
    ("VLAN: no DHCP, no address on nodes", {**VLAN, "subnet": Subnet(cidr="10.80.0.0/24", dhcp=False)}, {"server": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "filled"), [pytest.param(*f[1:], id=f[0]) for f in FILLED])
def test_what_was_left_out_is_filled_in(asked: dict[str, Any], filled: dict[str, str]) -> None:
    @in_rig
    async def test(rig: Rig) -> None:
        subnet = (await make(rig, **asked)).spec.subnet
        assert filled.items() <= msgspec.structs.asdict(subnet).items()  # type: ignore[arg-type]

    test()


@in_rig
async def test_names_are_answered_where_corral_makes_the_bridge(rig: Rig) -> None:
    assert (await make(rig, "lan", bridge="br0", subnet=CIDR)).spec.domain == ""
    assert (await make(rig, "inside", **NAT)).spec.domain == "inside.internal"
    free = await make(rig, "free", segment=Segment.ISOLATED)
    assert (free.spec.domain, free.spec.bridge) == ("", f"cn-{free.id[-10:].lower()}")


REFUSED = [  # name, asked, field that the error names
    ("no bridge", {}, "bridge"),
    ("a bridge, and Corral makes one", {**NAT, "bridge": "br0"}, "bridge"),
    ("a bridge with a slash", {"bridge": "a/b"}, "bridge"),
    ("VLAN without an uplink", {"segment": Segment.VLAN, "vlan": 3}, "uplink"),
    ("VLAN 0", {"segment": Segment.VLAN, "uplink": "eth1"}, "vlan"),
    ("VLAN 4095", {**VLAN, "vlan": 4095}, "vlan"),
    ("a VLAN on a bridge of the host", {"bridge": "br0", "vlan": 3}, "vlan"),
    ("NAT without a subnet", {"segment": Segment.NAT}, "subnet"),
    ("a subnet that is none", {**NAT, "subnet": Subnet(cidr="x")}, "subnet.cidr"),
    ("a subnet without room", {**NAT, "subnet": Subnet(cidr="10.80.0.0/31")}, "subnet.cidr"),
    ("a gateway elsewhere", {**NAT, "subnet": Subnet(cidr="10.80.0.0/24", gateway="10.81.0.1")}, "subnet.gateway"),
    ("an end before its begin", {**NAT, "subnet": Subnet(cidr="10.80.0.0/24", first="10.80.0.9", last="10.80.0.8")}, "subnet.last"),
    ("a name server that is none", {**NAT, "subnet": Subnet(cidr="10.80.0.0/24", dns=("here",))}, "subnet.dns"),
    ("a node's address on a bridge of the host", {"bridge": "br0", "subnet": Subnet(cidr="10.80.0.0/24", server="10.80.0.1")}, "subnet.server"),
    ("a forwarder that is none", {**NAT, "forwarders": ("here",)}, "forwarders"),
    ("a domain that is none", {**NAT, "domain": "a b"}, "domain"),
    ("a domain that would be an option of dnsmasq", {**NAT, "domain": "a/b"}, "domain"),
    ("a domain without DHCP", {**VLAN, "domain": "dmz"}, "domain"),
    ("MTU too small", {**NAT, "mtu": 500}, "mtu"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "field"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_refused(asked: dict[str, Any], field: str) -> None:
    @in_rig
    async def test(rig: Rig) -> None:
        with pytest.raises(Exception) as caught:
            await make(rig, **asked)
        assert caught.value.context["field"] == field  # type: ignore[attr-defined]
        assert not rig.mirror.list(Network)

    test()


@in_rig
async def test_what_another_network_has_is_not_taken_from_it(rig: Rig) -> None:
    await rig.node("n1")
    await rig.node("n2")
    await make(rig, "inside", **NAT, nodes=("n1",))
    await make(rig, "dmz", **VLAN)
    with pytest.raises(VlanTaken):
        await make(rig, "dmz2", **VLAN)
    with pytest.raises(SubnetTaken):
        await make(rig, "second", segment=Segment.ISOLATED, subnet=Subnet(cidr="10.80.0.128/25"))
    await make(rig, "elsewhere", **NAT, nodes=("n2",))  # never on one node with the first
    await make(rig, "other-uplink", **{**VLAN, "uplink": "eth2"})
    await make(rig, "lan", bridge="br0", subnet=CIDR)  # the host's own business


@in_rig
async def test_addresses_of_the_network_itself_are_not_given_out(rig: Rig) -> None:
    await rig.shared_pool()
    await make(rig, **{**NAT, "subnet": Subnet(cidr="10.80.0.0/29")})
    for name in "abcde":
        await rig.vm(name, nics=(NewNic(network="inside"),))
    assert sorted(p.spec.address for p in rig.mirror.list(Port)) == [f"10.80.0.{n}" for n in range(2, 7)]
    with pytest.raises(NoAddress):
        await rig.vm("f", nics=(NewNic(network="inside"),))


@in_rig
async def test_a_mac_address_is_given_once(rig: Rig) -> None:
    await rig.shared_pool()
    await make(rig, **NAT)
    mac = "0e:00:00:00:00:01"
    await rig.vm("a", nics=(NewNic(network="inside", mac=mac),))
    with pytest.raises(MacTaken):
        await rig.vm("b", nics=(NewNic(network="inside", mac=mac),))
    with pytest.raises(MacTaken):
        await rig.vm("c", nics=(NewNic(network="inside", mac=mac[:-1] + "2"),) * 2)


async def two_nodes(rig: Rig) -> tuple[PlayedAgent, PlayedAgent, VM]:
    """A VM on the first of them, on a NAT network."""
    await rig.shared_pool()
    await make(rig, **NAT)
    one, other = await rig.node("n1"), await rig.node("n2")
    await rig.vm("web", node="n1", nics=(NewNic(network="inside"),))
    await rig.clock.sleep(1)
    await one.assigned()
    await other.assigned()
    return one, other, rig.mirror.find(VM, "web")


@in_rig
async def test_a_forward_is_where_its_vm_is_and_goes_with_it(rig: Rig) -> None:
    one, other, vm = await two_nodes(rig)
    net = rig.mirror.find(Network, "inside").id
    op = await rig.services.networks.add_forward(
        "inside", AddForward(port=8080, vm="web", to_port=80), ASKING
    )
    await one.assigned()
    await other.assigned()
    (way,) = one.held[net].forwards
    assert (way.port, way.address, way.to_port, way.protocol) == (8080, vm.spec.nics[0].address, 80, "tcp")
    assert other.held[net].forwards == ()
    for agent in (one, other):
        assert not rig.mirror.find(Operation, op.id).ended, "before it is in place"
        await agent.report(networks={net: NetworkOnNode(ready=True, generation=agent.held[net].generation)})
    await rig.clock.sleep(1)
    assert rig.mirror.find(Operation, op.id).status.state is OperationState.SUCCEEDED

    await rig.services.vms.delete("web", ASKING)
    await one.assigned()
    await one.report(
        vms={vm.id: VMReport(state=DomainState.ABSENT, role="none", stint=one.held[vm.id].stint)}
    )
    await one.assigned()
    gone = {
        key: ObjectReport(state=ObjectState.ABSENT, wanted=False)
        for key in one.held
        if key.startswith("vol-")
    }
    await one.report(volumes=gone)
    await rig.clock.sleep(2)
    assert rig.mirror.get(vm.id) is None
    assert rig.mirror.find(Network, "inside").spec.forwards == ()


@in_rig
async def test_forwards_that_can_not_be(rig: Rig) -> None:
    await two_nodes(rig)
    await make(rig, "lan", bridge="br0", subnet=CIDR)
    await make(rig, "more", segment=Segment.NAT, subnet=Subnet(cidr="10.99.0.0/24"))
    await rig.vm("other", nics=(NewNic(network="more"),))
    networks = rig.services.networks
    await networks.add_forward("inside", AddForward(port=8080, vm="web"), ASKING)
    for network in ("inside", "more"):
        with pytest.raises(ForwardTaken):
            vm = "web" if network == "inside" else "other"
            await networks.add_forward(network, AddForward(port=8080, vm=vm), ASKING)
    await networks.add_forward("more", AddForward(port=8080, vm="other", protocol="udp"), ASKING)
    with pytest.raises(NoNat):
        await networks.add_forward("lan", AddForward(port=1, vm="web"), ASKING)
    for ask in (
        AddForward(port=0, vm="web"),
        AddForward(port=1, vm="web", protocol="icmp"),
        AddForward(port=1, vm="other"),
    ):
        with pytest.raises(Exception, match="is not"):
            await networks.add_forward("inside", ask, ASKING)
    with pytest.raises(NotFound):
        await networks.remove_forward("inside", "tcp-81", ASKING)
    await networks.remove_forward("inside", "tcp-8080", ASKING)
    assert rig.mirror.find(Network, "inside").spec.forwards == ()


@in_rig
async def test_a_forward_that_a_node_can_not_have_fails_with_its_reason(rig: Rig) -> None:
    one, _, _ = await two_nodes(rig)
    net = rig.mirror.find(Network, "inside").id
    op = await rig.services.networks.add_forward("inside", AddForward(port=22, vm="web"), ASKING)
    await one.assigned()
    taken = NetworkOnNode(
        ready=True,
        generation=one.held[net].generation,
        trouble=Trouble(code="network.forward_taken", message="in use"),
    )
    for _ in range(25):  # seconds in which the node is heard
        await one.report(networks={net: taken})
        await rig.clock.sleep(1)
    status = rig.mirror.find(Operation, op.id).status
    assert status.state is OperationState.FAILED
    assert status.error and "node n1: in use" in status.error.message


@in_rig
async def test_another_address(rig: Rig) -> None:
    one, _, vm = await two_nodes(rig)
    net, old = rig.mirror.find(Network, "inside").id, vm.spec.nics[0].address
    await rig.services.networks.set_address("web", SetAddress(address="10.80.0.50"), ASKING)
    await one.assigned()
    assert [p.address for p in one.held[net].ports] == ["10.80.0.50"]
    assert rig.mirror.find(VM, "web").spec.nics[0].address == "10.80.0.50"
    await rig.vm("heir", nics=(NewNic(network="inside", address=old),))  # it is free now
    for address, error in ((old, "taken"), ("10.80.0.1", "address for a VM"), ("10.81.0.1", "address in")):
        with pytest.raises(Exception, match=error):
            await rig.services.networks.set_address("web", SetAddress(address=address), ASKING)


@in_rig
async def test_changes_of_a_network(rig: Rig) -> None:
    one, _, _ = await two_nodes(rig)
    net = rig.mirror.find(Network, "inside").id
    ask = UpdateNetwork(
        subnet=UpdateSubnet(dns=("10.0.0.53",), first="10.80.0.100"),
        domain="x.example",
        mtu=1400,
        anti_spoofing=False,
    )
    await rig.services.networks.update("inside", ask, ASKING)
    await one.assigned()
    told = one.held[net]
    assert (told.subnet.dns, told.domain, told.mtu, told.subnet.first) == (
        ("10.0.0.53",),
        "x.example",
        1400,
        "10.80.0.100",
    )
    assert [port.anti_spoofing for port in told.ports] == [False]
    await rig.services.networks.update("inside", UpdateNetwork(labels={"a": "b"}), ASKING)
    assert not await one.assigned(), "labels are nothing that a node needs to know"
    with pytest.raises(Exception, match="is not free"):
        await rig.services.networks.update(
            "inside", UpdateNetwork(subnet=UpdateSubnet(gateway="10.80.0.2")), ASKING
        )
    with pytest.raises(Exception, match="empty without DHCP"):
        await rig.services.networks.update("inside", UpdateNetwork(subnet=UpdateSubnet(dhcp=False)), ASKING)


@in_rig
async def test_names_of_a_network_that_spans_nodes_are_known_on_each(rig: Rig) -> None:
    await rig.shared_pool()
    network = await make(rig, "dmz", **VLAN, subnet=CIDR, domain="dmz.example")
    inside = await make(rig, "inside", segment=Segment.NAT, subnet=Subnet(cidr="10.99.0.0/24"))
    one, other = await rig.node("n1"), await rig.node("n2")
    for name, node in (("a", "n1"), ("b", "n2")):
        await rig.vm(name, node=node, nics=(NewNic(network="dmz"), NewNic(network="inside")))
    await rig.clock.sleep(1)
    await one.assigned()
    await other.assigned()
    for agent, own in ((one, "a"), (other, "b")):
        assert sorted(n.name for n in agent.held[network.id].names) == ["a", "b"]
        assert [n.name for n in agent.held[inside.id].names] == [own]
        assert [p.name for p in agent.held[network.id].ports] == [own]


@in_rig
async def test_a_router_may_send_for_others(rig: Rig) -> None:
    await rig.shared_pool()
    network = await make(rig, **NAT)
    one = await rig.node("n1")
    await rig.vm("router", nics=(NewNic(network="inside", anti_spoofing=False),))
    await rig.clock.sleep(1)
    await one.assigned()
    assert [port.anti_spoofing for port in one.held[network.id].ports] == [False]


@in_rig
async def test_a_network_in_use_stays_and_one_that_goes_is_forgotten(rig: Rig) -> None:
    one, _, _ = await two_nodes(rig)
    with pytest.raises(InUse):
        await rig.services.networks.delete("inside", ASKING)
    free = await make(rig, "free", segment=Segment.ISOLATED)
    await one.assigned()
    assert free.id in one.held
    await rig.services.networks.delete("free", ASKING)
    await one.assigned()
    assert free.id not in one.held, "what is left of it there, the agent sweeps"


@in_rig
async def test_a_nic_taken_from_a_vm_without_a_node_gives_its_port_back(rig: Rig) -> None:
    """It waits for room, so no node will ever say that the guest has let go."""
    await rig.lan()
    await rig.vm(running=True, disks=(), nics=(NewNic(network="lan"),))
    assert rig.mirror.find(VM, "web").status.node is None
    assert len(rig.mirror.list(Port)) == 1
    await rig.services.changes.detach_nic("web", "lan", ASKING)
    await rig.clock.sleep(2.0)
    assert rig.mirror.list(Port) == []
