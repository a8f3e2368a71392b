"""Routes of storage pools."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.pool import StoragePool
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreatePool, UpdateLabels

EXAMPLES = {
    "on each node by itself": {"name": "local", "path": "/var/lib/corral/pools/local"},
    "shared between nodes": {"name": "shared", "path": "/srv/corral/shared", "shared": True},
}


@post("/pools", **about("Pools", body=CreatePool, examples=EXAMPLES, answers=Operation, status=202,
                        parameters=CHANGING, errors=(Invalid, NotFound, NameTaken)))  # fmt: skip
async def create_pool(request: ApiRequest) -> Answer:
    """Create a pool: a directory that nodes keep volumes in. The nodes make it where it does not exist."""
    ask, asking, _ = await hear(request, CreatePool)
    return accepted(await api_of(request).services.pools.create(ask, asking), asking)


@patch("/pools/{pool:str}", **about("Pools", body=UpdateLabels, examples={"label it": {"labels": {"tier": "ssd"}}},
                                    answers=Operation, status=202, parameters=CHANGING_ONE,
                                    errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_pool(request: ApiRequest, pool: FromPath[str]) -> Answer:
    """Replace a pool's labels."""
    ask, asking, _ = await hear(request, UpdateLabels)
    return accepted(await api_of(request).services.pools.update(pool, ask, asking), asking)


@delete("/pools/{pool:str}", status_code=202, **about("Pools", answers=Operation, status=202,
                                                      parameters=CHANGING_ONE,
                                                      errors=(NotFound, PreconditionFailed, InUse)))  # fmt: skip
async def delete_pool(request: ApiRequest, pool: FromPath[str]) -> Answer:
    """Forget a pool that holds no volume. The directory stays."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.pools.delete(pool, asking), asking)


ROUTES = [*reading(StoragePool, tag="Pools"), create_pool, update_pool, delete_pool]
