"""Routes of snapshots."""

from litestar import delete, get, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.snapshot import Snapshot
from corral.model.token import Role
from corral.server.disks_out import ExportFailed, disk_out
from corral.server.http.about import CHANGING, CHANGING_ONE, Parameter, about
from corral.server.http.answers import Answer, Flow
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.reading import reading
from corral.server.services.requests import CloneVM, CreateSnapshot, UpdateLabels
from corral.server.services.snapshots import NotNow, OtherHardware, SnapshotNotReady, TooManySnapshots

EXAMPLES = {
    "of the disks": {"name": "before-upgrade", "description": "packages of November"},
    "with memory": {"name": "at-login", "memory": True},
}


@post("/vms/{vm:str}/snapshots", **about("Snapshots", body=CreateSnapshot, examples=EXAMPLES, answers=Operation,
                                         status=202, parameters=CHANGING,
                                         errors=(Invalid, NotFound, NameTaken, NotNow, TooManySnapshots)))  # fmt: skip
async def create_snapshot(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Take a snapshot of a VM's disks at one moment, running or not; with its memory if it runs.

    It is called VM.NAME. A running guest has its file systems at rest meanwhile if its agent answers; saving memory
    holds the guest up for as long as writing it takes.
    """
    ask, asking, _ = await hear(request, CreateSnapshot)
    return accepted(await api_of(request).services.snapshots.create(vm, ask, asking), asking)


@post("/snapshots/{snap:str}/revert", **about("Snapshots", answers=Operation, status=202, parameters=CHANGING,
                                              errors=(NotFound, NotNow, SnapshotNotReady, OtherHardware)))  # fmt: skip
async def revert_to_snapshot(request: ApiRequest, snap: FromPath[str]) -> Answer:
    """Put the VM's disks back to a snapshot: what was written since is lost, unless another snapshot holds it.

    A running guest loses its power for it and is started again; from the saved memory, if the snapshot has some.
    """
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.snapshots.revert(snap, asking), asking)


@patch("/snapshots/{snap:str}", **about("Snapshots", body=UpdateLabels,
                                        examples={"label it": {"labels": {"keep": "yes"}}}, answers=Operation,
                                        status=202, parameters=CHANGING_ONE,
                                        errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_snapshot(request: ApiRequest, snap: FromPath[str]) -> Answer:
    """Replace a snapshot's labels."""
    ask, asking, _ = await hear(request, UpdateLabels)
    return accepted(await api_of(request).services.snapshots.update(snap, ask, asking), asking)


@delete("/snapshots/{snap:str}", status_code=202, **about("Snapshots", answers=Operation, status=202,
                                                          parameters=CHANGING_ONE,
                                                          errors=(NotFound, PreconditionFailed, InUse, NotNow)))  # fmt: skip
async def delete_snapshot(request: ApiRequest, snap: FromPath[str]) -> Answer:
    """Delete a snapshot, anywhere in the tree: the VM and the other snapshots lose nothing."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.snapshots.delete(snap, asking), asking)


CLONES = {
    "on the same image": {"name": "web-2"},
    "of a snapshot, in full, not started": {
        "name": "web-old",
        "full": True,
        "snapshot": "web.before-upgrade",
        "running": False,
    },
}


@post("/vms/{vm:str}/clone", **about("VMs", body=CloneVM, examples=CLONES, answers=Operation, status=202,
                                     parameters=CHANGING,
                                     errors=(Invalid, NotFound, NameTaken, NotNow, SnapshotNotReady, InUse)))  # fmt: skip
async def clone_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Create a VM that begins as a copy of this one, running or not, or of a snapshot of it.

    It has a name, an id, MACs and addresses of its own, and cloud-init takes it for a new machine. Its volumes stand on
    the same images and hold a copy of what was written over them; with `full` they hold everything.
    """
    ask, asking, _ = await hear(request, CloneVM)
    return accepted(await api_of(request).services.clones.clone(vm, ask, asking), asking)


FORMAT = Parameter(name="format", text="qcow2 (the default) or vmdk (stream-optimised).", example="qcow2")


@get("/snapshots/{snap:str}/disks/{disk:str}", **about("Snapshots", role=Role.OPERATOR, answers=None,
                                                         media_type="application/octet-stream", parameters=(FORMAT,),
                                                         errors=(NotFound, Invalid, SnapshotNotReady,
                                                                 ExportFailed)))  # fmt: skip
async def snapshot_disk(request: ApiRequest, snap: FromPath[str], disk: FromPath[str]) -> Answer:
    """Download a disk of a snapshot as one file that stands alone.

    The node makes the file first, which takes its time; then it comes with its length, and its SHA-256 as ETag.
    """
    api = api_of(request)
    format = Query(request, ("format",)).text("format", "qcow2")
    found = api.mirror.find(Snapshot, snap)
    if not disk.isdecimal() or len(disk) > 3:
        raise Invalid("disk", disk, "a number: 0 is the first one")
    file = await disk_out(api.core.consoles, api.mirror, found, int(disk), format)
    headers = (("etag", f'"{file.sha256}"'), ("cache-control", "no-store"))
    return Flow(file.chunks, "application/octet-stream", headers, length=file.size_bytes)


ROUTES = [
    snapshot_disk,
    clone_vm,
    *reading(Snapshot, tag="Snapshots"),
    create_snapshot,
    revert_to_snapshot,
    update_snapshot,
    delete_snapshot,
]
