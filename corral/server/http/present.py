"""Presenting: what of a resource is shown, and to whom.

In this room   which kinds can be seen at all, and by which role; what is left out of them
Comes in       resources from the mirror
Goes out       the same ones, or copies without secrets
Always true    a hash of a secret is shown to nobody. What a guest gets at first boot often holds passwords and
               keys: it is shown by a GET of that one VM to operators and admins only, never in lists and watches.
Next door      reading.py lists and shows; watching.py streams
Start here     shown()
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from corral.model.found import FoundDomain
from corral.model.resource import KINDS, Resource
from corral.model.token import JoinToken, Role, Token
from corral.model.vm import VM, CloudInit

RANK: Final = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
VISIBLE: Final[dict[type[Resource], Role]] = {}  # kinds with routes, and the role that may see them
R = TypeVar("R", bound=Resource)
Show = Callable[[Resource], Resource]


def may_see(kind: type[Resource], role: Role) -> bool:
    needed = VISIBLE.get(kind)
    return needed is not None and RANK[role] >= RANK[needed]


def may_hear_of(kind: str, role: Role) -> bool:
    """Whether the role may see resources of the kind of this name; of nothing in particular (""): yes."""
    return not kind or ((known := KINDS.get(kind)) is not None and may_see(known, role))


def in_lists(resource: R) -> R:
    """As lists and watches show it."""
    match resource:
        case VM() if resource.spec.cloud_init != _NOTHING or resource.spec.base_xml:
            spec = msgspec.structs.replace(resource.spec, cloud_init=_NOTHING, base_xml="")
            return resource.having(spec=spec)
        case FoundDomain():
            return resource.having(status=msgspec.structs.replace(resource.status, xml=""))
        case Token():
            return resource.having(spec=msgspec.structs.replace(resource.spec, sha256=""))
        case JoinToken():
            return resource.having(spec=msgspec.structs.replace(resource.spec, sha256=""))
    return resource


def alone(resource: Resource, role: Role) -> Resource:
    """As it is shown by itself."""
    if isinstance(resource, FoundDomain):  # libvirt leaves passwords out of its XML
        return resource
    if isinstance(resource, VM) and RANK[role] >= RANK[Role.OPERATOR]:
        return resource
    return in_lists(resource)


_NOTHING: Final = CloudInit()
