"""Totals: sums over all nodes and volumes, kept up to date from changes.

In this room   Totals
Comes in       nodes, volumes and pools as they change; figures as nodes tell them
Goes out       CPUs, bytes of memory and of pools, how much of each is in use, bytes promised to volumes
Always true    each is the sum over what the mirror has (tests compare it with a rebuild), and costs nothing to read;
               a shared pool counts once, as the node saw it that told of it last
Next door      overview.py shows them
Start here     Totals.changed()
"""

from collections.abc import Sequence

from msgspec import Struct

from corral.model.ids import NodeId, VmId
from corral.model.node import Node
from corral.model.pool import StoragePool
from corral.model.volume import Volume
from corral.server.ports import FigureSource
from corral.store.interface import Change, ChangeVerb
from corral.store.mirror import Mirror


class Share(Struct, frozen=True):
    """What one node adds."""

    cordoned: bool = False
    cpus: int = 0
    memory_bytes: int = 0


class Used(Struct, frozen=True):
    """What is in use of one node, by its last word."""

    cpus: float = 0.0
    memory_bytes: int = 0


class Totals:
    """Sums over all nodes and volumes."""

    def __init__(self, mirror: Mirror, hub: FigureSource) -> None:
        self.mirror, self.hub = mirror, hub
        self.cordoned = self.cpus = self.memory_bytes = 0
        self.used_cpus, self.used_memory_bytes = 0.0, 0
        self.pool_bytes = self.pool_free_bytes = self.volume_bytes = 0
        self._nodes: dict[str, Share] = {}
        self._used: dict[str, Used] = {}
        self._pools: dict[str, tuple[int, int]] = {}  # total and free bytes, by pool, or pool and node
        self._pools_of: dict[str, tuple[str, ...]] = {}  # keys in _pools, by node
        self._volumes: dict[str, int] = {}
        for node in mirror.list(Node):
            self._see_node(node)
            self.told(NodeId(node.id))
        for volume in mirror.list(Volume):
            self._see_volume(volume.id, volume.spec.size_bytes)
        hub.on_facts[self] = self.told
        self._stop = mirror.on_change(self.changed)

    def close(self) -> None:
        self._stop()
        self.hub.on_facts.pop(self, None)

    @property
    def told_of_use(self) -> bool:
        """Whether any node has said how much of it is in use."""
        return bool(self._used)

    @property
    def pools_seen(self) -> bool:
        return bool(self._pools)

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            gone = change.verb is ChangeVerb.REMOVE
            match change.resource:
                case Node() as node:
                    self._forget_node(node.id) if gone else self._see_node(node)
                case Volume() as volume:
                    self._see_volume(volume.id, None if gone else volume.spec.size_bytes)

    def told(self, id: NodeId, _: Sequence[VmId] = ()) -> None:
        """The node has sent figures."""
        node, latest = self.mirror.get(id), self.hub.facts_of(id)
        if isinstance(node, Node) and node.reachable and latest:
            cpus = latest.get("cpu_share", 0.0) * node.status.inventory.cpus
            self._use(id, Used(cpus, int(latest.get("memory_used_bytes", 0.0))))

    def _see_node(self, node: Node) -> None:
        inventory = node.status.inventory
        self._share(node.id, Share(node.spec.cordoned, inventory.cpus, inventory.memory_bytes))
        if not node.reachable:
            self._use(node.id, None)
        pools = {
            self._pool_key(pool, node.id): (seen.total_bytes, seen.free_bytes)
            for pool, seen in node.status.pools.items()
            if seen.ready
        }
        for key in self._pools_of.get(node.id, ()):
            if key not in pools and "@" in key:  # a shared one is still seen by others
                self._pool(key, None)
        for key, size in pools.items():
            self._pool(key, size)
        self._pools_of[node.id] = tuple(pools)

    def _forget_node(self, id: str) -> None:
        self._share(id, None)
        self._use(id, None)
        for key in self._pools_of.pop(id, ()):
            if "@" in key or not any(key in keys for keys in self._pools_of.values()):
                self._pool(key, None)

    def _pool_key(self, pool: str, node: str) -> str:
        found = self.mirror.get(pool)
        return pool if isinstance(found, StoragePool) and found.spec.shared else f"{pool}@{node}"

    def _share(self, id: str, new: Share | None) -> None:
        old, now = self._nodes.pop(id, Share()), new or Share()
        self.cordoned += now.cordoned - old.cordoned
        self.cpus += now.cpus - old.cpus
        self.memory_bytes += now.memory_bytes - old.memory_bytes
        if new:
            self._nodes[id] = new

    def _use(self, id: str, new: Used | None) -> None:
        old, now = self._used.pop(id, Used()), new or Used()
        self.used_cpus += now.cpus - old.cpus
        self.used_memory_bytes += now.memory_bytes - old.memory_bytes
        if new:
            self._used[id] = new

    def _pool(self, key: str, new: tuple[int, int] | None) -> None:
        old, now = self._pools.pop(key, (0, 0)), new or (0, 0)
        self.pool_bytes += now[0] - old[0]
        self.pool_free_bytes += now[1] - old[1]
        if new:
            self._pools[key] = new

    def _see_volume(self, id: str, size_bytes: int | None) -> None:
        self.volume_bytes += (size_bytes or 0) - self._volumes.pop(id, 0)
        if size_bytes is not None:
            self._volumes[id] = size_bytes
