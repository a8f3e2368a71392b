"""Routes of operations and events."""

from litestar import post
from litestar.params import FromPath

from corral.errors import NotFound, PreconditionFailed
from corral.model.event import Event
from corral.model.operation import Operation
from corral.server.http.about import CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.operations import NotCancellable


@post("/operations/{op:str}/cancel", **about("Operations", answers=Operation, status=202, parameters=CHANGING_ONE,
                                             errors=(NotFound, PreconditionFailed, NotCancellable)))  # fmt: skip
async def cancel_operation(request: ApiRequest, op: FromPath[str]) -> Answer:
    """Ask an operation to stop. It ends as cancelled once what it did is undone; or not, if it was done already."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.operations.cancel(op, asking), asking)


ROUTES = [*reading(Operation, tag="Operations"), *reading(Event, tag="Events"), cancel_operation]
