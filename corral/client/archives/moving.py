"""Moving: a VM into an archive, and out of one.

In this room   export_vm(), import_vm(): requests in order, and what is undone when one fails
Comes in       a Client; the name of a VM; a path
Goes out       an archive; or a new VM, and the images that its volumes stand on
Always true    the VM may run: a snapshot is what is exported, and it goes afterwards, however this ends. An import that
               fails takes away what it made. Images are checked by the server as every upload is.
Next door      reading.py, writing.py
Start here     export_vm()
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from corral import __version__
from corral.client.archives.contents import (
    MANIFEST,
    ArchivedDisk,
    ArchivedVM,
    BadArchive,
    Manifest,
    archived,
)
from corral.client.archives.ovf import build_ovf
from corral.client.archives.reading import Archive, Slice
from corral.client.archives.writing import ArchiveFailed, writing
from corral.client.connection import Request
from corral.client.watch import ended, wait
from corral.clock import new_secret
from corral.errors import CorralError, Invalid, NotFound
from corral.model.operation import Operation
from corral.model.snapshot import Snapshot
from corral.model.units import KiB

if TYPE_CHECKING:
    from corral.client.client import Client

Progress = Callable[[str, int, int], None]
NATIVE, OVA = "native", "ova"
FORMATS: Final = {NATIVE: "qcow2", OVA: "vmdk"}  # of the disks
MADE_S: Final = 6 * 3600.0  # for a node to make the file of a disk: it answers then
TIDY_S_MAX: Final = 60.0
FOR: Final = "corral.dev/imported-for"  # label of the images
SECTOR: Final = 4 * KiB


def export_vm(
    client: "Client", name: str, path: Path, *, format: str = NATIVE, progress: Progress | None = None
) -> Manifest:
    """Write a VM, running or not, into a new file; what is in it.

    raises  Invalid, ArchiveFailed, and what the server refuses with
    """
    if format not in FORMATS:
        raise Invalid("format", format, f"one of {', '.join(FORMATS)}")
    tell = progress or (lambda what, done, size: None)
    vm = client.vms.get(name)
    with writing(path) as writer, _snapshot(client, name) as snapshot:
        description = _described(client, vm.name, snapshot, FORMATS[format])
        if format == OVA:
            writer.text(f"{vm.name}.ovf", build_ovf(description))
        for number, disk in enumerate(description.disks):
            with _downloaded(client, snapshot, number, FORMATS[format]) as source:
                writer.disk(disk.file, source, lambda done, size, file=disk.file: tell(file, done, size))  # type: ignore[misc]
        manifest = Manifest(vm=description, files=tuple(writer.files), corral=__version__)
        if format == OVA:
            lines = [f"SHA256({file.name})= {file.sha256}\n" for file in writer.files]
            writer.text(f"{vm.name}.mf", "".join(lines).encode())
        else:
            writer.text(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return manifest


def import_vm(
    client: "Client",
    path: Path,
    *,
    name: str = "",
    pool: str = "",
    network: str = "",
    running: bool = True,
    progress: Progress | None = None,
) -> Operation:
    """Make a new VM of an archive; the Operation that creates it.

    name     of the new VM; empty: as in the archive
    network  for all of its NICs; empty: networks of the same names
    raises   Invalid, BadArchive, and what the server refuses with
    """
    tell = progress or (lambda what, done, size: None)
    archive = Archive.open(path, tell)
    name = name or archive.vm.name.lower().replace(" ", "-").replace("_", "-")
    nics = _nics(client, archive.vm, network)
    empty = [{"size": _rounded(disk.size_bytes), "pool": pool} for disk in archive.vm.disks]
    client.vms.having(dry_run=True).create(**_body(archive.vm, name, nics, empty, running))
    made: list[str] = []
    try:
        for number, disk in enumerate(archive.disks):
            image = f"{name}-disk{number}"
            _upload(client, image, disk, name, made, tell)
        disks = [_disk(client, image, disk, pool) for image, disk in zip(made, archive.vm.disks, strict=True)]
        return client.vms.create(**_body(archive.vm, name, nics, disks, running))
    except (CorralError, KeyboardInterrupt):
        for image in made:
            with suppress(CorralError):
                wait(client.connection, client.images.delete(image), timeout_s=TIDY_S_MAX)
        raise


# ---- export


@contextmanager
def _snapshot(client: "Client", vm: str) -> Iterator[Snapshot]:
    """Of the VM as it is now; gone at the end."""
    name = f"export-{new_secret(client.connection.clock, 40)}"
    operation = client.snapshots.take(vm, name, description="for an export")
    id = operation.spec.target.id
    try:
        client.operations.wait(operation)
        yield client.snapshots.get(id)
    finally:
        with suppress(CorralError):  # the export is what counts; the next `snapshot list` shows what is left
            client.operations.wait(client.snapshots.delete(id), timeout_s=TIDY_S_MAX)


def _described(client: "Client", vm: str, snapshot: Snapshot, suffix: str) -> ArchivedVM:
    found = client.vms.get(snapshot.spec.vm)
    buses = {disk.volume: str(disk.bus) for disk in found.spec.disks}
    disks = tuple(
        ArchivedDisk(
            file=f"{vm}-disk{number}.{suffix}",
            size_bytes=client.volumes.get(volume).spec.size_bytes,
            bus=buses.get(volume, ""),
        )
        for number, volume in enumerate(snapshot.spec.disks)
    )
    return archived(found, disks, client.networks.names())


class _Download:
    """A disk that arrives."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.size_bytes = int(stream.header("content-length") or 0)
        self.sha256: str = (stream.header("etag") or "").strip('"')

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        return data


