"""Networks: what users can ask for about them.

In this room   each request as a pure decision on the mirror: what to write, or why not
Comes in       requests.py's bodies, and Asking
Goes out       Operations; agents do the rest, and what they find on their hosts stands in NodeStatus.networks
Always true    what would take something from another network (its VLAN, its addresses, a port of a node) is refused
Next door      nics.py gives addresses to ports; subnets.py fills in what was left out of a subnet
Start here     Networks.create()
"""

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET

from corral.clock import new_id
from corral.errors import CorralError, InUse, Invalid, NameTaken, NotFound
from corral.model.ids import NodeId, VmId
from corral.model.network import Network, NetworkSpec, PortForward, Segment, Subnet, own_bridge
from corral.model.node import Node
from corral.model.operation import Operation, Verb
from corral.model.port import Port
from corral.model.resource import Resource
from corral.model.vm import VM, Nic
from corral.network.interface import ForwardTaken, SubnetTaken, VlanTaken
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_labels
from corral.server.services.nics import Addresses, choose_address, port_name
from corral.server.services.requests import AddForward, CreateNetwork, SetAddress, UpdateNetwork, UpdateSubnet
from corral.server.services.subnets import check_servers, completed
from corral.server.services.things import Things
from corral.store.interface import Put

LINK: Final = re.compile(r"[^\s/]{1,15}")
DOMAIN: Final = re.compile(
    r"(?=.{1,200}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
PROTOCOLS: Final = ("tcp", "udp")
LINKS: Final = {  # fields that each segment needs
    Segment.BRIDGE: ("bridge",),
    Segment.VLAN: ("uplink", "vlan"),
    Segment.ISOLATED: (),
    Segment.NAT: (),
}


class NoNat(CorralError):
    """Ports are forwarded on NAT networks only: VMs on others have addresses that can be reached."""

    code = "network.no_nat"
    status = 409

    def __init__(self, network: Network) -> None:
        super().__init__(
            f"network {network.name} is of segment {network.spec.segment}, and only NAT networks forward ports",
            hint="Reach the VM at its own address.",
            network=network.id,
            segment=network.spec.segment,
        )


class Networks(Things):
    """Requests about networks."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.addresses = Addresses(desk.mirror)

    async def create(self, ask: CreateNetwork, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, network: str, ask: UpdateNetwork, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._update(self.mirror.find(Network, network), ask))

    async def delete(self, network: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(Network, network)))

    async def add_forward(self, network: str, ask: AddForward, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._add_forward(self.mirror.find(Network, network), ask)
        )

    async def remove_forward(self, network: str, forward: str, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._remove_forward(self.mirror.find(Network, network), forward)
        )

    async def set_address(self, vm: str, ask: SetAddress, asking: Asking) -> Operation:
        """Give a VM's port another address; its guest has it when it asks anew."""
        return await self.desk.submit(asking, lambda: self._set_address(self.mirror.find(VM, vm), ask))

    # ---- decisions

    def _create(self, ask: CreateNetwork) -> Change:
        _check_links(ask)
        id = new_id("net", self.clock)
        subnet = completed(ask.subnet, ask.segment) if ask.subnet else None
        if ask.segment is Segment.NAT and subnet is None:
            raise Invalid("subnet", "", "given for a NAT network", hint='Like {"cidr": "10.80.0.0/24"}.')
        served = subnet is not None and subnet.dhcp
        own = ask.segment in (Segment.NAT, Segment.ISOLATED)
        spec = NetworkSpec(
            bridge=ask.bridge or own_bridge(id),
            segment=ask.segment,
            uplink=ask.uplink,
            vlan=ask.vlan,
            subnet=subnet,
            domain=(f"{ask.name}.internal" if own and served else "") if ask.domain is None else ask.domain,
            forwarders=ask.forwarders,
            mtu=ask.mtu,
            anti_spoofing=ask.anti_spoofing,
            nodes=tuple(NodeId(self.mirror.find(Node, n).id) for n in ask.nodes),
        )
        _check(spec)
        network = Network(id=id, name=ask.name, labels=ask.labels, created_at=self.clock.now_s(), spec=spec)
        self._check_rivals(network)
        return self._new(network, done=False)

    def _update(self, network: Network, ask: UpdateNetwork) -> Change:
        given = _given(ask)
        labels = given.pop("labels", network.labels)
        check_labels(labels)
        if not given:
            return self._relabel(network, labels)
        spec = network.spec
        if of_subnet := given.pop("subnet", None):
            spec = msgspec.structs.replace(spec, subnet=_changed_subnet(network, of_subnet))
        spec = msgspec.structs.replace(spec, **given)
        _check(spec)
        self._check_reserved(network, spec)
        return self._replaced(network.having(labels=labels), spec)

    def _delete(self, network: Network) -> Change:
        if vms := self.mirror.select(VM, "network", network.id):
            raise InUse("Network", network.name, f"VM {vms[0].name}")
        return self._gone(network)

    def _add_forward(self, network: Network, ask: AddForward) -> Change:
        vm = self.mirror.find(VM, ask.vm)
        if network.spec.segment is not Segment.NAT:
            raise NoNat(network)
        if not any(nic.network == network.id and nic.address for nic in vm.spec.nics):
            raise Invalid("vm", ask.vm, f"a VM with an address on network {network.name}")
        if ask.protocol not in PROTOCOLS:
            raise Invalid("protocol", ask.protocol, " or ".join(PROTOCOLS))
        for field, port in (("port", ask.port), ("to_port", ask.to_port or ask.port)):
            if not 1 <= port <= 65535:
                raise Invalid(field, port, "a port from 1 to 65535")
        way = PortForward(
            port=ask.port, vm=VmId(vm.id), to_port=ask.to_port or ask.port, protocol=ask.protocol
        )
        others = [n for n in self.mirror.list(Network) if n.spec.segment is Segment.NAT and _meet(n, network)]
        for other in others:
            if any(known.key == way.key for known in other.spec.forwards):
                raise ForwardTaken(
                    f"port {way.port}/{way.protocol} of the nodes is forwarded by network {other.name} already",
                    hint="Choose another port, or remove that forward.",
                    network=other.id,
                    forward=way.key,
                )
        change = self._with_forwards(network, (*network.spec.forwards, way))
        expect = {**{other.id: other.revision for other in others}, **change.expect}  # none gets it meanwhile
        return msgspec.structs.replace(change, expect=expect)

    def _remove_forward(self, network: Network, forward: str) -> Change:
        left = tuple(way for way in network.spec.forwards if way.key != forward)
        if len(left) == len(network.spec.forwards):
            raise NotFound("forward", f"{forward} on network {network.name}")
        return self._with_forwards(network, left)

    def _set_address(self, vm: VM, ask: SetAddress) -> Change:
        nic = _nic_on(vm, self.mirror.find(Network, ask.network).id if ask.network else "")
        network = self.mirror.find(Network, nic.network)
        address = choose_address(ask.address, network, self.addresses, "address")
        if not address:
            raise Invalid("network", network.name, "a network that manages addresses")
        (port,) = [p for p in self.mirror.select(Port, "vm", vm.id) if p.spec.mac == nic.mac]
        moved = port.having(
            name=port_name(network, address), spec=msgspec.structs.replace(port.spec, address=address)
        )
        nics = tuple(msgspec.structs.replace(n, address=address) if n is nic else n for n in vm.spec.nics)
        new = vm.having(generation=vm.generation + 1, spec=msgspec.structs.replace(vm.spec, nics=nics))
        writes: tuple[Resource, ...] = (new, moved)
        return Change(
            target=new,
            writes=tuple(Put(r) for r in writes),
            expect={vm.id: vm.revision, port.id: port.revision},
            verb=Verb.UPDATE,
            boot=new.spec.boot if new.spec.running else 0,
            done=True,
        )

    # ---- parts

    def _with_forwards(self, network: Network, forwards: tuple[PortForward, ...]) -> Change:
        return self._replaced(network, msgspec.structs.replace(network.spec, forwards=forwards))

    def _replaced(self, network: Network, spec: NetworkSpec) -> Change:
        """Done when the nodes have it in place."""
        new = network.having(spec=spec, generation=network.generation + 1)
        return self._replace(network, new, Verb.UPDATE, done=False)

    def _check_rivals(self, network: Network) -> None:
        """Raises VlanTaken, SubnetTaken: by another network, on a node that both are on; NameTaken first"""
        spec = network.spec
        if self.mirror.named(Network, network.name):
            raise NameTaken("Network", network.name)
        for other in self.mirror.list(Network):
            if other.id == network.id or not _meet(network, other):
                continue
            if spec.vlan and (spec.uplink, spec.vlan) == (other.spec.uplink, other.spec.vlan):
                raise VlanTaken(
                    f"VLAN {spec.vlan} of {spec.uplink} is network {other.name} already",
                    hint="Use that network, or another VLAN.",
                    network=other.id, vlan=spec.vlan, uplink=spec.uplink,
                )  # fmt: skip
            mine, theirs = spec.subnet, other.spec.subnet
            if mine and theirs and mine.server and theirs.server and mine.network.overlaps(theirs.network):
                raise SubnetTaken(
                    f"{mine.cidr} overlaps with {theirs.cidr} of network {other.name}",
                    hint="Choose another subnet: a node can't tell the two apart. Or put the networks on different nodes.",
                    network=other.id, cidr=mine.cidr,
                )  # fmt: skip

    def _check_reserved(self, network: Network, spec: NetworkSpec) -> None:
        """Raises Invalid: a VM has the address that the network now wants for itself"""
        if spec.subnet is None:
            return
        for address in dict.fromkeys((spec.subnet.gateway, spec.subnet.server)):
            if address and self.mirror.named(Port, port_name(network, address)):
                raise Invalid("gateway", address, "free", hint="A VM has this address.")


def _given(ask: msgspec.Struct) -> dict[str, Any]:
    return {field: value for field in ask.__struct_fields__ if (value := getattr(ask, field)) is not UNSET}


def _changed_subnet(network: Network, ask: UpdateSubnet) -> Subnet:
    """Raises Invalid"""
    old, given = network.spec.subnet, _given(ask)
    if old is None:
        raise Invalid("subnet", "", "given", hint=f"Network {network.name} was made without one.")
    if given.get("cidr", old.cidr) != old.cidr:
        raise Invalid("subnet.cidr", given["cidr"], f"{old.cidr}, as it is", hint="VMs have addresses there.")
    if network.spec.segment is Segment.NAT and given.get("gateway"):
        given.setdefault("server", given["gateway"])
    return completed(msgspec.structs.replace(old, **given), network.spec.segment)


def _check_links(ask: CreateNetwork) -> None:
    """Raises Invalid: what the segment needs is missing, or there is more"""
    for field in ("bridge", "uplink", "vlan"):
        value, needed = getattr(ask, field), field in LINKS[ask.segment]
        if bool(value) == needed:
            continue
        if needed and field != "vlan":
            raise Invalid(field, value, f"given for a network of segment {ask.segment}")
        if not needed:
            raise Invalid(
                field, value, f"empty for a network of segment {ask.segment}", hint="Corral makes its bridge."
            )
    if ask.segment is Segment.VLAN and not 1 <= ask.vlan <= 4094:
        raise Invalid("vlan", ask.vlan, "a VLAN from 1 to 4094")
    if ask.bridge and not LINK.fullmatch(ask.bridge):
        raise Invalid("bridge", ask.bridge, "a name of a bridge (1 to 15 characters)")
    if ask.uplink and not LINK.fullmatch(ask.uplink):
        raise Invalid("uplink", ask.uplink, "a name of a link (1 to 15 characters)")


def _check(spec: NetworkSpec) -> None:
    if not 576 <= spec.mtu <= 65535:
        raise Invalid("mtu", spec.mtu, "576 to 65535")
    check_servers(spec.forwarders, "forwarders")
    if not spec.domain:
        return
    if not DOMAIN.fullmatch(spec.domain):
        raise Invalid("domain", spec.domain, "a DNS domain", hint="Like lan.internal, in lower case.")
    if spec.subnet is None or not spec.subnet.dhcp:
        raise Invalid(
            "domain",
            spec.domain,
            "empty without DHCP",
            hint="Whoever serves DHCP tells guests whom to ask for names.",
        )


def _nic_on(vm: VM, network: str) -> Nic:
    """The VM's NIC on this network; empty: its only one. raises Invalid"""
    nics = [nic for nic in vm.spec.nics if network in ("", nic.network)]
    if len(nics) != 1:
        what = "one of its networks" if len(nics) > 1 else "a network that the VM is on"
        raise Invalid("network", network, what)
    return nics[0]


def _meet(one: Network, other: Network) -> bool:
    """Whether some node has both."""
    return not one.spec.nodes or not other.spec.nodes or not set(one.spec.nodes).isdisjoint(other.spec.nodes)
