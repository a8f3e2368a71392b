"""Route of all changes at once."""

from litestar import get

from corral.errors import Invalid
from corral.model.resource import Resource, kind_named
from corral.server.http.about import Parameter, about
from corral.server.http.answers import Flow
from corral.server.http.api import api_of
from corral.server.http.filters import parse_filter
from corral.server.http.present import VISIBLE, may_see
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.reading import stream
from corral.server.http.watching import Watch
from corral.store.interface import Compacted

PARAMETERS = (
    Parameter(name="kinds", example="vms,operations", text="Only these kinds, between commas."),
    Parameter(name="label", many=True, example="env=prod", text="Only resources with these labels."),
    Parameter(name="since", type="integer", text="From behind this revision. So does Last-Event-ID."),
    Parameter(name="watch", type="boolean", text="Always so here."),
)


@get("/watch", **about("Changes", stream=Resource, parameters=PARAMETERS, errors=(Invalid, Compacted)))
async def watch_all(request: ApiRequest) -> Flow:
    """Watch changes of all kinds that the token may see, as server-sent events.

    `put` and `remove` carry the resource (its `kind` says what it is), `bookmark` a revision to go on from; the id of
    each event is its revision. After a pause, `Last-Event-ID` continues without a gap; 410 `store.compacted` says
    that the pause was too long: list again, and watch from the list's `revision`.
    """
    api, query = api_of(request), Query(request, ("kinds", "label", "since", "watch"))
    kinds = tuple(_kind(word, request) for word in query.text("kinds").split(",") if word.strip())
    labels = parse_filter(Resource, api.mirror, labels=query.values.get("label", ()))
    return stream(request, api, Watch(kinds=kinds, filter=labels), query)


def _kind(word: str, request: ApiRequest) -> type[Resource]:
    kind = kind_named(word.strip())
    if kind is None or not may_see(kind, request.user.role):
        known = sorted(k.PLURAL for k in VISIBLE if may_see(k, request.user.role))
        raise Invalid("kinds", word, "a kind that can be watched", hint=f"Kinds: {', '.join(known)}.")
    return kind


ROUTES = [watch_all]
