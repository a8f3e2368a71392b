"""Routes that change what a VM is made of, and pause it: also while it runs."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.server.http.about import CHANGING_ONE, Parameter, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.services.disks import ImageNotReady
from corral.server.services.nics import NoAddress
from corral.server.services.requests import InsertMedium, LimitDisk, LimitNic, NewDisk, NewNic
from corral.server.services.vm_states import Migrating, NotRunning, StillHeld, VmGoing

FORCE = Parameter(
    name="force",
    type="boolean",
    text="A guest that has not let go after 20 s loses its power, and is started without the device.",
)
FORCE_CD = Parameter(name="force", type="boolean", text="Also when the guest has locked the drive.")
DISKS = {"an existing volume": {"volume": "data-1"}, "a new one": {"size": "20GiB", "pool": "shared"}}
NICS = {"the next free address": {"network": "lan"}, "a given one": {"network": "lan", "address": "10.0.0.9"}}
MEDIA = {"an image": {"image": "debian-12-netinst"}, "a volume": {"volume": "tools"}}
DISK_LIMITS = {"of both": {"limits": {"iops": 500, "bytes_s": 50000000}}, "none any more": {"limits": {}}}
NIC_LIMITS = {"both ways": {"limits": {"in_mbit": 100, "out_mbit": 100}}, "none any more": {"limits": {}}}
ANY = (NotFound, PreconditionFailed, VmGoing, Migrating)


@post("/vms/{vm:str}/disks", status_code=202, **about(
    "VMs", body=NewDisk, examples=DISKS, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, *ANY, InUse, ImageNotReady, StillHeld)))  # fmt: skip
async def attach_disk(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Give a VM a disk, plugged in at once when it runs. What QEMU or the guest refuses is taken back."""
    ask, asking, _ = await hear(request, NewDisk)
    return accepted(await api_of(request).services.changes.attach_disk(vm, ask, asking), asking)


@delete("/vms/{vm:str}/disks/{volume:str}", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=(FORCE, *CHANGING_ONE), errors=(Invalid, *ANY)))  # fmt: skip
async def detach_disk(request: ApiRequest, vm: FromPath[str], volume: FromPath[str]) -> Answer:
    """Take a disk from a VM; its volume stays. Nobody else can have the volume until the guest has let go."""
    _, asking, query = await hear(request, Nothing, "force")
    changes = api_of(request).services.changes
    return accepted(await changes.detach_disk(vm, volume, asking, force=query.flag("force")), asking)


@patch("/vms/{vm:str}/disks/{volume:str}", status_code=202, **about(
    "VMs", body=LimitDisk, examples=DISK_LIMITS, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, *ANY)))  # fmt: skip
async def limit_disk(request: ApiRequest, vm: FromPath[str], volume: FromPath[str]) -> Answer:
    """Limit what a VM's disk may do in a second; at once when it runs."""
    ask, asking, _ = await hear(request, LimitDisk)
    return accepted(await api_of(request).services.changes.limit_disk(vm, volume, ask, asking), asking)


@post("/vms/{vm:str}/nics", status_code=202, **about(
    "VMs", body=NewNic, examples=NICS, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, *ANY, NoAddress, StillHeld)))  # fmt: skip
async def attach_nic(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Give a VM a NIC, plugged in at once when it runs."""
    ask, asking, _ = await hear(request, NewNic)
    return accepted(await api_of(request).services.changes.attach_nic(vm, ask, asking), asking)


@delete("/vms/{vm:str}/nics/{nic:str}", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=(FORCE, *CHANGING_ONE), errors=(Invalid, *ANY)))  # fmt: skip
async def detach_nic(request: ApiRequest, vm: FromPath[str], nic: FromPath[str]) -> Answer:
    """Take a NIC from a VM: by its MAC or IP address, or by its network if it has one there."""
    _, asking, query = await hear(request, Nothing, "force")
    changes = api_of(request).services.changes
    return accepted(await changes.detach_nic(vm, nic, asking, force=query.flag("force")), asking)


@patch("/vms/{vm:str}/nics/{nic:str}", status_code=202, **about(
    "VMs", body=LimitNic, examples=NIC_LIMITS, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, *ANY)))  # fmt: skip
async def limit_nic(request: ApiRequest, vm: FromPath[str], nic: FromPath[str]) -> Answer:
    """Limit what a VM's NIC may carry in a second; at once when it runs. By its MAC or IP address, or its network."""
    ask, asking, _ = await hear(request, LimitNic)
    return accepted(await api_of(request).services.changes.limit_nic(vm, nic, ask, asking), asking)


@post("/vms/{vm:str}/insert", status_code=202, **about(
    "VMs", body=InsertMedium, examples=MEDIA, answers=Operation, status=202, parameters=CHANGING_ONE,
    errors=(Invalid, *ANY, InUse, ImageNotReady)))  # fmt: skip
async def insert(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Put an image or a volume into a VM's CD drive, in the place of what is in it."""
    ask, asking, _ = await hear(request, InsertMedium)
    return accepted(await api_of(request).services.changes.insert(vm, ask, asking), asking)


@post("/vms/{vm:str}/eject", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=(FORCE_CD, *CHANGING_ONE), errors=(Invalid, *ANY)))  # fmt: skip
async def eject(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Empty a VM's CD drive."""
    _, asking, query = await hear(request, Nothing, "force")
    return accepted(
        await api_of(request).services.changes.eject(vm, asking, force=query.flag("force")), asking
    )


@post("/vms/{vm:str}/pause", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=CHANGING_ONE, errors=(*ANY, NotRunning)))  # fmt: skip
async def pause(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Let a VM's vCPUs stand still; its memory stays where it is."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.changes.pause(vm, asking), asking)


@post("/vms/{vm:str}/resume", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=CHANGING_ONE, errors=(*ANY, NotRunning)))  # fmt: skip
async def resume(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Let a paused VM go on."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.changes.resume(vm, asking), asking)


@post("/vms/{vm:str}/suspend", status_code=202, **about(
    "VMs", answers=Operation, status=202, parameters=CHANGING_ONE, errors=(*ANY, NotRunning)))  # fmt: skip
async def suspend(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Write a VM's memory to its node's disk and stop it. The next start goes on from there."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.changes.suspend(vm, asking), asking)


ROUTES = [
    attach_disk,
    detach_disk,
    limit_disk,
    attach_nic,
    detach_nic,
    limit_nic,
    insert,
    eject,
    pause,
    resume,
    suspend,
]
