"""Indexes: by what, besides id and name, the mirror finds resources quickly.

In this room   INDEXES, a table of small functions by kind and name of the index
Comes in       a resource
Goes out       the values it is to be found under; none: not in this index
Always true    a function looks at its resource only, so an index can be built anew at any time
Next door      shelf.py keeps the indexes; mirror.select() asks them
Start here     INDEXES
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from corral.model.event import Event
from corral.model.found import FoundDomain
from corral.model.image import Image
from corral.model.node import Node
from corral.model.operation import Operation
from corral.model.port import Port
from corral.model.rebalance import Rebalance
from corral.model.resource import Resource
from corral.model.snapshot import Snapshot
from corral.model.token import JoinToken, Token
from corral.model.vm import VM
from corral.model.volume import Volume

R = TypeVar("R", bound=Resource)
Values = Callable[[Any], Iterable[str]]  # Any: each takes its own kind, as declare() checks
INDEXES: Final[dict[type[Resource], Mapping[str, Values]]] = {}


def declare(kind: type[R], **values: Callable[[R], Iterable[str]]) -> None:
    INDEXES[kind] = values


def phase(resource: Resource) -> tuple[str, ...]:
    """The phase or state of any kind that has one."""
    status = getattr(resource, "status", None)
    short = getattr(status, "phase", None) or getattr(status, "state", None)
    return (str(short),) if short else ()


def label(resource: Resource) -> list[str]:
    """`key=value` for each label."""
    return [f"{key}={value}" for key, value in resource.labels.items()]


EVERY_KIND: Final[Mapping[str, Values]] = {
    "phase": phase,
    "label": label,
    "project": lambda resource: (resource.project,),
    "deleting": lambda resource: ("yes",) if resource.deleting else (),
}


def indexes_of(kind: type[Resource]) -> dict[str, Values]:
    return {**EVERY_KIND, **INDEXES.get(kind, {})}


def present(*values: str | None) -> tuple[str, ...]:
    """Those values that there are."""
    return tuple(value for value in values if value)


def _networks_of_devices(vm: VM) -> list[str]:
    return [device.network for device in vm.spec.hardware.devices if device.network]


declare(
    VM,
    node=lambda vm: (*vm.claimed_on, *vm.status.traces),  # where anything of it may be
    claimed=lambda vm: vm.claimed_on,  # where it holds capacity
    volume=lambda vm: (*vm.spec.volumes, *vm.spec.leaving_volumes),
    network=lambda vm: [*(nic.network for nic in vm.spec.nics), *_networks_of_devices(vm)],
    policy=lambda vm: present(vm.spec.policy),
    group=lambda vm: vm.spec.groups,
    drifted=lambda vm: ("yes",) if vm.report and vm.report.drift else (),
    unplaced=lambda vm: () if vm.status.node or vm.deleting else ("yes",),
)
declare(
    Node,
    concern=lambda node: ("yes",) if node.has_concerns else (),
)
declare(
    Rebalance,
    moving=lambda rebalance: () if rebalance.ended else {move.vm for move in rebalance.status.moves},
)
declare(
    Volume,
    node=lambda volume: present(volume.status.node),
    pool=lambda volume: dict.fromkeys(present(volume.spec.pool, volume.status.pool, volume.status.moving)),
    at=lambda volume: present(volume.status.node, *volume.status.traces),  # where a file of it may be
    image=lambda volume: present(volume.spec.image),
    source=lambda volume: (volume.spec.source.volume,) if volume.spec.source else (),
    vm=lambda volume: present(volume.spec.vm),
    path=lambda volume: present(volume.spec.file.path if volume.spec.file else None),
)
declare(
    Image,
    family=lambda image: (image.family,),
    node=lambda image: [copy.node for copy in image.status.copies.values()],
    pool=lambda image: [copy.pool for copy in image.status.copies.values()],
)
declare(
    FoundDomain,
    node=lambda found: (found.spec.node,),
    uuid=lambda found: (found.spec.uuid,),
)
declare(
    Operation,
    target=lambda operation: (operation.spec.target.id,),
    open=lambda operation: () if operation.ended else (operation.spec.target.id,),
    on_nodes=lambda operation: (
        ("yes",) if not operation.ended and operation.spec.target.kind in ("StoragePool", "Network") else ()
    ),  # waits for nodes to have something ready
)
declare(
    Snapshot,
    vm=lambda snapshot: (snapshot.spec.vm,),
    volume=lambda snapshot: snapshot.spec.disks,
)
declare(
    Port,
    vm=lambda port: (port.spec.vm,),
    network=lambda port: (port.spec.network,),
    mac=lambda port: (port.spec.mac,),
)
declare(Event, about=lambda event: (event.spec.about.id,))
declare(Token, sha256=lambda token: (token.spec.sha256,))
declare(JoinToken, sha256=lambda token: (token.spec.sha256,))
