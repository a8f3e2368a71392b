"""Relay: bytes between a WebSocket and a console, until one of the two ends.

In this room   relay(), and the reasons for its end
Comes in       an accepted WebSocket, an open ConsoleSession
Goes out       binary frames; a close with a code and a reason
Always true    both ends are closed when relay() returns, whichever ended first; the session ends at once when the
               user's rights do: the token is revoked or expires, or the VM goes
Next door      routes/console.py opens both; server/consoles.py has the session
Start here     relay()
"""

import asyncio
import contextlib
from enum import IntEnum
from typing import Any

from litestar import WebSocket
from litestar.exceptions import WebSocketDisconnect
from msgspec import Struct

from corral.errors import CorralError
from corral.model.ids import VmId
from corral.server.http.api import Api
from corral.server.http.auth import Caller, still_valid
from corral.server.http.ports import ConsoleSession

LOOK_S = (
    15.0  # between two looks whether the token is still good; a change and its expiry are looked at at once
)
REASON_BYTES_MAX = 120  # the protocol allows 123


class Close(IntEnum):
    """Close codes (RFC 6455); those from 4000 on are ours."""

    NORMAL = 1000
    GOING_AWAY = 1001
    INTERNAL = 1011
    REVOKED = 4401
    VM_GONE = 4404
    MOVED = 4409  # the VM went to another node: open the console again
    ENDED = 4410  # by an operator, or by a newer serial console


class End(Struct, frozen=True):
    """Why a relay ended. No code: the user hung up, there is nobody to tell."""

    code: Close | None
    reason: str


async def relay(socket: WebSocket[Caller, Any, Any], session: ConsoleSession, api: Api, vm: VmId) -> None:
    """Carry bytes both ways until the user, the VM, the session or the server ends it."""
    ends = [
        asyncio.create_task(_to_user(socket, session, api, vm), name="console to user"),
        asyncio.create_task(_to_guest(socket, session), name="console to guest"),
        asyncio.create_task(_look(socket.user, api, vm), name="console looks"),
    ]
    end = End(Close.INTERNAL, "internal")
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        end = next(task for task in ends if task.done()).result()
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        await session.close(end.reason)
        if end.code is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # gone by itself meanwhile
                await socket.close(code=end.code, reason=_short(end.reason))


async def _to_user(socket: WebSocket[Caller, Any, Any], session: ConsoleSession, api: Api, vm: VmId) -> End:
    try:
        while data := await session.read():
            await socket.send_bytes(data)
    except CorralError as error:
        return End(Close.NORMAL, error.message)
    except WebSocketDisconnect:
        return End(None, "the user hung up")
    if api.mirror.get(vm) is None:
        return End(Close.VM_GONE, "the VM is gone")
    if session.moved:
        return End(Close.MOVED, "the VM has moved to another node: open the console again")
    if session.over:
        return End(Close.ENDED, session.over)
    return End(Close.NORMAL, "the console session has ended")


async def _to_guest(socket: WebSocket[Caller, Any, Any], session: ConsoleSession) -> End:
    """Text frames are taken as UTF-8: some terminals send nothing else."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return End(None, "the user hung up")
        if message["type"] != "websocket.receive":
            continue
        data = message.get("bytes") or (message.get("text") or "").encode()
        try:
            await session.write(data)
        except CorralError as error:
            return End(Close.NORMAL, error.message)


async def _look(caller: Caller, api: Api, vm: VmId) -> End:
    """Ends when the VM goes, the token does not hold any more, or the server stops."""
    while True:
        await api.watches.news(min(LOOK_S, _left_s(caller, api)))
        if api.watches.closing:
            return End(Close.GOING_AWAY, "the server is shutting down")
        if api.mirror.get(vm) is None:
            return End(Close.VM_GONE, "the VM is gone")
        if not still_valid(caller, api.mirror, api.sessions):
            return End(Close.REVOKED, "the token is not valid any more")


def _left_s(caller: Caller, api: Api) -> float:
    """Seconds until the token expires, and a moment."""
    return LOOK_S if caller.expires_at is None else max(0.0, caller.expires_at - api.clock.now_s()) + 0.01


def _short(reason: str) -> str:
    return reason.encode()[:REASON_BYTES_MAX].decode("utf-8", "ignore")
