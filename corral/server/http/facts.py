"""Facts: live figures as an answer: the latest row, the last minutes, or each row as it comes."""

from collections.abc import Callable

from msgspec import Struct

from corral.errors import Invalid
from corral.model.resource import Ref, Resource
from corral.server.facts import Series
from corral.server.http.about import Parameter
from corral.server.http.answers import Answer, Flow, answer_json
from corral.server.http.api import api_of
from corral.server.http.pictures import RowsPicture
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.reading import STREAM_HEADERS

PARAMETERS = (
    Parameter(name="series", type="boolean", text="The last minutes instead of the latest row."),
    Parameter(
        name="watch",
        type="boolean",
        text="Answer with server-sent events instead: `figures`, each row as it comes, the latest one first.",
    ),
)


class Figures(Struct, frozen=True, kw_only=True):
    """The latest figures of a node or VM, by name (model/link.py says what each means). Never stored."""

    about: Ref
    figures: dict[str, float] = {}


class FigureSeries(Struct, frozen=True, kw_only=True):
    """Figures of a node or VM over the last minutes, the oldest first. Never stored."""

    about: Ref
    names: list[str]
    at: list[float]  # Unix time in seconds, by the server's clock
    rows: dict[str, list[float | None]]  # by name, as long as `at`; null: that was not told


def answer_facts(
    request: ApiRequest,
    of: Resource,
    latest: Callable[[], dict[str, float] | None],
    series: Callable[[], Series],
) -> Answer:
    """Raises  Invalid"""
    query, api = Query(request, ("series", "watch")), api_of(request)
    if query.flag("watch") and query.flag("series"):
        raise Invalid("series", "true", "left out of a watch", hint="Ask for the series first, then watch.")
    if query.flag("watch"):
        picture = RowsPicture(of.id, series, api.core.hub)
        return Flow(api.watches.live("figures", request.user, picture), "text/event-stream", STREAM_HEADERS)
    if query.flag("series"):
        found = series()
        return answer_json(FigureSeries(about=of.ref, names=list(found.rows), at=found.at, rows=found.rows))
    return answer_json(Figures(about=of.ref, figures=latest() or {}))
