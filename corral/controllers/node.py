"""Node controller: who is ready, cordoned, or silent."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from corral.controllers.desk import LeaderDesk, Seat
from corral.model.ids import NodeId
from corral.model.node import Node, NodePhase
from corral.store.interface import Change

LOOK_S = 1.0
ALL = "all"  # key of the look at every node


def next_phase(node: Node, *, lost: bool) -> NodePhase:
    """The phase that fits what is wanted of the node, and whether it has been silent for too long."""
    if lost:
        return NodePhase.JOINING if node.status.phase is NodePhase.JOINING else NodePhase.LOST
    if not node.status.inventory.cpus:
        return NodePhase.JOINING
    return NodePhase.CORDONED if node.spec.cordoned else NodePhase.READY


class NodeController(Seat):
    """One key a node, and one for a look at all of them once a second: silence is no change of the mirror."""

    name = "node"
    workers = 4

    def __init__(
        self, desk: LeaderDesk, silent_s: Callable[[NodeId], float], lost_after_s: Callable[[], float]
    ) -> None:
        super().__init__(desk)
        self.silent_s = silent_s  # seconds since the node was last heard
        self.lost_after_s = lost_after_s  # seconds of silence that are too long

    def all_keys(self) -> Iterable[str]:
        return [ALL]

    def keys(self, change: Change) -> Iterator[str]:
        if isinstance(change.resource, Node):
            yield change.resource.id

    async def reconcile(self, key: str) -> float | None:
        if key == ALL:
            after_s = self.lost_after_s()
            for node in self.mirror.list(Node):
                await self._settle(node, after_s)
            return LOOK_S
        if isinstance(found := self.mirror.get(key), Node):
            await self._settle(found, self.lost_after_s())
        return None

    async def _settle(self, node: Node, lost_after_s: float) -> None:
        phase = next_phase(node, lost=self.silent_s(NodeId(node.id)) > lost_after_s)
        if phase is not node.status.phase:
            status = msgspec.structs.replace(node.status, phase=phase, since=self.clock.now_s())
            level = "warning" if phase is NodePhase.LOST else "info"
            event = self.desk.event(node, f"node-{phase}", f"node {node.name} is {phase}", level)
            await self.desk.replace(node.having(status=status), events=[event])
