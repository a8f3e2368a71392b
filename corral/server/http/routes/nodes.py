"""Routes of nodes, and of the tokens that they join with."""

from litestar import delete, get, patch, post
from litestar.params import FromPath

from corral.errors import Invalid, NotFound, PreconditionFailed
from corral.model.ids import NodeId
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.token import JoinToken, Role
from corral.server.http.about import CHANGING, CHANGING_ONE, Parameter, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.facts import PARAMETERS as FACTS
from corral.server.http.facts import Figures, FigureSeries, answer_facts
from corral.server.http.issued import NewJoinToken
from corral.server.http.pictures import Row
from corral.server.http.present import in_lists
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreateJoinToken, UpdateNode
from corral.server.services.things import NodeHasVMs

FORCE = Parameter(
    name="force",
    type="boolean",
    text="Give up the VMs on it. Only if the machine is gone for good: they may run still.",
)


@patch("/nodes/{node:str}", **about("Nodes", body=UpdateNode, examples={"take no new VMs": {"cordoned": True}},
                                    answers=Operation, status=202, parameters=CHANGING_ONE,
                                    errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_node(request: ApiRequest, node: FromPath[str]) -> Answer:
    """Cordon a node or uncordon it, change its labels, reserve or overcommit."""
    ask, asking, _ = await hear(request, UpdateNode)
    return accepted(await api_of(request).services.nodes.update(node, ask, asking), asking)


@delete("/nodes/{node:str}", status_code=202, **about("Nodes", role=Role.ADMIN, answers=Operation, status=202,
                                                      parameters=(FORCE, *CHANGING_ONE),
                                                      errors=(NotFound, PreconditionFailed, NodeHasVMs)))  # fmt: skip
async def remove_node(request: ApiRequest, node: FromPath[str]) -> Answer:
    """Take a node out for good. Its certificate is worth nothing from then on."""
    _, asking, query = await hear(request, Nothing, "force")
    return accepted(
        await api_of(request).services.nodes.remove(node, asking, force=query.flag("force")), asking
    )


@get(
    "/nodes/{node:str}/facts",
    **about(
        "Nodes", answers=Figures | FigureSeries, stream=Row, parameters=FACTS, errors=(NotFound, Invalid)
    ),
)
async def node_facts(request: ApiRequest, node: FromPath[str]) -> Answer:
    """Show the latest figures of a node: CPU, memory, pressure, load. Empty while its agent sends none."""
    api = api_of(request)
    found = api.mirror.find(Node, node)
    id, hub = NodeId(found.id), api.core.hub
    return answer_facts(request, found, lambda: hub.facts_of(id), lambda: hub.series_of(id))


@post("/nodes/join-tokens", **about("Nodes", role=Role.ADMIN, body=CreateJoinToken, status=201, answers=NewJoinToken,
                                    parameters=CHANGING, examples={"good for an hour": {"ttl_s": 3600}}, errors=(Invalid,)))  # fmt: skip
async def create_join_token(request: ApiRequest) -> Answer:
    """Make a token with which one node can join, once. The answer shows it; nobody can see it again."""
    ask, asking, _ = await hear(request, CreateJoinToken)
    token, text = await api_of(request).core.join_tokens.mint(ask.ttl_s, asking)
    return answer_json(NewJoinToken(resource=in_lists(token), secret=text), 200 if asking.dry_run else 201)


ROUTES = [
    *reading(Node, tag="Nodes"),
    *reading(JoinToken, tag="Nodes", base="/nodes/join-tokens", role=Role.ADMIN),
    update_node,
    remove_node,
    node_facts,
    create_join_token,
]
