"""Api: what the routes share, beside the server core."""

from typing import Any, TypeVar

from litestar.connection import ASGIConnection
from msgspec import Struct

from corral.clock import Clock
from corral.server.heatmap import Heatmap
from corral.server.http.bodies import decode_body
from corral.server.http.metrics import Metrics
from corral.server.http.orders import Orders
from corral.server.http.ports import ApiCore
from corral.server.http.sessions import Sessions
from corral.server.http.watching import Watches
from corral.server.overview import SAMPLE_S, Overview
from corral.server.services import Services
from corral.store.mirror import Mirror

T = TypeVar("T", bound=Struct)


class Api:
    """One HTTP API over one server core."""

    def __init__(self, core: ApiCore) -> None:
        self.core = core
        self.mirror: Mirror = core.mirror
        self.clock: Clock = core.clock
        self.services: Services = core.services
        self.orders = Orders(core.mirror)
        self.sessions = Sessions(core.services.desk.secret_key, core.clock)
        self.overview = Overview(core.mirror, core.hub, core.clock)
        self.heatmap = Heatmap(core.mirror, core.hub)
        self.watches = Watches(core.mirror, core.clock, self.sessions)
        self.metrics = Metrics(core, self.watches)

    def sign_out(self, cookie: str) -> None:
        """End the session, and what it has open. raises Unauthenticated: it is over"""
        self.sessions.end(self.sessions.read(cookie))
        self.watches.ring()

    async def keep(self) -> None:
        """Note what is only ever known now. Runs until cancelled."""
        while True:
            if self.core.ready:
                self.overview.sample()
            await self.clock.sleep(SAMPLE_S)

    def close(self) -> None:
        """End the streams; the requests that run may finish. A second call does nothing."""
        if self.watches.closing:
            return
        self.watches.close()
        self.overview.totals.close()
        self.orders.stop()


def api_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Api:
    api = connection.app.state.api
    assert isinstance(api, Api)
    return api


__all__ = ["Api", "api_of", "decode_body"]
