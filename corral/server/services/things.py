"""Pools, nodes: what users can ask for about them."""

from typing import Final, TypeVar

import msgspec
from msgspec import UNSET

from corral.clock import new_id
from corral.errors import CorralError, InUse, Invalid
from corral.model.found import FoundDomain
from corral.model.ids import NodeId
from corral.model.node import Node, NodeSpec
from corral.model.operation import Operation, Verb
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Resource
from corral.model.units import parse_size
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.services.asking import Asking
from corral.server.services.base import LABEL, Change, Desk, check_labels, check_name
from corral.server.services.hardware import CPU_SET
from corral.server.services.requests import (
    CreatePool,
    UpdateLabels,
    UpdateNode,
)
from corral.store.interface import Put, Remove

R = TypeVar("R", bound=Resource)
NODE_MAX: Final = 100_000_000  # of anything that a node is said to have


class NodeHasVMs(CorralError):
    """A node can't be removed while VMs belong to it."""

    code = "node.has_vms"
    status = 409

    def __init__(self, node: Node, count: int) -> None:
        super().__init__(
            f"{count} VMs are on node {node.name}",
            hint="Migrate or delete them first. --force gives them up: use it only if the machine is gone for good.",
            node=node.id,
            count=count,
        )


class Things:
    """What the services of simple kinds share."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    def _new(self, resource: Resource, *, done: bool) -> Change:
        check_name(resource.name)
        check_labels(resource.labels)
        return Change(
            target=resource, writes=(Put(resource),), expect={resource.id: 0}, verb=Verb.CREATE, done=done
        )

    def _replace(self, old: R, new: R, verb: Verb, *, done: bool) -> Change:
        check_labels(new.labels)
        return Change(target=new, writes=(Put(new),), expect={old.id: old.revision}, verb=verb, done=done)

    def _relabel(self, old: R, labels: dict[str, str]) -> Change:
        return self._replace(old, old.having(labels=labels), Verb.UPDATE, done=True)

    def _going(self, old: R) -> Change:
        """Deleted by its controller, when all of it is gone."""
        gone = old.having(deleted_at=old.deleted_at or self.clock.now_s(), generation=old.generation + 1)
        return self._replace(old, gone, Verb.DELETE, done=False)

    def _gone(self, old: Resource) -> Change:
        """Deleted at once: nothing of it is anywhere else."""
        return Change(
            target=old, writes=(Remove(old.id),), expect={old.id: old.revision}, verb=Verb.DELETE, done=True
        )


class Pools(Things):
    """Requests about storage pools."""

    async def create(self, ask: CreatePool, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, pool: str, ask: UpdateLabels, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._relabel(self.mirror.find(StoragePool, pool), ask.labels)
        )

    async def delete(self, pool: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(StoragePool, pool)))

    def _create(self, ask: CreatePool) -> Change:
        if not ask.path.startswith("/") or ".." in ask.path.split("/") or ask.path == "/":
            raise Invalid("path", ask.path, "an absolute path without ..")
        pool = StoragePool(
            id=new_id("pool", self.clock),
            name=ask.name,
            labels=ask.labels,
            created_at=self.clock.now_s(),
            spec=StoragePoolSpec(
                path=ask.path.rstrip("/"),
                shared=ask.shared,
                nodes=tuple(NodeId(self.mirror.find(Node, n).id) for n in ask.nodes),
            ),
        )
        return self._new(pool, done=False)

    def _delete(self, pool: StoragePool) -> Change:
        if volumes := self.mirror.select(Volume, "pool", pool.id):
            raise InUse("StoragePool", pool.name, f"Volume {volumes[0].name}")
        return self._gone(pool)


def _sized(spec: NodeSpec, ask: UpdateNode) -> NodeSpec:
    """What the operator says that the node can give. raises Invalid"""
    for field in ("reserve_cpus", "iops", "network_mbit", "power_watts", "idle_watts"):
        number = getattr(ask, field)
        if number is UNSET:
            continue
        if not 0 <= number <= NODE_MAX:
            raise Invalid(field, number, f"a number from 0 to {NODE_MAX}")
        spec = msgspec.structs.replace(spec, **{field: number})
    if spec.power_watts and spec.idle_watts >= spec.power_watts:
        raise Invalid("idle_watts", spec.idle_watts, f"less than power_watts, {spec.power_watts}")
    if ask.dedicated_cpus is not UNSET:
        if ask.dedicated_cpus and not CPU_SET.fullmatch(ask.dedicated_cpus):
            raise Invalid("dedicated_cpus", ask.dedicated_cpus, "a set of CPUs like 4-15")
        spec = msgspec.structs.replace(spec, dedicated_cpus=ask.dedicated_cpus)
    if ask.rack is not UNSET:
        if ask.rack and not LABEL.fullmatch(ask.rack):
            raise Invalid("rack", ask.rack, "letters, digits and ._/-")
        spec = msgspec.structs.replace(spec, rack=ask.rack)
    return spec


class Nodes(Things):
    """Requests about nodes. They come by joining (server/joining.py), not by a request here."""

    async def update(self, node: str, ask: UpdateNode, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._update(self.mirror.find(Node, node), ask))

    async def remove(self, node: str, asking: Asking, *, force: bool = False) -> Operation:
        """Take it out; its certificate is worth nothing from then on. `force` gives up the VMs on it."""
        return await self.desk.submit(asking, lambda: self._remove(self.mirror.find(Node, node), force))

    def _update(self, node: Node, ask: UpdateNode) -> Change:
        spec = node.spec
        if ask.cordoned is not UNSET:
            spec = msgspec.structs.replace(spec, cordoned=ask.cordoned)
        if ask.reserve_memory is not UNSET:
            spec = msgspec.structs.replace(
                spec, reserve_memory_bytes=parse_size(ask.reserve_memory, "reserve_memory")
            )
        for field in ("cpu_overcommit", "memory_overcommit", "io_overcommit", "network_overcommit"):
            ratio = getattr(ask, field)
            if ratio is UNSET:
                continue
            if not 0.1 <= ratio <= 64:
                raise Invalid(field, ratio, "a ratio from 0.1 to 64")
            spec = msgspec.structs.replace(spec, **{field: float(ratio)})
        spec = _sized(spec, ask)
        labels = node.labels if ask.labels is UNSET else ask.labels
        new = node.having(labels=labels, spec=spec, generation=node.generation + 1)
        return self._replace(node, new, Verb.UPDATE, done=True)

    def _remove(self, node: Node, force: bool) -> Change:
        vms = self.mirror.select(VM, "node", node.id)
        if vms and not force:
            raise NodeHasVMs(node, len(vms))
        found = self.mirror.select(FoundDomain, "node", node.id)
        return Change(
            target=node,
            writes=(Remove(node.id), *(Remove(domain.id) for domain in found)),
            expect={r.id: r.revision for r in (node, *found)},
            verb=Verb.DELETE,
            done=True,
        )
