"""Domains: what is done to one, and to all, in blocking calls.

In this room   functions that take a libvirt connection, for use in a thread; each may be repeated
Comes in       a connection, a domain's UUID
Goes out       Row: a domain as libvirt lists it; DomainFacts
Always true    what is already so is no error: "not running" when it shall not run, "no domain" when it shall go
Next door      driver.py calls them, each domain's in a lane of its own
Start here     list_domains()
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

import libvirt
from msgspec import Struct

from corral.hypervisor.interface import (
    DomainFacts,
    DomainWish,
    HypervisorFailed,
    MigrationFailed,
    domain_names,
)
from corral.hypervisor.libvirt.identity import XMLNS, Identity, read_identity
from corral.hypervisor.libvirt.shape import Shape, target
from corral.hypervisor.libvirt.states import (
    domain_state,
    paused_by_migration,
    post_copy_broke,
    runs_by_post_copy,
)
from corral.model.ids import VolumeId
from corral.model.units import KiB, MiB
from corral.model.vm import DomainState, device_key

STATS: Final = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_VCPU  # its CPU time where the host has no cgroups for the domain
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_BLOCK
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
)
UNDEFINE: Final = (
    libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_TPM", 0)  # libvirt 8.9
)
UNDEFINE_KEEPING: Final = (
    libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | getattr(libvirt, "VIR_DOMAIN_UNDEFINE_KEEP_TPM", 0)
)
AGENT_PATIENCE_S: Final = 2  # then the power button is tried


class Row(Struct, frozen=True, kw_only=True):
    """A domain as libvirt lists it."""

    uuid: str
    name: str
    state: int
    reason: int
    persistent: bool
    arriving: bool = False  # the target of a migration that goes on
    lost: bool = False  # half of a guest: post-copy broke
    saved: bool = False  # its memory is on disk


def list_domains(connection: libvirt.virConnect) -> tuple[Row, ...]:
    """All domains, in three calls however many there are (and one more for each that is in a migration's pause)."""
    transient = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
    saved = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
    rows = []
    for domain, stats in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0):
        uuid, state, reason = domain.UUIDString(), stats["state.state"], stats["state.reason"]
        persistent = uuid not in transient
        arriving = runs_by_post_copy(state, reason) or (
            paused_by_migration(state, reason) and (not persistent or _is_target(domain))
        )
        rows.append(
            Row(
                uuid=uuid,
                name=domain.name(),
                state=state,
                reason=reason,
                persistent=persistent,
                arriving=arriving,
                lost=post_copy_broke(state, reason),
                saved=uuid in saved,
            )
        )
    return tuple(sorted(rows, key=lambda row: row.uuid))


def _uuids(connection: libvirt.virConnect, flags: int) -> frozenset[str]:
    return frozenset(domain.UUIDString() for domain in connection.listAllDomains(flags))


def _is_target(domain: libvirt.virDomain) -> bool:
    """Libvirt keeps a migration's figures at its source, and says so at the target."""
    try:
        domain.jobStats()
    except libvirt.libvirtError as error:
        return bool(error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID)
    return False


def read_identities(connection: libvirt.virConnect, uuids: Iterable[str]) -> Mapping[str, Identity | None]:
    """Whose they are; None: not Corral's. Domains that are gone are left out."""
    found: dict[str, Identity | None] = {}
    for uuid in uuids:
        with _unless(libvirt.VIR_ERR_NO_DOMAIN):
            found[uuid] = identity_of(connection.lookupByUUIDString(uuid))
    return found


def identity_of(domain: libvirt.virDomain) -> Identity | None:
    """From the definition, which a running domain may be behind."""
    affected = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else libvirt.VIR_DOMAIN_AFFECT_LIVE
    with _unless(libvirt.VIR_ERR_NO_DOMAIN_METADATA):
        return read_identity(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, XMLNS, affected))
    return None


def name_in_use(connection: libvirt.virConnect, uuid: str) -> str | None:
    """Of the domain with this UUID; None: there is none."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        name: str = connection.lookupByUUIDString(uuid).name()
        return name
    return None


def rename(connection: libvirt.virConnect, wish: DomainWish, uuid: str) -> str | None:
    """The name that the domain with this UUID is to be defined by, its new one where that goes. None: there is none."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        name = free_name(connection, wish, uuid)
        if domain.name() not in domain_names(wish.name, wish.vm) and _may_be_renamed(domain):
            domain.rename(name, 0)
        return str(domain.name())
    return None


def _may_be_renamed(domain: libvirt.virDomain) -> bool:
    return bool(domain.isPersistent() and not domain.isActive() and not domain.hasManagedSaveImage(0))


def definition(connection: libvirt.virConnect, uuid: str) -> str:
    """As libvirt has written it down; empty: there is none."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)) if domain.isPersistent() else ""
    return ""


def definition_in_place(connection: libvirt.virConnect, uuid: str) -> str:
    """With its passwords: for libvirt only, never for a report. Empty: there is none."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        return str(connection.lookupByUUIDString(uuid).XMLDesc(flags))
    return ""


def running_document(connection: libvirt.virConnect, uuid: str) -> str:
    """As it runs. Empty: it does not."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        return str(domain.XMLDesc(0)) if domain.isActive() else ""
    return ""


def running_documents(connection: libvirt.virConnect) -> list[str]:
    """Of all domains that run, whoever's they are."""
    found: list[str] = []
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with _unless(libvirt.VIR_ERR_NO_DOMAIN):
            found.append(str(domain.XMLDesc(0)))
    return found


