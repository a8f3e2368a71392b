"""Disks of a new VM: new volumes on images, or volumes that exist."""

from collections.abc import Sequence

import msgspec

from corral.clock import Clock, new_id
from corral.errors import CorralError, InUse, Invalid
from corral.model.ids import ImageId, PoolId, VmId, VolumeId
from corral.model.image import LATEST, VERSION, Image, ImagePhase
from corral.model.pool import StoragePool
from corral.model.profile import DiskChoice, Size
from corral.model.units import GiB, KiB, parse_size
from corral.model.vm import VM, Disk
from corral.model.volume import Volume, VolumeSpec, VolumeStatus
from corral.server.services.hardware import layered, tuned_disk
from corral.server.services.requests import CreateVM, NewDisk
from corral.store.mirror import Mirror

SECTOR_BYTES = 4 * KiB  # volumes are whole ones, also on an image that is not
VOLUME_BYTES_MAX = 64 * 1024 * GiB
DELETE_FILE = "corral.dev/volume"  # finalizer: its file goes first


class ImageNotReady(CorralError):
    """The image has no content that could be used."""

    code = "image.not_ready"
    status = 409

    def __init__(self, image: Image) -> None:
        super().__init__(
            f"image {image.name} is {image.status.phase}",
            hint=f"`corral image show {image.name}` says why; upload its content first.",
            image=image.id,
        )


def new_volumes(
    ask: CreateVM, vm: VmId, mirror: Mirror, clock: Clock, choice: DiskChoice
) -> tuple[tuple[Volume, ...], tuple[Disk, ...], tuple[Volume, ...]]:
    """New volumes, the VM's disks, and the existing volumes among them (unchanged, to be expected as they are).

    choice  how a disk is attached where it does not say so itself
    """
    new: list[Volume] = []
    disks: list[Disk] = []
    used: list[Volume] = []
    for number, disk in enumerate(ask.disks):
        field = f"disks[{number}]"
        if disk.volume:
            volume = _existing(disk, field, mirror)
            used.append(volume)
        else:
            name = f"{ask.name}-{number}"
            volume = plan_volume(
                name, ask.project, disk.pool, disk.image, disk.size, mirror, clock, field + ".", vm
            )
            new.append(volume)
        disks.append(tuned_disk(Disk(volume=VolumeId(volume.id)), layered(choice, disk), field))
    return tuple(new), tuple(disks), tuple(used)


def plan_volume(
    name: str,
    project: str,
    pool: str,
    image: str,
    size: Size,
    mirror: Mirror,
    clock: Clock,
    field: str = "",
    vm: VmId | None = None,
) -> Volume:
    """A volume as asked for. raises Invalid, NotFound, ImageNotReady"""
    source = usable_image(image, mirror) if image else None
    virtual = source.status.virtual_bytes if source else 0
    if not size and not source:
        raise Invalid(field + "size", size, "a size", hint="Without an image, a size has to be given.")
    size_bytes = parse_size(size, field + "size") if size else -(-virtual // SECTOR_BYTES) * SECTOR_BYTES
    if size_bytes < virtual:
        raise Invalid(field + "size", size, f"at least the image's {virtual} bytes")
    if size_bytes > VOLUME_BYTES_MAX or size_bytes % SECTOR_BYTES:
        raise Invalid(field + "size", size, "a multiple of 4 KiB up to 64 TiB")
    now_s = clock.now_s()
    return Volume(
        id=new_id("vol", clock),
        name=name,
        project=project,
        created_at=now_s,
        status=VolumeStatus(since=now_s),  # as its controller would write it: it waits, and nothing more
        finalizers=(DELETE_FILE,),
        spec=VolumeSpec(
            pool=PoolId(the_pool(pool, mirror, field + "pool").id),
            size_bytes=size_bytes,
            image=ImageId(source.id) if source else None,
            vm=vm,
        ),
    )


def usable_image(name: str, mirror: Mirror) -> Image:
    """By id or name; FAMILY and FAMILY:latest mean its newest version. raises NotFound, ImageNotReady"""
    image = newest_version(name, mirror) or mirror.find(Image, name)
    if image.status.phase is not ImagePhase.READY or image.deleting:
        raise ImageNotReady(image)
    return image


def newest_version(name: str, mirror: Mirror) -> Image | None:
    """The newest version that is ready of the family; None: no family is meant, or none of it is ready."""
    family = name.removesuffix(VERSION + LATEST)
    if VERSION in family or (family == name and mirror.named(Image, name)):
        return None
    versions = [i for i in mirror.select(Image, "family", family) if i.status.phase is ImagePhase.READY]
    usable = [i for i in versions if VERSION in i.name and not i.deleting]
    return max(usable, key=lambda image: (image.created_at, image.id), default=None)


def the_pool(name: str, mirror: Mirror, field: str) -> StoragePool:
    """The pool of that name; without a name the only one, or the one called default."""
    if name:
        return mirror.find(StoragePool, name)
    pools = [p for p in mirror.list(StoragePool) if not p.deleting]
    candidates = pools if len(pools) == 1 else [p for p in pools if p.name == "default"]
    if candidates:
        return candidates[0]
    names = ", ".join(p.name for p in pools) or "none yet: `corral pool create` makes one"
    raise Invalid(field, name, "given, and there is no default", hint=f"Pools: {names}.")


def users_of(volume: Volume, mirror: Mirror) -> Sequence[VM]:
    """VMs that have the volume as a disk."""
    return mirror.select(VM, "volume", volume.id)


def _existing(disk: NewDisk, field: str, mirror: Mirror) -> Volume:
    if disk.image or disk.size or disk.pool:
        raise Invalid(field, disk.volume, "either a volume, or image, size and pool")
    volume = mirror.find(Volume, disk.volume)
    if volume.deleting or volume.spec.trash:
        raise Invalid(field + ".volume", disk.volume, "a volume that was not deleted")
    if users := users_of(volume, mirror):
        raise InUse("Volume", volume.name, f"VM {users[0].name}")
    # A new generation, so that of two VMs that want the same volume at once only one gets it.
    return volume.having(generation=volume.generation + 1, spec=msgspec.structs.replace(volume.spec))
