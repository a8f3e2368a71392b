"""Migration: libvirt's live migration, and what its figures mean.

In this room   Route (how to reach the other host), whether it can be reached, flags and parameters, reading of job figures
Comes in       MigrationHow; libvirt's job figures: a dict by VIR_DOMAIN_JOB_* names, bytes and milliseconds
Goes out       MigrationProgress; Ending: what the domain here shows about how it ended
Always true    whether it succeeded follows from the domain, not from what the call returned: libvirt removes the
               domain here only once it runs there
Next door      moves.py waits, and decides
Start here     send()
"""

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urlsplit

import libvirt
from msgspec import Struct
from msgspec.structs import replace

from corral.hypervisor.interface import MigrationFailed, MigrationProgress
from corral.hypervisor.libvirt.states import post_copy_broke
from corral.model.migration import MigrationFigures, MigrationHow
from corral.model.units import MiB

PAGE_BYTES: Final = 4096
PORTS: Final = {"qemu+tcp": 16509, "qemu+tls": 16514}
REACH_S_MAX: Final = 5.0
OUTGOING: Final = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


class Route(Struct, frozen=True, kw_only=True):
    """How a domain gets to another host."""

    peer_uri: str = "qemu+tcp://{address}/system"  # of the other host's libvirtd
    pki_path: str = ""  # directory of the certificates towards the other libvirtd; empty: libvirt's own place
    trust_shared: bool = (
        False  # a path counts as shared because its pool says so, whatever its file system is
    )


class Ending(StrEnum):
    """What the domain shows at the source."""

    RUNNING_YET = "running yet"  # the job goes on
    MOVED = "moved"  # not here any more
    STAYED = "stayed"  # here, running, no job
    STOPPED = "stopped"  # here and not running: it died on the way
    BROKEN = "broken"  # here, paused: the link of a post-copy broke, with half of the guest at the target


def flags(route: Route, how: MigrationHow, local_disks: Sequence[str], *, again: bool = False) -> int:
    """PEER2PEER: libvirtd itself sees it through, should we be gone.

    again   go on with a post-copy whose link broke

    NON_SHARED_INC copies what a local disk has on top of its backing file; the target has made the same file on
    the same backing file, empty.
    """
    chosen: int = (
        libvirt.VIR_MIGRATE_LIVE
        | libvirt.VIR_MIGRATE_PEER2PEER
        | libvirt.VIR_MIGRATE_PERSIST_DEST
        | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    )
    optional = (
        (libvirt.VIR_MIGRATE_AUTO_CONVERGE, how.auto_converge),
        (libvirt.VIR_MIGRATE_POSTCOPY, how.post_copy_after_s is not None),
        (libvirt.VIR_MIGRATE_POSTCOPY_RESUME, again),
        (libvirt.VIR_MIGRATE_PARALLEL, how.parallel > 1),
        (libvirt.VIR_MIGRATE_COMPRESSED, how.compress),
        (libvirt.VIR_MIGRATE_TLS, how.tls),
        (libvirt.VIR_MIGRATE_NON_SHARED_INC, bool(local_disks)),
        # libvirt knows shared file systems by type, and the lab's is local
        (libvirt.VIR_MIGRATE_UNSAFE, route.trust_shared),
    )
    for flag, wanted in optional:
        chosen |= flag if wanted else 0
    return chosen


def peer_uri(route: Route, address: str, *, tls: bool = False) -> str:
    if not tls or route.peer_uri.startswith("qemu+tls:"):
        return route.peer_uri.format(address=bracketed(address))
    path = f"?pkipath={route.pki_path}" if route.pki_path else ""
    return f"qemu+tls://{bracketed(address)}/system{path}"


def peer_port(uri: str) -> tuple[str, int] | None:
    """Host and port of the other libvirtd; None: it is not reached by TCP itself, but through SSH, say."""
    parts = urlsplit(uri)
    usual = PORTS.get(parts.scheme)
    return (parts.hostname or "", parts.port or usual) if usual else None


async def reach(uri: str) -> None:
    """Libvirt itself would dial for two minutes, and could not be stopped meanwhile.

    raises  MigrationFailed: nothing answers there
    """
    if (place := peer_port(uri)) is None:
        return
    host, port = place
    try:
        async with asyncio.timeout(REACH_S_MAX):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except OSError as error:  # TimeoutError is one
        raise MigrationFailed(
            f"libvirt on {host} can't be reached at port {port}: {error or 'no answer'}",
            hint=f"Does libvirtd listen there, and do firewalls let port {port} and 49152-49215 through between nodes?",
        ) from error


