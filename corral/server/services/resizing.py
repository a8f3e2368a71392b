"""Resizing: a volume that is to become larger, used by a VM or not.

Always true    it never becomes smaller: what lies beyond would be cut off
Next door      volumes.py; the node of the VM that has it grows it, else the volume's own
Start here     plan_resize()
"""

import msgspec

from corral.errors import Invalid
from corral.model.operation import Verb
from corral.model.units import format_size, parse_size
from corral.model.volume import Volume, VolumePhase
from corral.server.services.base import Change
from corral.server.services.disks import SECTOR_BYTES, VOLUME_BYTES_MAX, users_of
from corral.server.services.requests import ResizeVolume
from corral.server.services.vm_states import Migrating
from corral.store.interface import Put
from corral.store.mirror import Mirror

RESIZE_S = 120.0


def plan_resize(volume: Volume, ask: ResizeVolume, mirror: Mirror) -> Change:
    """Its VMs get a new generation, so that the node that runs one tells its guest. raises Invalid, Migrating"""
    size_bytes = parse_size(ask.size, "size")
    if size_bytes < volume.spec.size_bytes:
        raise Invalid(
            "size", ask.size, f"at least the {format_size(volume.spec.size_bytes)} that it has",
            hint="Shrinking would cut off what lies beyond: make a smaller volume and copy.",
        )  # fmt: skip
    if size_bytes > VOLUME_BYTES_MAX or size_bytes % SECTOR_BYTES:
        raise Invalid("size", ask.size, "a multiple of 4 KiB up to 64 TiB")
    if volume.deleting or volume.status.phase not in (VolumePhase.READY, VolumePhase.PENDING):
        raise Invalid("volume", volume.name, f"a volume that is ready; it is {volume.status.phase}")
    users = [vm for vm in users_of(volume, mirror) if not vm.deleting]
    if moving := [vm for vm in users if vm.status.migration]:
        raise Migrating(moving[0])
    spec = msgspec.structs.replace(volume.spec, size_bytes=size_bytes)
    grown = volume.having(generation=volume.generation + 1, spec=spec)
    told = [vm.having(generation=vm.generation + 1) for vm in users]
    return Change(
        target=grown,
        writes=tuple(Put(r) for r in (grown, *told)),
        expect={r.id: r.revision for r in (volume, *users)},
        verb=Verb.UPDATE,
        deadline_s=RESIZE_S,
        done=volume.status.node is None,
    )
