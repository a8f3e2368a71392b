"""Routes of networks."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.network import Network
from corral.model.operation import Operation
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreateNetwork, UpdateLabels

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
}


@post("/networks", **about("Networks", body=CreateNetwork, examples=EXAMPLES, answers=Operation, status=202,
                           parameters=CHANGING, errors=(Invalid, NotFound, NameTaken)))  # fmt: skip
async def create_network(request: ApiRequest) -> Answer:
    """Create a network on a bridge that the nodes have."""
    ask, asking, _ = await hear(request, CreateNetwork)
    return accepted(await api_of(request).services.networks.create(ask, asking), asking)


@patch("/networks/{net:str}", **about("Networks", body=UpdateLabels, examples={"label it": {"labels": {"env": "lab"}}},
                                      answers=Operation, status=202, parameters=CHANGING_ONE,
                                      errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_network(request: ApiRequest, net: FromPath[str]) -> Answer:
    """Replace a network's labels."""
    ask, asking, _ = await hear(request, UpdateLabels)
    return accepted(await api_of(request).services.networks.update(net, ask, asking), asking)


@delete("/networks/{net:str}", status_code=202, **about("Networks", answers=Operation, status=202,
                                                        parameters=CHANGING_ONE,
                                                        errors=(NotFound, PreconditionFailed, InUse)))  # fmt: skip
async def delete_network(request: ApiRequest, net: FromPath[str]) -> Answer:
    """Forget a network that no VM is on. The bridge stays."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.networks.delete(net, asking), asking)


ROUTES = [*reading(Network, tag="Networks"), create_network, update_network, delete_network]
