"""Wire: streams between agents and servers, with the failures of a network.

In this room   SimLink, an agent's way to the server of the moment; a stream is two ordered pipes
Comes in       Weather: delays, losses, doublings, cuts, by seed
Goes out       messages, in order; what is lost takes the rest of its stream with it, as in TCP
Always true    the sender never learns what was lost; it only learns, later, that the stream broke
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from corral.agent.ports import ConsoleStream, LinkDown
from corral.errors import CorralError
from corral.model.ids import NodeId
from corral.model.link import (
    AgentMessage,
    ImageSource,
    ServerMessage,
    decode_agent_message,
    decode_server_message,
    encode_message,
)
from tests.sim.loop import SimClock


@dataclass
class Weather:
    """How the network is. All chances are per message."""

    chance: Random
    lose: float = 0.0  # the message and all after it vanish, then the stream breaks
    double: float = 0.0  # arrives twice
    late: float = 0.0  # takes seconds
    delay_s: tuple[float, float] = (0.0005, 0.005)
    struck: Counter[str] = field(default_factory=Counter)

    def strikes(self, what: str) -> bool:
        hit = self.chance.random() < float(getattr(self, what.removesuffix("_message")))
        if hit:
            self.struck[what] += 1
        return hit

    def calm(self) -> None:
        self.lose = self.double = self.late = 0.0


class Pipe:
    """One direction of a stream."""

    def __init__(self, weather: Weather, clock: SimClock, decode: Callable[[bytes], Any]) -> None:
        self.weather, self.clock, self.decode = weather, clock, decode
        self.arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.broken = self.leaking = False
        self.due_s = 0.0

    def send(self, message: AgentMessage | ServerMessage) -> None:
        if self.broken:
            raise LinkDown("the stream is broken")
        if self.leaking:
            return
        if self.weather.strikes("lose_message"):
            self.leaking = True
            asyncio.get_running_loop().call_later(self.weather.chance.uniform(0.1, 4.0), self.breaks)
            return
        data = encode_message(message)
        delay_s = self.weather.chance.uniform(*self.weather.delay_s)
        if self.weather.strikes("late_message"):
            delay_s += self.weather.chance.uniform(0.5, 5.0)
        self._deliver(data, delay_s)
        if self.weather.strikes("double_message"):
            self._deliver(data, delay_s)

    def _deliver(self, data: bytes, delay_s: float) -> None:
        self.due_s = max(self.due_s + 1e-6, self.clock.monotonic_s() + delay_s)  # in order
        asyncio.get_running_loop().call_at(self.due_s, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if not self.broken:
            self.arrived.put_nowait(data)

    async def receive(self) -> Any:
        data = None if self.broken else await self.arrived.get()
        if data is None or self.broken:
            raise LinkDown("the stream broke")
        return self.decode(data)

    def breaks(self) -> None:
        self.broken = True
        self.arrived.put_nowait(None)


class Wire:
    """A stream: what the agent and the server hold are its two ends."""

    def __init__(self, node: NodeId, weather: Weather, clock: SimClock) -> None:
        self.node = node
        self.up = Pipe(weather, clock, decode_agent_message)
        self.down = Pipe(weather, clock, decode_server_message)

    def breaks(self) -> None:
        self.up.breaks()
        self.down.breaks()


class End:
    """One end of a wire: a Stream for the agent, an AgentStream for the server."""

    def __init__(self, wire: Wire, out: Pipe, back: Pipe) -> None:
        self.wire, self.out, self.back, self.node = wire, out, back, wire.node

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.out.send(message)

    async def receive(self) -> Any:
        return await self.back.receive()

    async def close(self, reason: str = "") -> None:
        self.wire.breaks()


class SimLink:
    """An agent's way to whatever server is up."""

    def __init__(self, node: NodeId, dial: Callable[[Wire], bool], weather: Weather, clock: SimClock) -> None:
        self.node, self._dial, self.weather, self.clock = node, dial, weather, clock
        self.cut = False
        self.wires: list[Wire] = []

    async def dial(self) -> End:
        await self.clock.sleep(self.weather.chance.uniform(*self.weather.delay_s))
        wire = Wire(self.node, self.weather, self.clock)
        if self.cut or not self._dial(wire):
            raise LinkDown("nobody answers")
        self.wires = [w for w in self.wires if not w.up.broken] + [wire]
        return End(wire, wire.up, wire.down)

    async def fetch(self, image: ImageSource) -> AsyncIterator[bytes]:
        if self.cut:
            raise LinkDown("nobody answers")
        await self.clock.sleep(0.01)
        yield b"image"

    async def console(self, session: str) -> ConsoleStream:
        raise LinkDown("no consoles in simulation")

    async def no_console(self, session: str, why: CorralError) -> None:
        raise LinkDown("no consoles in simulation")

    def cut_off(self) -> None:
        """Every stream stalls at once and breaks a little later; nothing new gets through."""
        self.cut = True
        for wire in self.wires:
            wire.up.leaking = wire.down.leaking = True
            asyncio.get_running_loop().call_later(self.weather.chance.uniform(0.5, 8.0), wire.breaks)

    def heal(self) -> None:
        self.cut = False
