"""Operation controller: writes down how far each request is, until it has ended."""

from collections.abc import Iterable, Iterator

from corral.controllers.desk import Seat
from corral.controllers.operation_plan import judge, looks_again_s
from corral.model.ids import NodeId
from corral.model.network import Network
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.pool import StoragePool
from corral.model.resource import Resource
from corral.store.interface import Change


class OperationController(Seat):
    """One key an operation that runs."""

    name = "operation"
    workers = 16

    def all_keys(self) -> Iterable[str]:
        return [op.id for op in self.mirror.select(Operation, "phase", "running")]

    def keys(self, change: Change) -> Iterator[str]:
        match change.resource:
            case Operation() as op:
                if not op.ended:
                    yield op.id
            case Node():
                for op in self.mirror.select(Operation, "phase", "running"):
                    if op.spec.target.kind in ("StoragePool", "Network"):
                        yield op.id
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
        if status != op.status:
            await self.desk.replace(op.having(status=status))
        return None if status.ended_at else looks_again_s(op, status, target, now_s)

    def _nodes(self, target: Resource | None) -> tuple[Node, ...]:
        if not isinstance(target, StoragePool | Network):
            return ()
        return tuple(n for n in self.mirror.list(Node) if n.reachable and target.on(NodeId(n.id)))
