"""Routes of scheduling policies."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.policy import SchedulingPolicy
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreatePolicy, UpdatePolicy

EXAMPLES = {
    "for all VMs that name none: survive the loss of a node": {
        "name": "default",
        "spec": {"score": "balance", "spare": "node"},
    },
    "memory counts most": {
        "name": "memory-first",
        "spec": {"weights": {"cpu": 0.2, "memory": 0.6, "gpu": 0.2}},
    },
}
CHANGED = {"spread": {"spec": {"score": "spread"}}}


@post("/policies", **about("Policies", body=CreatePolicy, examples=EXAMPLES, answers=Operation, status=202,
                           parameters=CHANGING, errors=(Invalid, NameTaken)))  # fmt: skip
async def create_policy(request: ApiRequest) -> Answer:
    """Create a scheduling policy. One called `default` counts for all VMs that name none."""
    ask, asking, _ = await hear(request, CreatePolicy)
    return accepted(await api_of(request).services.policies.create(ask, asking), asking)


@patch("/policies/{policy:str}", **about("Policies", body=UpdatePolicy, examples=CHANGED, answers=Operation,
                                         status=202, parameters=CHANGING_ONE,
                                         errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_policy(request: ApiRequest, policy: FromPath[str]) -> Answer:
    """Replace a policy's labels or its spec. It counts from the next placement on; no VM moves for it."""
    ask, asking, _ = await hear(request, UpdatePolicy)
    return accepted(await api_of(request).services.policies.update(policy, ask, asking), asking)


@delete("/policies/{policy:str}", status_code=202, **about("Policies", answers=Operation, status=202,
                                                           parameters=CHANGING_ONE,
                                                           errors=(NotFound, InUse, PreconditionFailed)))  # fmt: skip
async def delete_policy(request: ApiRequest, policy: FromPath[str]) -> Answer:
    """Delete a policy that no VM names."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.policies.delete(policy, asking), asking)


ROUTES = [*reading(SchedulingPolicy, tag="Policies"), create_policy, update_policy, delete_policy]
