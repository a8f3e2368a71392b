"""Routes of volumes."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.volume import Volume
from corral.server.http.about import CHANGING, CHANGING_ONE, Parameter, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import (
    CloneVolume,
    CreateVolume,
    MoveVolume,
    ResizeVolume,
    RestoreVolume,
    UpdateLabels,
)
from corral.server.services.vm_states import Migrating
from corral.server.services.volumes import NotInTrash, VolumeChanging, VolumeMoves, VolumeNotReady

EXAMPLES = {
    "empty": {"name": "data-1", "size": "100GiB", "pool": "shared"},
    "on an image": {"name": "root-1", "image": "debian-12", "size": "20GiB"},
}

PURGE = Parameter(name="purge", type="boolean", text="Delete it for good, without the trash.")
WIPE = Parameter(name="wipe", type="boolean", text="Overwrite all of it with zeros, then delete it for good.")
CLONES = {
    "in full": {"name": "data-2"},
    "linked, in another pool": {"name": "root-2", "linked": True, "pool": "local"},
}


@post("/volumes", **about("Volumes", body=CreateVolume, examples=EXAMPLES, answers=Operation, status=202,
                          parameters=CHANGING, errors=(Invalid, NotFound, NameTaken)))  # fmt: skip
async def create_volume(request: ApiRequest) -> Answer:
    """Create a volume in a pool, empty or thin on top of an image."""
    ask, asking, _ = await hear(request, CreateVolume)
    return accepted(await api_of(request).services.volumes.create(ask, asking), asking)


@post("/volumes/{vol:str}/clone", status_code=202, **about(
    "Volumes", body=CloneVolume, examples=CLONES, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, NotFound, NameTaken, VolumeNotReady, VolumeChanging)))  # fmt: skip
async def clone_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Make a new volume that begins as a copy of this one; the VMs that use this one have to be stopped.

    A full clone stands alone. A linked one keeps standing on the image that this one stands on: it is quick and
    small, as only what was written over the image is copied.
    """
    ask, asking, _ = await hear(request, CloneVolume)
    return accepted(await api_of(request).services.volumes.clone(vol, ask, asking), asking)


@post("/volumes/{vol:str}/resize", status_code=202, **about(
    "Volumes", body=ResizeVolume, examples={"to 40 GiB": {"size": "40GiB"}}, answers=Operation, status=202,
    parameters=CHANGING_ONE, errors=(Invalid, NotFound, PreconditionFailed, Migrating)))  # fmt: skip
async def resize_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Make a volume larger. The guest of a running VM sees it at once; its file system is its own affair."""
    ask, asking, _ = await hear(request, ResizeVolume)
    return accepted(await api_of(request).services.volumes.resize(vol, ask, asking), asking)


@patch("/volumes/{vol:str}", **about("Volumes", body=UpdateLabels, examples={"label it": {"labels": {"env": "prod"}}},
                                     answers=Operation, status=202, parameters=CHANGING_ONE,
                                     errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Replace a volume's labels."""
    ask, asking, _ = await hear(request, UpdateLabels)
    return accepted(await api_of(request).services.volumes.update(vol, ask, asking), asking)


@post("/volumes/{vol:str}/move", status_code=202, **about(
    "Volumes", body=MoveVolume, examples={"to a pool": {"pool": "fast"}}, answers=Operation, status=202,
    parameters=CHANGING_ONE, errors=(Invalid, NotFound, InUse, VolumeNotReady, VolumeMoves)))  # fmt: skip
async def move_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Move a volume to another pool that its node sees, while its VM runs or not.

    A running guest goes on with the new file at the end; the old one is removed after that was seen. A volume with
    snapshots is not moved. Cancelling the operation, or moving it back, leaves it where it is.
    """
    ask, asking, _ = await hear(request, MoveVolume)
    return accepted(await api_of(request).services.volumes.move(vol, ask, asking), asking)


@delete("/volumes/{vol:str}", status_code=202, **about("Volumes", answers=Operation, status=202,
                                                       parameters=(PURGE, WIPE, *CHANGING_ONE),
                                                       errors=(NotFound, PreconditionFailed, InUse)))  # fmt: skip
async def delete_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Put a volume that no VM uses into the trash; one that is there already is deleted for good."""
    _, asking, query = await hear(request, Nothing, "purge", "wipe")
    volumes = api_of(request).services.volumes
    operation = await volumes.delete(vol, asking, purge=query.flag("purge"), wipe=query.flag("wipe"))
    return accepted(operation, asking)


@post("/volumes/{vol:str}/restore", status_code=202, **about(
    "Volumes", body=RestoreVolume, examples={"as it was": {}, "under another name": {"name": "data-old"}},
    answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, NotFound, NameTaken, NotInTrash)))  # fmt: skip
async def restore_volume(request: ApiRequest, vol: FromPath[str]) -> Answer:
    """Take a volume out of the trash, with all that is on it."""
    ask, asking, _ = await hear(request, RestoreVolume)
    return accepted(await api_of(request).services.volumes.restore(vol, ask, asking), asking)


ROUTES = [
    *reading(Volume, tag="Volumes"),
    create_volume,
    clone_volume,
    move_volume,
    update_volume,
    delete_volume,
    restore_volume,
    resize_volume,
    update_volume,
    delete_volume,
]