@contextmanager
def _downloaded(client: "Client", snapshot: Snapshot, number: int, format: str) -> Iterator[_Download]:
    request = Request("GET", f"/api/v1/snapshots/{snapshot.id}/disks/{number}", {"format": format})
    try:
        stream = client.connection.open_stream(request, MADE_S)
        try:
            yield _Download(stream)
        finally:
            stream.close()
    except CorralError:
        raise
    except Exception as error:
        raise ArchiveFailed(
            f"disk {number} of {snapshot.name} broke off: {error}", hint="Try again."
        ) from None


# ---- import


def _nics(client: "Client", vm: ArchivedVM, network: str) -> list[dict[str, str]]:
    """Raises Invalid: a network is not there"""
    nics: list[dict[str, str]] = []
    for nic in vm.nics:
        wanted = network or nic.network
        try:
            client.networks.get(wanted)
        except (NotFound, Invalid):
            known = ", ".join(sorted(client.networks.names().values())) or "none yet"
            raise Invalid(
                "network", wanted, "a network here", hint=f"Choose one for all NICs: {known}."
            ) from None
        nics.append({"network": wanted, **({"model": nic.model} if nic.model else {})})
    return nics


def _upload(client: "Client", image: str, disk: Slice, vm: str, made: list[str], progress: Progress) -> None:
    client.images.create(name=image, sha256=disk.sha256, labels={FOR: vm})
    made.append(image)

    def body() -> Iterator[bytes]:
        done = 0
        for piece in disk.pieces():
            yield piece
            done += len(piece)
            progress(disk.name, done, disk.size_bytes)

    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(disk.size_bytes)}
    request = Request("PUT", f"/api/v1/images/{quote(image, safe='')}/content", body=body, headers=headers)
    answer = client.connection.send(request)
    ended(wait(client.connection, msgspec.json.decode(answer.body, type=Operation)))


def _disk(client: "Client", image: str, disk: ArchivedDisk, pool: str) -> dict[str, object]:
    """Raises BadArchive: the image is larger than the archive says"""
    real = client.images.get(image).status.virtual_bytes
    if disk.size_bytes < real:
        raise BadArchive(f"{disk.file} is a disk of {real} bytes, and {disk.size_bytes} were promised")
    body: dict[str, object] = {"image": image, "size": _rounded(disk.size_bytes), "pool": pool}
    return body | ({"bus": disk.bus} if disk.bus else {})


def _rounded(size_bytes: int) -> int:
    return -(-size_bytes // SECTOR) * SECTOR


def _body(
    vm: ArchivedVM, name: str, nics: Sequence[object], disks: Sequence[object], running: bool
) -> dict[str, object]:
    return {
        "name": name,
        "labels": vm.labels,
        "cpus": vm.cpus,
        "memory": vm.memory_bytes,
        "hardware": vm.hardware,
        "nics": nics,
        "disks": disks,
        "cloud_init": msgspec.to_builtins(vm.cloud_init),
        "restart": str(vm.restart),
        "stop_timeout_s": vm.stop_timeout_s,
        "running": running,
    }
