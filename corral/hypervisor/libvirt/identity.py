"""Identity: which domains are Corral's, kept inside the domains themselves.

In this room   the metadata element `<corral:vm id= generation=>`, the UUID of a VM's domain, and a cache of both
Always true    the UUID follows from the VM's id, so every node gives the VM the same one: computed for a VM that
               Corral made, and written into the id of one whose domain was there before. Whatever names a
               domain ours is libvirt's record, never ours: the cache only spares asking again.
Next door      domain_xml.py writes the element; driver.py forgets cached ones when an event says "defined"
Start here     Identities
"""

import re
import xml.etree.ElementTree as ET
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

from corral.model.ids import VmId

XMLNS: Final = "https://corral.dev/xmlns/1"
PREFIX: Final = "corral"
NAMESPACE: Final = uuid5(NAMESPACE_URL, XMLNS)


class Identity(Struct, frozen=True):
    vm: VmId
    generation: int


def domain_uuid(vm: VmId) -> str:
    kept = _ADOPTED.fullmatch(vm)
    return str(UUID(kept[1])) if kept else str(uuid5(NAMESPACE, vm))


def adopted_id(id: str, uuid: str) -> str:
    """The id of a VM whose domain keeps its UUID."""
    return f"{id}-{UUID(uuid).hex}"


def was_adopted(vm: VmId) -> bool:
    return _ADOPTED.fullmatch(vm) is not None


_ADOPTED: Final = re.compile(r"vm-[0-9A-Z]+-([0-9a-f]{32})")


def read_identity(element: str) -> Identity | None:
    """The identity in the element, as virDomainGetMetadata gives it. None: it is not one of ours."""
    try:
        attributes = ET.fromstring(element).attrib
        return Identity(VmId(attributes["id"]), int(attributes["generation"]))
    except (ET.ParseError, KeyError, ValueError):
        return None


class Identities:
    """What is known of the domains by UUID: an identity, or None for a foreign one."""

    def __init__(self) -> None:
        self._fresh: dict[str, Identity | None] = {}
        self._vms: dict[str, VmId] = {}  # outlives invalidation: who a domain is does not change
        self._changes: dict[str, int] = {}  # counts invalidations, so that no older answer is kept

    def vm(self, uuid: str) -> VmId | None:
        return self._vms.get(uuid)

    def vms(self) -> tuple[VmId, ...]:
        return tuple(sorted(self._vms.values()))

    def is_known(self, uuid: str) -> bool:
        return uuid in self._fresh

    def get(self, uuid: str) -> Identity | None:
        return self._fresh.get(uuid)

    def marker(self, uuid: str) -> int:
        """To be taken before asking libvirt, and given to learn()."""
        return self._changes.get(uuid, 0)

    def learn(self, uuid: str, identity: Identity | None, marker: int) -> None:
        """Keep what libvirt said, unless the domain was changed since the question."""
        if identity is not None:
            self._vms[uuid] = identity.vm
        if marker == self.marker(uuid):
            self._fresh[uuid] = identity

    def changed(self, uuid: str) -> None:
        """The definition was changed: ask again."""
        self._fresh.pop(uuid, None)
        self._changes[uuid] = self.marker(uuid) + 1

    def forget(self, uuid: str) -> None:
        """The domain is nobody's any more."""
        self.changed(uuid)
        self._vms.pop(uuid, None)

    def keep_only(self, uuids: frozenset[str]) -> None:
        """Forget domains that are no more."""
        for uuid in [u for u in {**self._fresh, **self._vms, **self._changes} if u not in uuids]:
            self._fresh.pop(uuid, None)
            self._vms.pop(uuid, None)
            self._changes.pop(uuid, None)

    def clear(self) -> None:
        """After a reconnect: events were missed."""
        for uuid in list(self._fresh):
            self.changed(uuid)
