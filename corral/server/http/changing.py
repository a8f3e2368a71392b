"""Changing: how a route hears a request for a change and answers it.

In this room   hear(), the body and the circumstances; accepted(), the answer
Comes in       requests
Goes out       request struct, Asking, Query; 202 with the Operation to follow (200 for a dry run)
Next door      services/ does what is asked
Start here     hear()
"""

from typing import TypeVar

from msgspec import Struct

from corral.model.operation import Operation
from corral.server.http.answers import Answer, answer_json
from corral.server.http.bodies import decode_body
from corral.server.http.queries import ApiRequest, Query, asking_of
from corral.server.services.asking import Asking

T = TypeVar("T", bound=Struct)


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a request that needs none."""


async def hear(request: ApiRequest, kind: type[T], *parameters: str) -> tuple[T, Asking, Query]:
    """What is asked for, by whom and how. raises Invalid, Malformed

    parameters   that the route takes besides dry_run
    """
    body = await request.body()
    query = Query(request, ("dry_run", *parameters))
    return decode_body(body, kind), asking_of(request, body, query), query


def accepted(operation: Operation, asking: Asking) -> Answer:
    """The operation to follow, and where."""
    where = ("location", f"/api/v1/operations/{operation.id}")
    return answer_json(operation, 200 if asking.dry_run else 202, () if asking.dry_run else (where,))
