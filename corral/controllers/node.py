"""Node controller: who is ready, cordoned, or silent."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from corral.controllers.desk import LeaderDesk, Seat
from corral.model.ids import NodeId
from corral.model.node import Node, NodePhase
from corral.store.interface import Change

LOST_AFTER_S = 6.0  # of silence: three facts missed
LOOK_S = 1.0


def next_phase(node: Node, silent_s: float) -> NodePhase:
    """The phase that fits what is wanted of the node and how long it has been silent."""
    if silent_s > LOST_AFTER_S:
        return NodePhase.JOINING if node.status.phase is NodePhase.JOINING else NodePhase.LOST
    if not node.status.inventory.cpus:
        return NodePhase.JOINING
    return NodePhase.CORDONED if node.spec.cordoned else NodePhase.READY


class NodeController(Seat):
    """One key a node; each is looked at once a second."""

    name = "node"
    workers = 4

    def __init__(self, desk: LeaderDesk, silent_s: Callable[[NodeId], float]) -> None:
        super().__init__(desk)
        self.silent_s = silent_s  # seconds since the node was last heard

    def all_keys(self) -> Iterable[str]:
        return [n.id for n in self.mirror.list(Node)]

    def keys(self, change: Change) -> Iterator[str]:
        if isinstance(change.resource, Node):
            yield change.resource.id

    async def reconcile(self, key: str) -> float | None:
        node = self.mirror.get(key)
        if not isinstance(node, Node):
            return None
        phase = next_phase(node, self.silent_s(NodeId(node.id)))
        if phase is not node.status.phase:
            status = msgspec.structs.replace(node.status, phase=phase, since=self.clock.now_s())
            level = "warning" if phase is NodePhase.LOST else "info"
            event = self.desk.event(node, f"node-{phase}", f"node {node.name} is {phase}", level)
            await self.desk.replace(node.having(status=status), events=[event])
        return LOOK_S
