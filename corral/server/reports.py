"""Reports: what an agent says, merged into the statuses of the resources that it is about.

In this room   pure functions from mirror and report to the resources that change
Always true    only what differs is written; a report about something unknown is left out; a node that
               reports a VM it should not have is added to the VM's traces, so that it is told to let go
Next door      hub.py commits what merged() returns
Start here     merged()
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec import Struct

from corral.model.found import FoundAll, FoundDomain, FoundSpec, found_id
from corral.model.ids import NodeId
from corral.model.image import Image
from corral.model.link import Report, digest
from corral.model.node import Inventory, Node, PoolOnNode
from corral.model.pool import StoragePool
from corral.model.resource import Resource, Trouble
from corral.model.vm import VM, DomainState, VMReport
from corral.model.volume import ObjectReport, ObjectState, Volume
from corral.server.sane import absurd, absurd_pool
from corral.store.mirror import Mirror

Plan = Callable[[], Iterable[Resource]]
R = TypeVar("R", bound=Resource)


def held(mirror: Mirror, id: NodeId) -> dict[str, str]:
    """Digests, as model/link.report_digests() makes them, of what the store holds of this node's reports."""
    node = mirror.get(id)
    if not isinstance(node, Node):
        return {}
    parts: dict[str, Struct] = {"inventory/": node.status.inventory}
    parts |= {f"pools/{key}": pool for key, pool in node.status.pools.items()}
    parts |= {f"networks/{key}": network for key, network in node.status.networks.items()}
    for volume in mirror.select(Volume, "at", id):
        status = volume.status
        if report := status.report if status.node == id else status.elsewhere.get(id):
            parts[f"volumes/{volume.id}"] = report
    for vm in mirror.select(VM, "node", id):
        if seen := vm.status.reports.get(id):
            parts[f"vms/{vm.id}"] = seen
    found = mirror.select(FoundDomain, "node", id)
    parts |= {f"found/{domain.spec.uuid}": domain.status for domain in found}
    parts["found_all/"] = FoundAll(uuids=tuple(sorted(domain.spec.uuid for domain in found)))
    for image in mirror.list(Image):
        for copy in image.status.copies.values():
            if copy.node == id and copy.report:
                parts[f"images/{image.id}@{copy.pool}"] = copy.report
    return {key: digest(part) for key, part in parts.items()}


def merged(mirror: Mirror, id: NodeId, report: Report) -> list[Resource]:
    """The resources that the report changes, as they will be; their revision is the one decided on."""
    changed: list[Resource] = []
    changed += _node(mirror, id, report)
    changed += (r for key, part in report.volumes.items() for r in _volume(mirror, id, key, part))
    changed += (r for key, part in report.vms.items() for r in _vm(mirror, id, key, part))
    changed += _images(mirror, id, report.images)
    changed += _found(mirror, id, report)
    return changed


def with_version(mirror: Mirror, id: NodeId, version: str) -> list[Resource]:
    node = mirror.get(id)
    return list(_status(node, agent_version=version)) if isinstance(node, Node) else []


def _node(mirror: Mirror, id: NodeId, report: Report) -> Iterator[Resource]:
    node = mirror.get(id)
    if isinstance(node, Node):
        trouble = _refused(node, report.inventory)
        taken = report.inventory if report.inventory and not trouble else node.status.inventory
        yield from _status(
            node,
            inventory=taken,
            trouble=trouble,
            pools={**node.status.pools, **_marked(node.status.pools, _sane(report.pools))},
            networks={
                key: on
                for key, on in {**node.status.networks, **report.networks}.items()
                if mirror.get(key) is not None  # what is told of one that was deleted since is old news
            },
        )
    for key, seen in report.pools.items():
        pool = mirror.get(key)
        if isinstance(pool, StoragePool) and pool.spec.shared and seen.marker and not pool.status.marker:
            yield from _status(pool, marker=seen.marker)


