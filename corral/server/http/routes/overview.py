"""Routes of the whole installation at a glance: figures, and all nodes as a heatmap."""

from litestar import get

from corral.errors import Invalid
from corral.server.heatmap import CellNews, Cells, Columns
from corral.server.http.about import Parameter, about
from corral.server.http.answers import Answer, Flow, answer_json
from corral.server.http.api import api_of
from corral.server.http.pictures import CellsPicture, WholePicture, as_seen_by
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.reading import STREAM_HEADERS
from corral.server.overview import Whole

FRESH = (("cache-control", "no-store"),)


def watching(text: str) -> Parameter:
    return Parameter(name="watch", type="boolean", text=f"Answer with server-sent events instead: {text}")


@get("/overview", **about("Overview", answers=Whole, stream=Whole, errors=(Invalid,),
                          parameters=(watching("`overview`, the whole again, when something of it has changed, at "
                                               "most once a second."),)))  # fmt: skip
async def show_overview(request: ApiRequest) -> Answer:
    """Show the whole installation at a glance: counts, capacity and use, balance, what needs attention.

    It is at most a second old. `balance.history` has at most 300 points of the last day, since the server's start.
    """
    api, query, role = api_of(request), Query(request, ("watch",)), request.user.role
    if query.flag("watch"):
        picture = WholePicture(api.overview, api.mirror, api.core.hub, role)
        return _stream(request, "overview", picture)
    return answer_json(as_seen_by(role, api.overview.look()), headers=FRESH)


@get("/heatmap", **about("Overview", answers=Columns, stream=CellNews, errors=(Invalid,),
                         parameters=(watching("`cells`, the nodes that look different since the stream began, within "
                                              "0.1 s."),)))  # fmt: skip
async def show_heatmap(request: ApiRequest) -> Answer:
    """Show all nodes at once, a few figures each, a column a figure.

    To go on live, begin the watch first: its first event `cells` names the revision that it begins at.
    """
    api, query = api_of(request), Query(request, ("watch",))
    if query.flag("watch"):
        return _stream(request, "cells", CellsPicture(Cells(api.heatmap)))
    return answer_json(api.heatmap.columns(), headers=FRESH)


def _stream(request: ApiRequest, name: str, picture: WholePicture | CellsPicture) -> Flow:
    return Flow(
        api_of(request).watches.live(name, request.user, picture), "text/event-stream", STREAM_HEADERS
    )


ROUTES = [show_overview, show_heatmap]
