"""Routes of rebalancing."""

from litestar import post

from corral.errors import Invalid, NotFound
from corral.model.operation import Operation
from corral.model.rebalance import Rebalance
from corral.server.http.about import CHANGING, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.changing import accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.rebalancing import PlanAnswer, Rebalancing
from corral.server.services.requests import AskRebalance

EXAMPLES = {
    "closer to balance, with 20 moves at most": {"goal": "balance", "moves_max": 20},
    "nodes that can be powered off": {"goal": "consolidate", "bytes_max": "2TiB"},
    "every VM off a node": {"goal": "drain", "nodes": ["node7"], "parallel": 4},
}


@post("/rebalance/plan", status_code=200, **about("Rebalancing", body=AskRebalance, examples=EXAMPLES, answers=PlanAnswer,
                                                  errors=(Invalid, NotFound)))  # fmt: skip
async def plan_rebalance(request: ApiRequest) -> Answer:
    """Show what a rebalance would do now: its moves in order, what each takes, the score before and after. Nothing moves."""
    ask, _, _ = await hear(request, AskRebalance)
    return answer_json(await api_of(request).services.rebalancing.plan(ask))


@post("/rebalance", **about("Rebalancing", body=AskRebalance, examples=EXAMPLES, answers=Operation, status=202,
                            parameters=CHANGING, errors=(Invalid, NotFound, Rebalancing)))  # fmt: skip
async def rebalance(request: ApiRequest) -> Answer:
    """Move VMs towards a goal, or off nodes (which are cordoned first). Follow the operation; cancelling it stops the moves."""
    ask, asking, _ = await hear(request, AskRebalance)
    return accepted(await api_of(request).services.rebalancing.apply(ask, asking), asking)


ROUTES = [*reading(Rebalance, tag="Rebalancing"), plan_rebalance, rebalance]
