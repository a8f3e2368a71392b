"""Routes of networks, of the ports that VMs have on them, and of ports forwarded to VMs."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.network import Network
from corral.model.operation import Operation
from corral.model.port import Port
from corral.network.interface import ForwardTaken, SubnetTaken, VlanTaken
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.networks import NoNat
from corral.server.services.nics import NoAddress
from corral.server.services.requests import AddForward, CreateNetwork, SetAddress, UpdateNetwork

EXAMPLES = {
    "with addresses": {
        "name": "lan",
        "bridge": "br0",
        "subnet": {
            "cidr": "10.20.0.0/24",
            "first": "10.20.0.10",
            "last": "10.20.0.250",
            "gateway": "10.20.0.1",
        },
    },
    "addresses come from elsewhere": {"name": "office", "bridge": "br1"},
    "a VLAN": {"name": "dmz", "segment": "vlan", "uplink": "eth1", "vlan": 120},
    "behind each node's own address": {
        "name": "inside",
        "segment": "nat",
        "subnet": {"cidr": "10.80.0.0/24"},
        "domain": "inside.example",
    },
}


@post("/networks", **about("Networks", body=CreateNetwork, examples=EXAMPLES, answers=Operation, status=202,
                           parameters=CHANGING, errors=(Invalid, NotFound, NameTaken, VlanTaken, SubnetTaken)))  # fmt: skip
async def create_network(request: ApiRequest) -> Answer:
    """Create a network: on a bridge that the nodes have, on a VLAN of theirs, or on bridges that Corral makes."""
    ask, asking, _ = await hear(request, CreateNetwork)
    return accepted(await api_of(request).services.networks.create(ask, asking), asking)


@patch("/networks/{net:str}", **about("Networks", body=UpdateNetwork,
                                      examples={"label it": {"labels": {"env": "lab"}},
                                                "other name servers": {"subnet": {"dns": ["10.20.0.2"]}}},
                                      answers=Operation, status=202, parameters=CHANGING_ONE,
                                      errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_network(request: ApiRequest, net: FromPath[str]) -> Answer:
    """Change a network's labels, range, name servers, domain, MTU or anti-spoofing. Done when its nodes have it so."""
    ask, asking, _ = await hear(request, UpdateNetwork)
    return accepted(await api_of(request).services.networks.update(net, ask, asking), asking)


@delete("/networks/{net:str}", status_code=202, **about("Networks", answers=Operation, status=202,
                                                        parameters=CHANGING_ONE,
                                                        errors=(NotFound, PreconditionFailed, InUse)))  # fmt: skip
async def delete_network(request: ApiRequest, net: FromPath[str]) -> Answer:
    """Forget a network that no VM is on. A bridge of the host stays; one that Corral made goes."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.networks.delete(net, asking), asking)


@post("/networks/{net:str}/forwards", **about("Networks", body=AddForward,
                                              examples={"a web server": {"port": 8080, "vm": "web", "to_port": 80}},
                                              answers=Operation, status=202, parameters=CHANGING_ONE,
                                              errors=(Invalid, NotFound, PreconditionFailed, ForwardTaken, NoNat)))  # fmt: skip
async def add_forward(request: ApiRequest, net: FromPath[str]) -> Answer:
    """Forward a port of whichever node runs the VM to the VM. It moves along when the VM does."""
    ask, asking, _ = await hear(request, AddForward)
    return accepted(await api_of(request).services.networks.add_forward(net, ask, asking), asking)


@delete("/networks/{net:str}/forwards/{forward:str}", status_code=202,
        **about("Networks", answers=Operation, status=202, parameters=CHANGING_ONE,
                errors=(NotFound, PreconditionFailed)))  # fmt: skip
async def remove_forward(request: ApiRequest, net: FromPath[str], forward: FromPath[str]) -> Answer:
    """End a forward, named like `tcp-8080`."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.networks.remove_forward(net, forward, asking), asking)


@post("/vms/{vm:str}/address", **about("Networks", body=SetAddress, examples={"this one": {"address": "10.20.0.50"}},
                                       answers=Operation, status=202, parameters=CHANGING_ONE,
                                       errors=(Invalid, NotFound, PreconditionFailed, NoAddress)))  # fmt: skip
async def set_address(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Give a VM's port another address. The guest has it when it asks DHCP anew; until then it is cut off."""
    ask, asking, _ = await hear(request, SetAddress)
    return accepted(await api_of(request).services.networks.set_address(vm, ask, asking), asking)


ROUTES = [
    *reading(Network, tag="Networks"),
    *reading(Port, tag="Networks"),
    create_network,
    update_network,
    delete_network,
    add_forward,
    remove_forward,
    set_address,
]
