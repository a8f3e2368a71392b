"""Routes for machines that look after the server: health, readiness, figures."""

import asyncio

from litestar import get
from msgspec import Struct

from corral import __version__
from corral.errors import CorralError, Unavailable
from corral.server.http.about import about
from corral.server.http.answers import Answer, Flow, answer_json
from corral.server.http.api import api_of
from corral.server.http.metrics import CONTENT_TYPE
from corral.server.http.ports import ApiCore
from corral.server.http.present import may_hear_of
from corral.server.http.queries import ApiRequest
from corral.server.services.diagnosing import Finding, diagnose

STORE_S = 2.0  # within which the store has to answer


class Health(Struct, frozen=True, kw_only=True):
    """It lives."""

    status: str = "ok"
    version: str = __version__


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether it can serve requests, and whether its controllers run."""

    ready: bool
    mirror: bool  # loaded and followed
    store: bool  # answers
    leading: bool  # controllers run here; otherwise another server may lead
    revision: int


class Findings(Struct, frozen=True, kw_only=True):
    """What needs attention, the worst first; nothing: all is well."""

    items: tuple[Finding, ...]


@get("/findings", **about("Health", answers=Findings))
async def findings(request: ApiRequest) -> Answer:
    """Show what needs attention in the whole installation, and the next step to take about each.

    Of what the role may not see (tokens, for viewers) nothing is told.
    """
    api, role = api_of(request), request.user.role
    found = diagnose(api.mirror, api.clock.now_s(), __version__)
    told = tuple(f for f in found if may_hear_of(f.about.kind if f.about else "", role))
    return answer_json(Findings(items=told))


@get("/healthz", public=True, **about("Health", answers=Health))
async def healthz() -> Answer:
    """Whether the process lives."""
    return answer_json(Health())


@get("/readyz", public=True, **about("Health", answers=Readiness, errors=(Unavailable,)))
async def readyz(request: ApiRequest) -> Answer:
    """Whether requests can be served: 200 yes, 503 not yet or not any more."""
    readiness = await look(api_of(request).core)
    return answer_json(readiness, 200 if readiness.ready else 503)


async def look(core: ApiCore) -> Readiness:
    store = await _store_answers(core) if core.ready else False
    return Readiness(
        ready=core.ready and store,
        mirror=core.ready,
        store=store,
        leading=core.leading,
        revision=core.mirror.revision,
    )


async def _store_answers(core: ApiCore) -> bool:
    try:
        async with asyncio.timeout(STORE_S):
            await core.read_barrier()
    except (CorralError, TimeoutError):
        return False
    return True


@get("/metrics", **about("Health", answers=str, media_type="text/plain"))
async def metrics(request: ApiRequest) -> Flow:
    """Show figures for Prometheus. It needs a token like everything else: give its scrape job a viewer's.

    In Prometheus' configuration: `authorization: {credentials: corral_…}`.
    """
    return Flow(api_of(request).metrics.text(), CONTENT_TYPE)


ROUTES = [findings]
ROUTES_AT_ROOT = [healthz, readyz, metrics]
