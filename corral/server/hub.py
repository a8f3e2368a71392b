"""Hub: the streams of all agents that are linked to this server.

In this room   sessions, one a linked node: assignments out, reports and facts in
Comes in       streams whose certificate was checked; changes of the mirror
Goes out       commits of what agents report (server/reports.py decides which); facts in ring buffers
Always true    a session sends only what its agent does not hold yet, and an agent is acknowledged only
               after its report is committed; one stream a node, the newest
Next door      assignments.py says what a node is to do; grpc_link.py brings the streams
Start here     Hub.serve()
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from corral.clock import Clock
from corral.controllers.settling import settled
from corral.errors import Conflict, CorralError, Unavailable
from corral.model.found import FoundDomain
from corral.model.ids import NetworkId, NodeId, VmId
from corral.model.link import (
    NODE_COLUMNS,
    VM_COLUMNS,
    Ack,
    Assign,
    Assignment,
    Facts,
    Hello,
    Report,
    ServerMessage,
    Welcome,
    digest,
)
from corral.model.node import Node
from corral.model.resource import Resource
from corral.model.vm import VM
from corral.server import assignments, reports
from corral.server.facts import FactRing, Series, VmRings, series
from corral.server.ports import AgentStream, FactListener
from corral.store.interface import Change, ChangeVerb, Put, Remove, Store, Write
from corral.store.mirror import Mirror

log = logging.getLogger("corral.hub")
FACTS_INTERVAL_S = (
    2.0  # of up to 200 nodes; more send less often, so that facts stay at 100 messages a second
)
FACTS_A_SECOND_MAX = 100.0
FACTS_MISSED = 3  # a node that is silent for so many intervals is lost
ASSIGN_MAX = 200  # assignments in one message: bounds its size


class NodeNotLinked(Unavailable):
    """No stream from that node's agent is open on this server."""

    code = "node.not_linked"