def free_name(connection: libvirt.virConnect, wish: DomainWish, uuid: str) -> str:
    """The VM's name, or that with the end of its id where another domain has the name."""
    plain, other = domain_names(wish.name, wish.vm)
    return other if _is_taken(connection, plain, uuid) else plain


def _is_taken(connection: libvirt.virConnect, name: str, uuid: str) -> bool:
    """Whether a domain with another UUID has this name."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        return bool(connection.lookupByName(name).UUIDString() != uuid)
    return False


def make_way(connection: libvirt.virConnect, wish: DomainWish, uuid: str) -> None:
    """For a domain that is to arrive: drop a stale definition of it. raises MigrationFailed: its name is taken"""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        stale = connection.lookupByUUIDString(uuid)
        if not stale.isActive():
            stale.undefineFlags(UNDEFINE)
        return
    if _is_taken(connection, wish.name, uuid):
        raise MigrationFailed(
            f"another domain is called {wish.name} at the target",
            hint="Rename that domain, or choose another node.",
            vm=wish.vm,
        )


def start(connection: libvirt.virConnect, uuid: str) -> None:
    domain = connection.lookupByUUIDString(uuid)
    if domain.isActive():
        return
    try:
        domain.create()
    except libvirt.libvirtError:
        if not domain.isActive():  # else someone else was faster
            raise


def shut_down(connection: libvirt.virConnect, uuid: str) -> None:
    """Waits for the guest's agent for some seconds at most; libvirt then presses the power button by itself."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        domain = connection.lookupByUUIDString(uuid)
        with suppress(libvirt.libvirtError):  # it has no agent channel
            domain.agentSetResponseTimeout(AGENT_PATIENCE_S)
        domain.shutdown()


def begin_dirty_rate(connection: libvirt.virConnect, uuid: str, seconds: int) -> None:
    """Let QEMU look at samples of the guest's memory, now and after so many seconds."""
    connection.lookupByUUIDString(uuid).startDirtyRateCalc(seconds, 0)


def dirty_bytes_s(connection: libvirt.virConnect, uuid: str) -> float | None:
    """What came of it; None: nothing yet."""
    domain = connection.lookupByUUIDString(uuid)
    ((_, stats),) = connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_DIRTYRATE, 0)
    if stats.get("dirtyrate.calc_status") != libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED:
        return None
    return float(stats.get("dirtyrate.megabytes_per_second", 0)) * MiB


def pause(connection: libvirt.virConnect, uuid: str) -> None:
    domain = connection.lookupByUUIDString(uuid)
    if domain_state(domain.state()[0]) is DomainState.RUNNING:
        domain.suspend()


def resume(connection: libvirt.virConnect, uuid: str) -> None:
    domain = connection.lookupByUUIDString(uuid)
    if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()


def save(connection: libvirt.virConnect, uuid: str) -> None:
    domain = connection.lookupByUUIDString(uuid)
    try:
        if domain.isActive():
            domain.managedSave(0)
    except libvirt.libvirtError:
        if domain.isActive():  # else it ended by itself meanwhile
            raise


def discard(connection: libvirt.virConnect, uuid: str) -> None:
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        if domain.hasManagedSaveImage(0):
            domain.managedSaveRemove(0)


def resize(connection: libvirt.virConnect, uuid: str, volume: VolumeId, size_bytes: int) -> None:
    """Grows the file, and the guest sees it at once. Never makes it smaller."""
    domain = connection.lookupByUUIDString(uuid)
    disk = Shape(ET.fromstring(domain.XMLDesc(0))).disks.get(device_key(volume))
    if disk is None:
        raise HypervisorFailed(f"{volume} is no disk of the running domain", volume=volume)
    name = target(disk)
    if domain.blockInfo(name)[0] < size_bytes:
        domain.blockResize(name, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def destroy(connection: libvirt.virConnect, uuid: str) -> None:
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        try:
            if domain.isActive():
                domain.destroy()
        except libvirt.libvirtError:
            if domain.isActive():  # else it ended by itself meanwhile
                raise


def undefine(connection: libvirt.virConnect, uuid: str, *, keep_state: bool = False) -> None:
    """keep_state: firmware variables and TPM stay, like the disks of a domain that was there before Corral."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        domain = connection.lookupByUUIDString(uuid)
        if domain.isPersistent():
            domain.undefineFlags(UNDEFINE_KEEPING if keep_state else UNDEFINE)


def all_facts(connection: libvirt.virConnect) -> Mapping[str, DomainFacts]:
    """Counters of running domains by UUID. NOWAIT: a domain that is busy with a job gives what costs no wait."""
    flags = (
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    )
    return {
        domain.UUIDString(): read_facts(stats) for domain, stats in connection.getAllDomainStats(STATS, flags)
    }


def read_facts(stats: Mapping[str, int]) -> DomainFacts:
    """From libvirt's typed parameters: nanoseconds, KiB and bytes."""
    vcpus_ns = sum(stats.get(f"vcpu.{n}.time", 0) for n in range(stats.get("vcpu.current", 0)))
    return DomainFacts(
        cpu_s=stats.get("cpu.time", vcpus_ns) / 1e9,
        memory_bytes=stats.get("balloon.rss", 0) * KiB,
        block_read_bytes=_sum(stats, "block", "rd.bytes"),
        block_write_bytes=_sum(stats, "block", "wr.bytes"),
        net_in_bytes=_sum(stats, "net", "rx.bytes"),
        net_out_bytes=_sum(stats, "net", "tx.bytes"),
    )


def _sum(stats: Mapping[str, int], group: str, field: str) -> int:
    return sum(stats.get(f"{group}.{n}.{field}", 0) for n in range(stats.get(f"{group}.count", 0)))


@contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """These refusals are fine."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() not in codes:
            raise