def parameters(address: str, how: MigrationHow, local_disks: Sequence[str]) -> dict[str, object]:
    """The address for the memory too: else it would be the peer's host name, which need not resolve here.

    local_disks   names of their devices in the domain
    """
    chosen: dict[str, object] = {libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{bracketed(address)}"}
    if how.bandwidth_bytes_s:
        mib_s = max(1, how.bandwidth_bytes_s // MiB)
        chosen[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = mib_s
        if how.post_copy_after_s is not None:
            # pages that the guest waits for go first
            chosen[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY] = mib_s
    if how.parallel > 1:
        chosen[libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS] = how.parallel
    if how.compress:
        chosen[libvirt.VIR_MIGRATE_PARAM_COMPRESSION] = "xbzrle"
    if local_disks:
        chosen[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = list(local_disks)
    return chosen


def bracketed(address: str) -> str:
    """IPv6 addresses stand in brackets in a URI."""
    try:
        return f"[{IPv6Address(address)}]"
    except ValueError:
        return address


def send(
    connection: libvirt.virConnect,
    uuid: str,
    address: str,
    route: Route,
    how: MigrationHow,
    local_paths: Sequence[str],
) -> None:
    """Blocking, until it is over. `local_paths`: files of disks that go along."""
    domain = connection.lookupByUUIDString(uuid)
    devices = devices_of(domain.XMLDesc(), local_paths) if local_paths else ()
    domain.migrateSetMaxDowntime(how.downtime_ms_max)
    domain.migrateToURI3(
        peer_uri(route, address, tls=how.tls),
        parameters(address, how, devices),
        flags(route, how, devices),
    )


def devices_of(document: str, paths: Sequence[str]) -> tuple[str, ...]:
    """Names of the disks (vda, …) that these files are behind, in the order of the domain."""
    found = []
    for disk in ET.fromstring(document).iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") in paths:
            found.append(target.get("dev", ""))
    return tuple(found)


def send_again(
    connection: libvirt.virConnect, uuid: str, address: str, route: Route, how: MigrationHow
) -> None:
    """Blocking, until it is over. Go on with a post-copy whose link broke: both halves are there still."""
    connection.lookupByUUIDString(uuid).migrateToURI3(
        peer_uri(route, address, tls=how.tls),
        parameters(address, how, ()),
        flags(route, how, (), again=True),
    )


def start_post_copy(connection: libvirt.virConnect, uuid: str) -> None:
    """Blocking. Let the guest run at the target now."""
    connection.lookupByUUIDString(uuid).migrateStartPostCopy()


def ending(connection: libvirt.virConnect, uuid: str) -> Ending:
    """Blocking. How the domain here stands after, or in the middle of, a migration."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            return Ending.MOVED if reason == libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED else Ending.STOPPED
        if post_copy_broke(state, reason):
            return Ending.BROKEN
        return Ending.RUNNING_YET if _outgoing_yet(domain) else Ending.STAYED
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return Ending.MOVED
        raise


def is_broken(connection: libvirt.virConnect, uuid: str) -> bool:
    """Blocking, never for long. Whether half of it is at its target and the link is gone."""
    try:
        return post_copy_broke(*connection.lookupByUUIDString(uuid).state())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def _outgoing_yet(domain: libvirt.virDomain) -> bool:
    """Whether its migration runs. One that ended since it was looked at is looked at again: only then is its end known."""
    try:
        return is_outgoing(domain.jobStats())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return True
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
    total, left = (
        _whole(figures, libvirt.VIR_DOMAIN_JOB_DATA_TOTAL),
        _whole(figures, libvirt.VIR_DOMAIN_JOB_DATA_REMAINING),
    )
    page = _whole(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE) or PAGE_BYTES
    measured = MigrationFigures(
        downtime_ms=_number(figures, libvirt.VIR_DOMAIN_JOB_DOWNTIME) or None,
        total_s=_whole(figures, libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED) / 1000,
        rounds=_whole(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_ITERATION),
        memory_bytes=_whole(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_NORMAL_BYTES),
        zero_bytes=_whole(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_CONSTANT) * page,
        disk_bytes=_whole(figures, libvirt.VIR_DOMAIN_JOB_DISK_PROCESSED),
        bandwidth_bytes_s=_number(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_BPS),
        dirty_bytes_s=_number(figures, libvirt.VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) * page,
        remaining_bytes=left,
        throttle=_whole(figures, libvirt.VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE),
        post_copy=False,
    )
    share = min(1.0, max(0.0, 1 - left / total)) if total else 0.0
    return MigrationProgress(progress=share, figures=measured)


def final(figures: Mapping[str, int | str]) -> MigrationProgress:
    """Of a job that succeeded; without figures, nothing is known of it."""
    last = progress(figures).figures if figures else MigrationFigures()
    return MigrationProgress(progress=1.0, figures=replace(last, remaining_bytes=0))


def _number(figures: Mapping[str, int | str], name: str) -> float:
    value = figures.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def _whole(figures: Mapping[str, int | str], name: str) -> int:
    return int(_number(figures, name))