class Session:
    """One linked agent."""

    def __init__(self, stream: AgentStream) -> None:
        self.stream = stream
        self.node = stream.node
        self.held: dict[str, str] = {}  # digest by key: what the agent has
        self.dirty: dict[str, None] = {}  # keys to look at, in order
        self.wake = asyncio.Event()

    def mark(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.dirty[key] = None
        self.wake.set()


class Hub:
    """All linked agents, and what they said lately."""

    def __init__(self, store: Store, mirror: Mirror, clock: Clock) -> None:
        self.store, self.mirror, self.clock = store, mirror, clock
        self.sessions: dict[NodeId, Session] = {}
        self.heard_s: dict[NodeId, float] = {}  # monotonic time of the last word of each node
        self.started_s = clock.monotonic_s()
        self.facts: dict[NodeId, FactRing] = {}
        self.vm_facts_now: dict[VmId, tuple[float, ...]] = {}
        self.vm_rings = VmRings()
        self.on_facts: dict[object, FactListener] = {}  # by whom: told after each message of figures
        self.vm_nodes: dict[VmId, tuple[NodeId, ...]] = {}  # nodes that each VM named when it last changed
        self.vm_networks: dict[
            VmId, tuple[NetworkId, ...]
        ] = {}  # that each VM had a NIC on when it last changed
        self.vm_names: dict[VmId, str] = {}  # by which DNS knows it, where it does
        mirror.on_change(self._changed)

    async def serve(self, stream: AgentStream) -> None:
        """Talk to an agent until its stream breaks. raises CorralError when it does, or misbehaves"""
        hello = await stream.receive()
        if not isinstance(hello, Hello) or hello.node != stream.node:
            raise Unavailable("an agent has to say hello first, with the id of its certificate")
        older = self.sessions.get(stream.node)
        session = self.sessions[stream.node] = Session(stream)
        if older:
            await older.stream.close("a newer stream of this node has taken over")
        log.info("node linked", extra={"node": stream.node, "agent": hello.agent_version})
        try:
            await self._talk(session, hello)
        finally:
            if self.sessions.get(stream.node) is session:
                del self.sessions[stream.node]

    async def send(self, node: NodeId, message: ServerMessage) -> None:
        """Raises NodeNotLinked"""
        session = self.sessions.get(node)
        if session is None:
            raise NodeNotLinked(f"node {node} is not linked to this server", node=node)
        await session.stream.send(message)

    async def cut(self, node: NodeId, reason: str) -> None:
        """End the stream of a node, if there is one."""
        if session := self.sessions.get(node):
            await session.stream.close(reason)

    def linked(self, node: NodeId) -> bool:
        return node in self.sessions

    def silent_s(self, node: NodeId) -> float:
        """Seconds since the node was last heard; since the start of this server if it never was."""
        return self.clock.monotonic_s() - self.heard_s.get(node, self.started_s)

    def expect_again(self) -> None:
        """Nodes that were not heard yet have had no chance until now."""
        self.started_s = self.clock.monotonic_s()

    def facts_interval_s(self) -> float:
        """Seconds between two messages of facts of a node."""
        return max(FACTS_INTERVAL_S, len(self.mirror.list(Node)) / FACTS_A_SECOND_MAX)

    def lost_after_s(self) -> float:
        """Seconds of silence after which a node is lost."""
        return FACTS_MISSED * self.facts_interval_s()

    def facts_of(self, node: NodeId) -> dict[str, float] | None:
        """The node's latest figures, by column (NODE_COLUMNS)."""
        ring = self.facts.get(node)
        return dict(zip(NODE_COLUMNS, ring.last, strict=False)) if ring and ring.last else None

    def vm_facts(self, vm: VmId) -> dict[str, float] | None:
        """The VM's latest figures, by column (VM_COLUMNS)."""
        row = self.vm_facts_now.get(vm)
        return dict(zip(VM_COLUMNS, row, strict=False)) if row else None

    def series_of(self, node: NodeId) -> Series:
        """The node's figures of the last minutes."""
        return series(self.facts.get(node), NODE_COLUMNS)

    def vm_series(self, vm: VmId) -> Series:
        """The VM's figures of the last minutes, as far as they were kept; they are from now on."""
        return series(self.vm_rings.ask(vm), VM_COLUMNS)

    async def _talk(self, session: Session, hello: Hello) -> None:
        node = self.mirror.get(session.node)
        if not isinstance(node, Node):
            raise Unavailable(f"node {session.node} is not known", node=session.node)
        self._heard(session.node)
        known = reports.held(self.mirror, session.node)
        await session.stream.send(Welcome(reported=known, facts_interval_s=self.facts_interval_s()))
        session.held = dict(hello.assigned)
        session.mark([*hello.assigned, *assignments.keys_of(self.mirror, session.node)])
        sender = asyncio.create_task(self._send_assignments(session), name=f"assign {session.node}")
        receiver = asyncio.create_task(self._receive(session, hello), name=f"receive {session.node}")
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, receiver):
                task.cancel()
            ends = await asyncio.gather(sender, receiver, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _send_assignments(self, session: Session) -> None:
        while True:
            await session.wake.wait()
            session.wake.clear()
            keys, session.dirty = list(session.dirty), {}
            for start in range(0, len(keys), ASSIGN_MAX):
                if message := self._difference(session, keys[start : start + ASSIGN_MAX]):
                    await session.stream.send(message)

    def _difference(self, session: Session, keys: Sequence[str]) -> Assign | None:
        """What the agent has to hear about these keys; notes that it will have been told."""
        items: list[Assignment] = []
        forget: list[str] = []
        for key in keys:
            wanted = assignments.assignment(self.mirror, session.node, key)
            if wanted is None:
                if session.held.pop(key, None) is not None:
                    forget.append(key)
            elif session.held.get(key) != (new := digest(wanted)):
                session.held[key] = new
                items.append(wanted)
        return Assign(items=tuple(items), forget=tuple(forget)) if items or forget else None

    async def _receive(self, session: Session, hello: Hello) -> None:
        await self._note_version(session.node, hello.agent_version)
        while True:
            message = await session.stream.receive()
            self._heard(session.node)
            match message:
                case Report():
                    await self._commit(session.node, message)
                    await session.stream.send(Ack(seq=message.seq))
                case Facts():
                    self._note_facts(session.node, message)

    async def _note_version(self, id: NodeId, version: str) -> None:
        node = self.mirror.get(id)
        if isinstance(node, Node) and node.status.agent_version != version:
            await self._put(lambda: reports.with_version(self.mirror, id, version))

    async def _commit(self, node: NodeId, report: Report) -> None:
        """Write down what is new in the report, however often somebody else was faster."""
        await self._put(lambda: settled(self.mirror, reports.merged(self.mirror, node, report), self.clock))

    async def _put(self, plan: "reports.Plan") -> None:
        while True:
            changed: Sequence[Resource] = tuple(plan())
            if not changed:
                return
            try:
                stored = await self.store.commit(
                    [_write(r) for r in changed], expect={r.id: r.revision for r in changed}
                )
                await self.mirror.wait_for(max(r.revision for r in stored))
                return
            except Conflict:
                await self.clock.sleep(0.002)  # the mirror is about to see what was faster
            except CorralError as error:
                if not error.retryable:
                    raise
                await self.clock.sleep(0.5)

    def _heard(self, node: NodeId) -> None:
        self.heard_s[node] = self.clock.monotonic_s()

    def _note_facts(self, node: NodeId, facts: Facts) -> None:
        now_s = self.clock.now_s()
        self.facts.setdefault(node, FactRing(len(NODE_COLUMNS))).add(now_s, facts.node)
        for vm, row in zip(facts.vm_ids, facts.vms, strict=False):
            self.vm_facts_now[vm] = row
            self.vm_rings.note(vm, now_s, row)
        for tell in tuple(self.on_facts.values()):
            tell(node, facts.vm_ids)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change.resource, VM):
                self._vm_changed(change.resource, removed=change.verb is ChangeVerb.REMOVE)
            for node, key in assignments.touched(self.mirror, change):
                self._mark(node, key)

    def _mark(self, node: NodeId | None, key: str) -> None:
        if node is None:
            for session in self.sessions.values():
                session.mark((key,))
        elif linked := self.sessions.get(node):
            linked.mark((key,))

    def _vm_changed(self, vm: VM, *, removed: bool) -> None:
        """Mark the nodes that had to do with the VM until now: it may not name them any more."""
        networks = tuple(dict.fromkeys(nic.network for nic in vm.spec.nics))
        keys = (vm.id, *networks, *self.vm_networks.get(VmId(vm.id), ()))
        for node in self.vm_nodes.get(VmId(vm.id), ()):
            for key in keys:
                self._mark(node, key)
        if self.vm_names.get(VmId(vm.id), vm.name) != vm.name:
            for nic in vm.spec.nics:
                if assignments.names_everywhere(self.mirror, nic.network):
                    self._mark(None, nic.network)
        if removed:
            self.vm_names.pop(VmId(vm.id), None)
            self.vm_nodes.pop(VmId(vm.id), None)
            self.vm_networks.pop(VmId(vm.id), None)
            self.vm_facts_now.pop(VmId(vm.id), None)
            self.vm_rings.forget(VmId(vm.id))
        else:
            self.vm_names[VmId(vm.id)] = vm.name
            self.vm_networks[VmId(vm.id)] = networks
            self.vm_nodes[VmId(vm.id)] = tuple(dict.fromkeys((*vm.status.traces, *vm.claimed_on)))


def _write(resource: Resource) -> Write:
    """A found domain that is there no more just goes: nothing of it is Corral's."""
    gone = isinstance(resource, FoundDomain) and resource.deleting
    return Remove(resource.id) if gone else Put(resource)