def _refused(node: Node, inventory: Inventory | None) -> Trouble | None:
    """Why this inventory can't be taken; without one, what was said of the last."""
    if inventory is None:
        return node.status.trouble
    if not (why := absurd(inventory)):
        return None
    return Trouble(
        code="node.absurd_inventory",
        message=f"what its agent says of the host can't be: {why}; the last that could is kept",
        hint="See what `corral doctor` says on that host.",
    )


def _sane(pools: dict[str, PoolOnNode]) -> dict[str, PoolOnNode]:
    """A pool with numbers that can't be is not ready, and says why."""
    return {key: _or_trouble(pool, absurd_pool(pool)) for key, pool in pools.items()}


def _or_trouble(pool: PoolOnNode, why: str) -> PoolOnNode:
    trouble = Trouble(code="node.absurd_inventory", message=f"its agent says that {why}")
    return PoolOnNode(ready=False, marker=pool.marker, trouble=trouble) if why else pool


def _marked(old: dict[str, PoolOnNode], new: dict[str, PoolOnNode]) -> dict[str, PoolOnNode]:
    """A pool that can't be opened has no marker to tell: the one it had is what it is looked for by."""
    return {
        key: seen if seen.marker or key not in old else msgspec.structs.replace(seen, marker=old[key].marker)
        for key, seen in new.items()
    }


def _volume(mirror: Mirror, id: NodeId, key: str, part: ObjectReport) -> Iterator[Resource]:
    volume = mirror.get(key)
    if isinstance(volume, Volume) and volume.status.node == id:
        made = volume.status.made or part.state is ObjectState.READY
        yield from _status(volume, report=part, made=made)
    elif isinstance(volume, Volume) and id in volume.status.traces:
        yield from _status(volume, elsewhere={**volume.status.elsewhere, id: part})


def _vm(mirror: Mirror, id: NodeId, key: str, part: VMReport) -> Iterator[Resource]:
    vm = mirror.get(key)
    if not isinstance(vm, VM):
        return
    traces = vm.status.traces
    if id not in traces:
        if part.state is DomainState.ABSENT:
            return
        traces = tuple(sorted({*traces, id}))
    yield from _status(vm, traces=traces, reports={**vm.status.reports, id: part})


def _found(mirror: Mirror, id: NodeId, report: Report) -> Iterator[Resource]:
    """Found domains as they are now; one that is there no more comes with `deleted_at`."""
    node = mirror.get(id)
    if not isinstance(node, Node):
        return
    for uuid, part in report.found.items():
        known = mirror.get(found_id(id, uuid))
        if isinstance(known, FoundDomain):
            yield from [known.having(status=part)] if known.status != part else []
        else:
            spec = FoundSpec(node=id, uuid=uuid)
            yield FoundDomain(id=found_id(id, uuid), name=f"{node.name}.{uuid}", spec=spec, status=part)
    if report.found_all is not None:
        there = {*report.found_all.uuids, *report.found}
        for domain in mirror.select(FoundDomain, "node", id):
            if domain.spec.uuid not in there:
                yield domain.having(deleted_at=0.0)


def _images(mirror: Mirror, id: NodeId, parts: dict[str, ObjectReport]) -> Iterator[Resource]:
    by_image: dict[str, dict[str, ObjectReport]] = {}
    for key, part in parts.items():
        image_id, _, pool = key.partition("@")
        by_image.setdefault(image_id, {})[pool] = part
    for image_id, news in by_image.items():
        image = mirror.get(image_id)
        if isinstance(image, Image):
            copies = {
                key: msgspec.structs.replace(copy, report=news[copy.pool])
                if copy.node == id and copy.pool in news
                else copy
                for key, copy in image.status.copies.items()
            }
            yield from _status(image, copies=copies)


def _status(resource: R, **fields: object) -> Iterator[R]:
    """The resource with these fields of its status replaced; nothing if that is no change."""
    old = resource.status  # type: ignore[attr-defined]
    new = msgspec.structs.replace(old, **fields)
    if new != old:
        yield resource.having(status=new)
