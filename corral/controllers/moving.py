"""Moving: what changes together with a migration's begin and end, in one commit with the VM.

In this room   pure: volumes that go along, copies of their images, what is known of the link between two nodes
Comes in       a VM before and after its plan; a way to look up resources
Goes out       the other resources that change
Always true    a node is noted in a volume's traces before it may make a file of it, and stays there until it said,
               about that very stint, that the file is gone
Next door      vm.py and settling.py commit; assignments.py tells nodes to make and delete files
Start here     with_migration()
"""

from collections.abc import Callable, Iterable

import msgspec

from corral.controllers.copies import needed
from corral.controllers.forecast import learned
from corral.model.ids import NodeId
from corral.model.image import Image, ImageCopy
from corral.model.migration import Migration
from corral.model.node import Node
from corral.model.pool import StoragePool
from corral.model.resource import Resource
from corral.model.vm import VM
from corral.model.volume import Volume, VolumeStatus

Get = Callable[[str], Resource | None]


def with_migration(get: Get, old: VM, new: VM) -> list[Resource]:
    """What changes besides the VM."""
    before, after = old.status.migration, new.status.migration
    volumes = _volumes(get, before or after)
    if before is None and after:
        moving = [v.having(status=begin_moving(v.status, after.target)) for v in volumes]
        return [*moving, *images_with_copies(get, moving, after.target)]
    if before is None or after:
        return []
    ended = [v.having(status=end_moving(v.status, before, new.status.node)) for v in volumes]
    return [*ended, *_link(get, before, new)]


def _volumes(get: Get, migration: Migration | None) -> list[Volume]:
    return [v for id in migration.volumes if isinstance(v := get(id), Volume)] if migration else []


def _link(get: Get, migration: Migration, vm: VM) -> list[Resource]:
    """The source, with what the migration taught about its link to the target."""
    result, source = vm.status.last_migration, get(migration.source)
    if (
        result is None
        or result.wish != migration.wish
        or result.figures is None
        or not isinstance(source, Node)
    ):
        return []
    old = source.status.links.get(migration.target)
    link = learned(old, result.figures, migration.forecast, migration.how)
    if link is None or link == old:
        return []
    links = {**source.status.links, migration.target: link}
    return [source.having(status=msgspec.structs.replace(source.status, links=links))]


def begin_moving(status: VolumeStatus, target: NodeId) -> VolumeStatus:
    """The status of a volume whose VM begins to migrate to another node, and which goes along."""
    return msgspec.structs.replace(
        status,
        moving_to=target,
        traces=tuple(sorted({*status.traces, target})),
        elsewhere={n: r for n, r in status.elsewhere.items() if n != target},
        stint=status.stint + 1,
    )


def end_moving(status: VolumeStatus, migration: Migration, owner: NodeId | None) -> VolumeStatus:
    """The same when that has ended, with the VM on `owner`: the file on the other node has to go."""
    stays = msgspec.structs.replace(status, moving_to=None, stint=status.stint + 1)
    if owner != migration.target:
        return stays
    return msgspec.structs.replace(
        stays,
        node=migration.target,
        report=status.elsewhere.get(migration.target, status.report),
        traces=tuple(sorted({*status.traces, migration.source} - {migration.target})),
        elsewhere={
            n: r for n, r in status.elsewhere.items() if n not in (migration.source, migration.target)
        },
    )


def images_with_copies(get: Get, volumes: Iterable[Volume], target: NodeId | None = None) -> list[Image]:
    """Images of these volumes that do not know yet that the volumes' nodes (or `target`) will hold a copy."""
    images: dict[str, Image] = {}
    for volume in volumes:
        image = images.get(volume.spec.image or "") or get(volume.spec.image or "")
        pool, node = get(volume.spec.pool), target or volume.status.node
        if not isinstance(image, Image) or not isinstance(pool, StoragePool) or node is None:
            continue
        key = pool.id if pool.spec.shared else f"{pool.id}@{node}"
        copy = image.status.copies.get(key)
        noted = needed(copy) if copy else ImageCopy(pool=volume.spec.pool, node=node)
        if noted != copy:
            copies = {**image.status.copies, key: noted}
            images[image.id] = image.having(status=msgspec.structs.replace(image.status, copies=copies))
    return list(images.values())
