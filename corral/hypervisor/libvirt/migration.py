"""Migration: libvirt's live migration, and what its figures mean.

In this room   Route (how to reach the other host), flags and parameters, reading of job figures; no waiting
Comes in       libvirt's job figures: a dict by VIR_DOMAIN_JOB_* names, bytes and milliseconds
Goes out       MigrationProgress; Ending: what the domain here shows about how it ended
Always true    whether it succeeded follows from the domain, not from what the call returned: libvirt removes the
               domain here only once it runs there
Next door      driver.py carries it out
Start here     send()
"""

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Final

import libvirt
from msgspec import Struct

from corral.hypervisor.interface import DomainWish, MigrationFailed, MigrationProgress
from corral.model.units import MiB

OUTGOING: Final = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


class Route(Struct, frozen=True, kw_only=True):
    """How a domain gets to another host."""

    peer_uri: str = "qemu+tcp://{address}/system"  # of the other host's libvirtd
    tls: bool = False  # for the guest's memory too; take a qemu+tls:// peer_uri with it
    bandwidth_bytes_s: int = 0  # 0: as fast as it goes
    trust_shared: bool = (
        False  # a path counts as shared because its pool says so, whatever its file system is
    )


class Ending(StrEnum):
    """What the domain shows at the source."""

    RUNNING_YET = "running yet"  # the job goes on
    MOVED = "moved"  # not here any more
    STAYED = "stayed"  # here, running, no job
    STOPPED = "stopped"  # here and not running: it died on the way


def flags(route: Route) -> int:
    """PEER2PEER: libvirtd itself sees it through, should we be gone. AUTO_CONVERGE slows a guest that outruns it."""
    chosen: int = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PEER2PEER
        | libvirt.VIR_MIGRATE_PERSIST_DEST
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        | libvirt.VIR_MIGRATE_AUTO_CONVERGE
        | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    )
    if route.tls:
        chosen |= libvirt.VIR_MIGRATE_TLS
    if route.trust_shared:
        chosen |= (
            libvirt.VIR_MIGRATE_UNSAFE
        )  # libvirt knows shared file systems by type, and the lab's is local
    return chosen


def peer_uri(route: Route, address: str) -> str:
    return route.peer_uri.format(address=bracketed(address))


def parameters(route: Route, address: str) -> dict[str, str | int]:
    """The address for the memory too: else it would be the peer's host name, which need not resolve here."""
    chosen: dict[str, str | int] = {libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{bracketed(address)}"}
    if route.bandwidth_bytes_s:
        chosen[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = max(1, route.bandwidth_bytes_s // MiB)
    return chosen


def bracketed(address: str) -> str:
    """IPv6 addresses stand in brackets in a URI."""
    try:
        return f"[{IPv6Address(address)}]"
    except ValueError:
        return address


def refuse_local_disks(wish: DomainWish) -> None:
    """Check before libvirt does, with a better message. raises MigrationFailed: a disk that the other host does not see"""
    for disk in wish.disks:
        if not disk.shared:
            raise MigrationFailed(
                f"{wish.name}: disk {disk.path} is in a pool that is not shared",
                hint="Live migration needs all disks in a shared pool.",
                volume=disk.volume,
                path=disk.path,
            )


def send(connection: libvirt.virConnect, uuid: str, address: str, route: Route) -> None:
    """Blocking, until it is over."""
    domain = connection.lookupByUUIDString(uuid)
    domain.migrateToURI3(peer_uri(route, address), parameters(route, address), flags(route))


def ending(connection: libvirt.virConnect, uuid: str) -> Ending:
    """Blocking. How the domain here stands after, or in the middle of, a migration."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            return Ending.MOVED if reason == libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED else Ending.STOPPED
        return Ending.RUNNING_YET if is_outgoing(domain.jobStats()) else Ending.STAYED
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return Ending.MOVED
        raise


def figures(connection: libvirt.virConnect, uuid: str) -> Mapping[str, int | str] | None:
    """Blocking. Of the migration that leaves; None: there is none."""
    try:
        found: Mapping[str, int | str] = connection.lookupByUUIDString(uuid).jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            return None
        raise
    return found if is_outgoing(found) else None


def abort(connection: libvirt.virConnect, uuid: str) -> None:
    """Blocking. No error when there is nothing to abort."""
    if figures(connection, uuid) is None:
        return
    try:
        connection.lookupByUUIDString(uuid).abortJob()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise


def is_outgoing(figures: Mapping[str, int | str]) -> bool:
    return bool(figures.get("type")) and figures.get(libvirt.VIR_DOMAIN_JOB_OPERATION) == OUTGOING


def progress(figures: Mapping[str, int | str]) -> MigrationProgress:
    """Of a running job. `downtime_ms` then is what libvirt expects it to be."""
    total = _number(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL)
    left = _number(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING)
    return MigrationProgress(
        progress=min(1.0, max(0.0, 1 - left / total)) if total else 0.0,
        downtime_ms=_number(figures, libvirt.VIR_DOMAIN_JOB_DOWNTIME),
        total_s=_number(figures, libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED) / 1000,
    )


def final(figures: Mapping[str, int | str]) -> MigrationProgress:
    """Of a job that succeeded."""
    last = progress(figures)
    return MigrationProgress(progress=1.0, downtime_ms=last.downtime_ms, total_s=last.total_s)


def _number(figures: Mapping[str, int | str], name: str) -> float:
    value = figures.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0
