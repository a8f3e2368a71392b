"""Disks out: a disk of a snapshot, from the node that sees it to whoever asked, through this server.

In this room   disk_out(): which node, the way to it, and what it says before the bytes
Comes in       a snapshot and the number of a disk
Goes out       DiskOut: size, checksum, chunks
Always true    what the node says before the bytes decides about the answer's status; fewer bytes than it promised are an
               error, never a short file. Nothing piles up here: who reads slowly makes the node send slowly.
Next door      agent/sending.py is the other end; consoles.py has the ways to nodes
Start here     disk_out()
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from corral.errors import CorralError, Invalid, NotFound, Unavailable
from corral.model.ids import NodeId, VmId, VolumeId
from corral.model.link import SendDisk
from corral.model.pool import StoragePool
from corral.model.resource import Trouble
from corral.model.snapshot import Snapshot, SnapshotPhase
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.proto.lanes import Ended
from corral.server.consoles import Leg
from corral.server.services.snapshots import SnapshotNotReady
from corral.server.services.volumes import refuse_found
from corral.store.mirror import Mirror

SILENCE_S: Final = 60.0  # the node says every 5 s that it works on it
WORD_BYTES_MAX: Final = 64 * 1024
FORMATS: Final = ("qcow2", "vmdk")


class ExportFailed(CorralError):
    """The node could not make a file of the disk, or not send it."""

    code = "export.failed"
    status = 502
    retryable = True


class _Word(Struct, frozen=True):
    progress: float = 0.0
    size_bytes: int | None = None
    sha256: str = ""
    trouble: Trouble | None = None


class Ways(Protocol):
    """Ways to nodes (consoles.py)."""

    async def leg(self, node: NodeId, asked: SendDisk) -> Leg: ...


class DiskOut(Struct, frozen=True):
    """A disk on its way."""

    size_bytes: int
    sha256: str
    chunks: AsyncGenerator[bytes, None]


async def disk_out(ways: Ways, mirror: Mirror, snapshot: Snapshot, number: int, format: str) -> DiskOut:
    """Raises  Invalid, NotFound, SnapshotNotReady, NodeNotLinked, ConsoleUnanswered, ExportFailed"""
    node, ask = _asked(mirror, snapshot, number, format)
    leg = await ways.leg(node, ask)
    try:
        word, rest = await _heard(leg)
    except BaseException:
        leg.end("nobody waits for it any more")
        raise
    assert word.size_bytes is not None
    return DiskOut(word.size_bytes, word.sha256, _chunks(leg, word.size_bytes, rest))


def _asked(mirror: Mirror, snapshot: Snapshot, number: int, format: str) -> tuple[NodeId, SendDisk]:
    if format not in FORMATS:
        raise Invalid("format", format, f"one of {', '.join(FORMATS)}")
    if not 0 <= number < len(snapshot.spec.disks):
        raise Invalid("disk", number, f"a number below {len(snapshot.spec.disks)}")
    if snapshot.status.phase is not SnapshotPhase.READY:
        raise SnapshotNotReady(snapshot)
    vm, volume = mirror.get(snapshot.spec.vm), mirror.get(snapshot.spec.disks[number])
    pool = mirror.get(volume.spec.pool) if isinstance(volume, Volume) else None
    if not isinstance(vm, VM) or not isinstance(volume, Volume):
        raise NotFound("Volume", snapshot.spec.disks[number])
    refuse_found(volume)
    if not isinstance(pool, StoragePool):
        raise NotFound("StoragePool", volume.spec.pool)
    if vm.status.node is None:
        raise Unavailable(f"VM {vm.name} has no node", vm=vm.id)
    ask = SendDisk(
        session="",
        vm=VmId(vm.id),
        volume=VolumeId(volume.id),
        pool_path=pool.spec.path,
        snapshot=snapshot.id,
        format=format,
    )
    return vm.status.node, ask


async def _heard(leg: Leg) -> tuple[_Word, bytes]:
    """The node's last word before the bytes, and the first of these. raises ExportFailed"""
    heard = b""
    while True:
        while b"\n" not in heard:
            heard += await _next(leg)
            if len(heard) > WORD_BYTES_MAX and b"\n" not in heard:
                raise ExportFailed("the node sends something else than a disk")
        line, _, heard = heard.partition(b"\n")
        try:
            word = msgspec.json.decode(line, type=_Word)
        except msgspec.MsgspecError:
            raise ExportFailed("the node sends something else than a disk") from None
        if word.trouble:
            raise ExportFailed(word.trouble.message, hint=word.trouble.hint)
        if word.size_bytes is not None:
            return word, heard


async def _next(leg: Leg) -> bytes:
    try:
        async with asyncio.timeout(SILENCE_S):
            return await leg.from_node.take()
    except Ended as ended:
        raise ExportFailed(f"the disk broke off: {ended}", hint="Try again.") from None
    except TimeoutError:
        raise ExportFailed(f"the node said nothing for {SILENCE_S:g} s", hint="Try again.") from None


async def _chunks(leg: Leg, size_bytes: int, first: bytes) -> AsyncGenerator[bytes, None]:
    """Exactly so many bytes. raises ExportFailed: there are fewer, or more"""
    try:
        left, chunk = size_bytes, first
        while True:
            if len(chunk) > left:
                raise ExportFailed("the node sent more than it said")
            left -= len(chunk)
            if chunk:
                yield chunk
            if not left:
                return
            chunk = await _next(leg)
    finally:
        leg.end("all of it is here" if not left else "nobody waits for it any more")
