"""Routes of placement groups."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.group import PlacementGroup
from corral.model.operation import Operation
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.groups import Contradictory
from corral.server.services.requests import CreateGroup, UpdateGroup

EXAMPLES = {
    "replicas that do not fail together": {
        "name": "database",
        "spec": {
            "rules": [
                {"kind": "anti-affinity", "domain": "node"},
                {"kind": "anti-affinity", "domain": "rack", "required": False, "weight": 0.5},
                {"kind": "affinity", "nodes": ["disk=fast"]},
            ]
        },
    },
}
CHANGED = {"apart by rack": {"spec": {"rules": [{"kind": "anti-affinity", "domain": "rack"}]}}}


@post("/groups", **about("Groups", body=CreateGroup, examples=EXAMPLES, answers=Operation, status=202,
                         parameters=CHANGING, errors=(Invalid, NameTaken, Contradictory)))  # fmt: skip
async def create_group(request: ApiRequest) -> Answer:
    """Create a placement group: rules for the VMs that name it. Rules that can't hold together are refused."""
    ask, asking, _ = await hear(request, CreateGroup)
    return accepted(await api_of(request).services.groups.create(ask, asking), asking)


@patch("/groups/{group:str}", **about("Groups", body=UpdateGroup, examples=CHANGED, answers=Operation, status=202,
                                      parameters=CHANGING_ONE,
                                      errors=(Invalid, NotFound, Contradictory, PreconditionFailed)))  # fmt: skip
async def update_group(request: ApiRequest, group: FromPath[str]) -> Answer:
    """Replace a group's labels or its rules. They count from the next placement on; no VM moves for them."""
    ask, asking, _ = await hear(request, UpdateGroup)
    return accepted(await api_of(request).services.groups.update(group, ask, asking), asking)


@delete("/groups/{group:str}", status_code=202, **about("Groups", answers=Operation, status=202,
                                                        parameters=CHANGING_ONE,
                                                        errors=(NotFound, InUse, PreconditionFailed)))  # fmt: skip
async def delete_group(request: ApiRequest, group: FromPath[str]) -> Answer:
    """Delete a group that no VM names."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.groups.delete(group, asking), asking)


ROUTES = [*reading(PlacementGroup, tag="Groups"), create_group, update_group, delete_group]
