"""Operation controller: writes down how far each request is, until it has ended."""

from collections.abc import Iterable, Iterator

from corral.controllers.desk import LeaderDesk, Seat
from corral.controllers.operation_plan import judge, looks_again_s
from corral.model.ids import NodeId
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.pool import StoragePool
from corral.model.resource import Resource
from corral.store.interface import Change

NOTE_S = 0.2  # at least so long between two notes of how far an operation is; its end is noted at once


class OperationController(Seat):
    """One key an operation that runs."""

    name = "operation"
    workers = 4

    def __init__(self, desk: LeaderDesk) -> None:
        super().__init__(desk)
        self.noted_s: dict[str, float] = {}  # monotonic time of the last note; only to spare commits

    def all_keys(self) -> Iterable[str]:
        return [op.id for op in self.mirror.select(Operation, "phase", "running")]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case Operation() as op:
                if not op.ended:
                    yield op.id
            case Node():
                yield from (op.id for op in self.mirror.select(Operation, "on_nodes", "yes"))
            case resource:
                for op in self.mirror.select(Operation, "target", resource.id):
                    if not op.ended:
                        yield op.id

    async def reconcile(self, key: str) -> float | None:
        op = self.mirror.get(key)
        if not isinstance(op, Operation) or op.ended:
            return None
        target, now_s = self.mirror.get(op.spec.target.id), self.clock.now_s()
        status = judge(op, target, self._nodes(target), now_s)
        if status.ended_at:
            self.noted_s.pop(key, None)
            await self.desk.replace(op.having(status=status))
            return None
        if status != op.status:
            if (early_s := self._too_early_s(key)) > 0:
                return early_s
            self.noted_s[key] = self.clock.monotonic_s()
            await self.desk.replace(op.having(status=status))
        return looks_again_s(op, status, target, now_s)

    def _too_early_s(self, key: str) -> float:
        """Seconds until the next note may be written. A quick operation is written twice: begun and ended."""
        now_s = self.clock.monotonic_s()
        return self.noted_s.setdefault(key, now_s) + NOTE_S - now_s

    def _nodes(self, target: Resource | None) -> tuple[Node, ...]:
        if not isinstance(target, StoragePool | Network):
            return ()
        return tuple(n for n in self.mirror.list(Node) if n.reachable and target.on(NodeId(n.id)))
