"""Events: what libvirt says happened, on its way to whoever waits for it.

In this room   watch(): asks libvirt for its events; Subscribers: hands changes on
Comes in       libvirt's callbacks, on libvirt's own thread, where nothing may block or call libvirt
Goes out       Happening, by `tell`, for the driver; DomainEvent for the agent
Always true    an event says "look again" and no more: several of one VM may become one, none is the last word
Next door      driver.py knows which domain is which VM
Start here     watch()
"""

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Final

import libvirt
from msgspec import Struct

from corral.hypervisor.interface import DomainEvent
from corral.model.ids import VmId

LIFECYCLE: Final = (
    "defined", "undefined", "started", "suspended", "resumed", "stopped", "shutdown", "pmsuspended", "crashed",
)  # fmt: skip
AGENT: Final = {1: "agent connected", 2: "agent disconnected"}


class Kind(StrEnum):
    DEFINITION = "definition"  # the domain was defined, undefined, or its metadata changed
    STATE = "state"
    JOB = "job"  # a migration or the like ended; `figures` has libvirt's last word on it


class Happening(Struct, frozen=True, kw_only=True):
    """One event of libvirt's."""

    uuid: str
    what: str
    kind: Kind = Kind.STATE
    figures: Mapping[str, int | str] = {}


def watch(connection: libvirt.virConnect, tell: Callable[[Happening], None]) -> Callable[[], None]:
    """Ask for all events of all domains. `tell` is called on libvirt's thread.

    returns  what ends it; without that libvirt keeps the connection open
    """

    def lifecycle(_c: object, domain: libvirt.virDomain, event: int, detail: int, _o: object) -> None:
        what = LIFECYCLE[event] if event < len(LIFECYCLE) else f"event {event}"
        kind = Kind.DEFINITION if what in ("defined", "undefined") else Kind.STATE
        tell(Happening(uuid=domain.UUIDString(), what=what, kind=kind))

    def reboot(_c: object, domain: libvirt.virDomain, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what="rebooted"))

    def agent(_c: object, domain: libvirt.virDomain, state: int, _reason: int, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what=AGENT.get(state, "agent")))

    def job(_c: object, domain: libvirt.virDomain, figures: dict[str, int | str], _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what="job ended", kind=Kind.JOB, figures=figures))

    def io_error(
        _c: object, domain: libvirt.virDomain, path: str, _alias: str, _action: int, reason: str, _o: object
    ) -> None:
        tell(Happening(uuid=domain.UUIDString(), what=f"disk error {reason} at {path}".strip()))

    def metadata(_c: object, domain: libvirt.virDomain, _type: int, _uri: str, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what="metadata changed", kind=Kind.DEFINITION))

    def removed(_c: object, domain: libvirt.virDomain, alias: str, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what=f"device {alias} removed"))

    def kept(_c: object, domain: libvirt.virDomain, alias: str, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what=f"device {alias} not removed"))

    def memory(_c: object, domain: libvirt.virDomain, alias: str, size: int, _o: object) -> None:
        tell(Happening(uuid=domain.UUIDString(), what=f"memory {alias} is {size}"))

    handlers = (
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, removed),
        (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, kept),
        (libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, memory),
        (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle),
        (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, reboot),
        (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, agent),
        (libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, job),
        (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, io_error),
        (libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, metadata),
    )
    registered = [connection.domainEventRegisterAny(None, event, call, None) for event, call in handlers]

    def end() -> None:
        for number in registered:
            with suppress(
                libvirt.libvirtError
            ):  # the connection is dead; on our side it is gone all the same
                connection.domainEventDeregisterAny(number)

    return end


class Subscription:
    """An endless iterator. Of one VM at most one event waits: memory is bounded, and the reader looks anyway."""

    def __init__(self, ended: Callable[["Subscription"], None]) -> None:
        self._waiting: dict[VmId, DomainEvent] = {}
        self._some = asyncio.Event()
        self._ended = ended

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> DomainEvent:
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    async def aclose(self) -> None:
        self._ended(self)

    def put(self, event: DomainEvent) -> None:
        before = self._waiting.get(event.vm)
        self._waiting[event.vm] = (
            DomainEvent(event.vm, f"{before.what}, {event.what}"[-200:]) if before else event
        )
        self._some.set()


class Subscribers:
    """All that wait for events. A subscription that is dropped without aclose() goes with its last reference."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Subscription]] = []

    def add(self) -> Subscription:
        subscription = Subscription(self._remove)
        self._all.append(weakref.ref(subscription))
        return subscription

    def put(self, vm: VmId, what: str) -> None:
        for reference in tuple(self._all):
            if (subscription := reference()) is not None:
                subscription.put(DomainEvent(vm, what))
            else:
                self._all.remove(reference)

    def _remove(self, subscription: Subscription) -> None:
        self._all = [reference for reference in self._all if reference() not in (subscription, None)]
