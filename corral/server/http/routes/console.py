"""Route of the serial console: a WebSocket whose binary frames are the bytes of the line."""

from typing import Any

from litestar import WebSocket, websocket
from litestar.params import FromPath

from corral.model.ids import VmId
from corral.model.token import Role
from corral.model.vm import VM
from corral.server.http.about import about
from corral.server.http.api import api_of
from corral.server.http.auth import PROTOCOL, Caller
from corral.server.http.relay import relay


@websocket("/vms/{vm:str}/console", **about("VMs", role=Role.OPERATOR))
async def open_console(socket: WebSocket[Caller, Any, Any], vm: FromPath[str]) -> None:
    """Open the serial console of a running VM.

    A WebSocket; its binary frames are the bytes of the line, both ways. Browsers, which can't set headers, ask for
    the subprotocols `corral.console.v1` and `bearer.TOKEN`. The close reason says why it ended.
    """
    api = api_of(socket)
    found = api.mirror.find(VM, vm)
    session = await api.core.consoles.open(
        VmId(found.id)
    )  # before accepting: a refusal is a problem, with a status
    asked = [word.strip() for word in socket.headers.get("sec-websocket-protocol", "").split(",")]
    await socket.accept(subprotocols=PROTOCOL if PROTOCOL in asked else None)
    await relay(socket, session, api, VmId(found.id))


ROUTES = [open_console]
