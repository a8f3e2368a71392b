"""Forms: each kind as its manifest has it.

In this room   DECLARED, a row a kind: the request that creates it, the one that changes it, and how its fields are read
               back where the spec says them in another way (ids instead of names, bytes instead of 4GiB)
Comes in       a resource, and the mirror for the names behind its ids
Goes out       a form: the fields of the creating request, as JSON has them
Always true    every field of the creating request can be read back: a test holds this for each kind
Next door      compare.py compares forms; requests.py has the requests
Start here     DECLARED
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from corral.errors import Invalid
from corral.model.group import PlacementGroup
from corral.model.image import Image
from corral.model.network import Network, Segment
from corral.model.node import Node
from corral.model.policy import SchedulingPolicy
from corral.model.pool import StoragePool
from corral.model.profile import VMProfile
from corral.model.resource import Resource, kind_named
from corral.model.units import exact_size
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.services import requests
from corral.server.services.profiles import brief_vm, hardware_form
from corral.store.mirror import Mirror

Form = dict[str, Any]
Reading = Callable[[Any, Mirror], Any]  # of a field of a resource; Any: each reads its own kind


class Declared(Struct, frozen=True, kw_only=True):
    """A kind that manifests can have."""

    kind: type[Resource]
    create: type[Struct] | None  # request that makes one; None: it is not made by a request
    update: type[Struct]  # request that changes one
    service: str  # attribute of Services
    read: Mapping[str, Reading] = {}  # fields that are not called the same in the spec
    brief: Callable[[Form], Form] = dict  # leaves out what would be the same without being said

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.create or self.update).__struct_fields__


def name_of(id: str | None, mirror: Mirror) -> str:
    """The name behind an id; the id itself where nothing has it; empty for none."""
    found = mirror.get(id) if id else None
    return found.name if found else id or ""


def _names(field: str) -> Reading:
    return lambda resource, mirror: [name_of(id, mirror) for id in getattr(resource.spec, field)]


def _name(field: str) -> Reading:
    return lambda resource, mirror: name_of(getattr(resource.spec, field), mirror)


def _size(field: str) -> Reading:
    return lambda resource, mirror: exact_size(getattr(resource.spec, field))


def _disks(vm: VM, mirror: Mirror) -> list[Form]:
    return [_disk(vm, disk, mirror) for disk in vm.spec.disks]


def _disk(vm: VM, disk: Any, mirror: Mirror) -> Form:
    """A volume that goes with the VM is described, so that the manifest makes one elsewhere; another is named."""
    form = _same(disk, requests.NewDisk) | _same(disk.tuning, requests.NewDisk)
    volume = mirror.get(disk.volume)
    if not isinstance(volume, Volume) or volume.spec.vm != vm.id:
        return form | {"volume": name_of(disk.volume, mirror)}
    spec = volume.spec
    return form | {
        "volume": "",
        "image": name_of(spec.image, mirror),
        "size": exact_size(spec.size_bytes),
        "pool": name_of(spec.pool, mirror),
    }


def _nics(vm: VM, mirror: Mirror) -> list[Form]:
    return [_same(nic, requests.NewNic) | {"network": name_of(nic.network, mirror)} for nic in vm.spec.nics]


def _hardware(vm: VM, mirror: Mirror) -> Form:
    form = hardware_form(vm.spec.hardware)
    devices = [
        device | {"network": name_of(device["network"], mirror)} if "network" in device else device
        for device in form["devices"]
    ]
    return form | {"devices": devices}


def _same(part: Struct, request: type[Struct]) -> Form:
    """The fields that a part of a spec and the part of a request that made it have in common."""
    common = [f for f in request.__struct_fields__ if hasattr(part, f)]
    return {f: msgspec.to_builtins(getattr(part, f)) for f in common}


def _bridge(network: Network, mirror: Mirror) -> str:
    """Of the host; one that Corral makes is not said."""
    return network.spec.bridge if network.spec.segment is Segment.BRIDGE else ""


DECLARED: Final[
    tuple[Declared, ...]
] = (  # in the order in which they are applied; deleted the other way round
    Declared(
        kind=Node,
        create=None,
        update=requests.UpdateNode,
        service="nodes",
        read={"reserve_memory": _size("reserve_memory_bytes")},
    ),
    Declared(
        kind=StoragePool,
        create=requests.CreatePool,
        update=requests.UpdateLabels,
        service="pools",
        read={"nodes": _names("nodes")},
    ),
    Declared(
        kind=Network,
        create=requests.CreateNetwork,
        update=requests.UpdateNetwork,
        service="networks",
        read={"nodes": _names("nodes"), "bridge": _bridge},
    ),
    Declared(kind=Image, create=requests.CreateImage, update=requests.UpdateLabels, service="images"),
    Declared(
        kind=Volume,
        create=requests.CreateVolume,
        update=requests.UpdateLabels,
        service="volumes",
        read={
            "pool": _name("pool"),
            "size": _size("size_bytes"),
            "image": _name("image"),
            "node": _name("node"),
        },
    ),
    Declared(
        kind=VMProfile,
        create=requests.CreateProfile,
        update=requests.UpdateProfile,
        service="profiles",
        read={"spec": lambda profile, mirror: msgspec.to_builtins(profile.spec)},
    ),
    Declared(
        kind=SchedulingPolicy,
        create=requests.CreatePolicy,
        update=requests.UpdatePolicy,
        service="policies",
        read={"spec": lambda policy, mirror: msgspec.to_builtins(policy.spec)},
    ),
    Declared(
        kind=PlacementGroup,
        create=requests.CreateGroup,
        update=requests.UpdateGroup,
        service="groups",
        read={"spec": lambda group, mirror: msgspec.to_builtins(group.spec)},
    ),
    Declared(
        kind=VM,
        create=requests.CreateVM,
        update=requests.UpdateVM,
        service="vms",
        read={
            "memory": _size("memory_bytes"),
            "hardware": _hardware,
            "disks": _disks,
            "nics": _nics,
            "node": _name("node"),
            "groups": _names("groups"),
        },
        brief=brief_vm,
    ),
)
ENVELOPE: Final = ("name", "project", "labels")  # fields that stand on the resource itself


def declared_kind(word: str) -> Declared:
    """The row of `VM`, `vm` or `vms`. raises Invalid: no kind, or one that is not declared"""
    kind = kind_named(word)
    for declared in DECLARED:
        if declared.kind is kind:
            return declared
    names = ", ".join(d.kind.__name__ for d in DECLARED)
    raise Invalid("kind", word, "a kind that manifests can have", hint=f"These can: {names}.")


def form_of(resource: Resource, declared: Declared, mirror: Mirror) -> Form:
    """Every field that the manifest of this resource can have."""
    form: Form = {"name": resource.name}
    for field in declared.fields:
        if field in declared.read:
            form[field] = declared.read[field](resource, mirror)
        else:
            part = resource if field in ENVELOPE else getattr(resource, "spec", None)
            form[field] = msgspec.to_builtins(getattr(part, field))
    return form


def manifest_of(resource: Resource, declared: Declared, mirror: Mirror) -> Form:
    """The manifest of a resource: what is as it would be without being said is left out."""
    form = form_of(resource, declared, mirror)
    if declared.create is None:
        return {"kind": resource.kind, **form}
    made = msgspec.convert(
        {k: v for k, v in form.items() if k in declared.fields}, declared.create, strict=False
    )
    said = declared.brief(_without_defaults(made))
    return {"kind": resource.kind, **said}


def _without_defaults(struct: Struct) -> Form:
    form: Form = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if not field.required and value == field.default:
            continue
        if field.default_factory is not msgspec.NODEFAULT and value == field.default_factory():
            continue
        form[field.name] = _said(value)
    return form


def _said(value: Any) -> Any:
    if isinstance(value, Struct):
        return _without_defaults(value)
    if isinstance(value, tuple | list):
        return [_said(item) for item in value]
    return msgspec.to_builtins(value)
