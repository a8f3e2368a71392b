"""Routes of VMs."""

from litestar import delete, get, patch, post
from litestar.params import FromPath

from corral.errors import Invalid, NameTaken, NotFound, PreconditionFailed, Protected
from corral.model.ids import VmId
from corral.model.operation import Operation
from corral.model.vm import VM
from corral.server.http.about import CHANGING, CHANGING_ONE, Parameter, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.facts import PARAMETERS as FACTS
from corral.server.http.facts import Figures, FigureSeries, answer_facts
from corral.server.http.pictures import Row
from corral.server.http.queries import ApiRequest, Query
from corral.server.http.reading import reading
from corral.server.services.disks import ImageNotReady
from corral.server.services.explaining import Explanation, explain
from corral.server.services.migration import MigrationPrevented, Preflight
from corral.server.services.requests import CreateVM, MigrateVM, UpdateVM
from corral.server.services.room import NoRoomToGrow
from corral.server.services.vm_states import Migrating, NotRunning, VmGoing
from corral.server.services.vms import BoundToNode

FORCE = Parameter(name="force", type="boolean", text="Do not wait for the guest to shut down.")
TO = Parameter(name="to", text="Only for this node.", example="node2")
ERASE = Parameter(
    name="erase", type="boolean", text="Delete also files of an adopted VM that were there before Corral."
)
KEEP = Parameter(name="keep_volumes", type="boolean", text="Leave its volumes behind.")
PURGE = Parameter(name="purge", type="boolean", text="Delete its volumes for good, without the trash.")
UPDATES = {"protect it": {"protected": True}, "more of both": {"cpus": 4, "memory": "8GiB"}}
EXAMPLES = {
    "from an image": {
        "name": "web-1",
        "cpus": 2,
        "memory": "2GiB",
        "disks": [{"image": "debian-12", "size": "20GiB", "pool": "shared"}],
        "nics": [{"network": "lan"}],
        "cloud_init": {
            "user_data": "#cloud-config\nhostname: web-1\nssh_authorized_keys: [ssh-ed25519 AAAA…]\n"
        },
        "labels": {"env": "prod"},
    },
    "Windows": {
        "name": "desk-1",
        "hardware": {"guest": "windows", "graphics": "spice"},
        "memory": "8GiB",
        "disks": [{"image": "windows-11", "size": "64GiB", "pool": "shared"}],
        "nics": [{"network": "lan"}],
    },
    "tuned": {
        "name": "db-1",
        "cpus": 8,
        "memory": "32GiB",
        "hardware": {"firmware": "uefi", "hugepages": "1GiB", "pinning": {"vcpus": ["8-15"], "cells": "1"}},
        "disks": [
            {"size": "100GiB", "pool": "shared", "io": "io_uring", "iothread": True, "limits": {"iops": 5000}}
        ],
        "nics": [{"network": "lan", "queues": 4, "limits": {"in_mbit": 1000, "out_mbit": 1000}}],
    },
    "as small as can be": {"name": "tiny", "memory": "128MiB", "running": False},
}


@post("/vms", **about("VMs", body=CreateVM, examples=EXAMPLES, answers=Operation, status=202, parameters=CHANGING,
                      errors=(Invalid, NotFound, NameTaken, ImageNotReady)))  # fmt: skip
async def create_vm(request: ApiRequest) -> Answer:
    """Create a VM with its volumes and ports, place it on a node, and start it unless `running` is false."""
    ask, asking, _ = await hear(request, CreateVM)
    return accepted(await api_of(request).services.vms.create(ask, asking), asking)


@patch("/vms/{vm:str}", **about("VMs", body=UpdateVM, examples=UPDATES, answers=Operation,
                                status=202, parameters=CHANGING_ONE,
                                errors=(Invalid, NotFound, PreconditionFailed, VmGoing, Migrating, NameTaken, NoRoomToGrow)))  # fmt: skip
async def update_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Change a VM's vCPUs, memory, name, labels, protection, restart policy or stop timeout.

    vCPUs and memory of a running VM change at once, as far as it was started with room for that; the rest is
    pending until it is stopped and started (`status.reports.*.pending`).
    """
    ask, asking, _ = await hear(request, UpdateVM)
    return accepted(await api_of(request).services.changes.update(vm, ask, asking), asking)


@delete("/vms/{vm:str}", status_code=202, **about("VMs", answers=Operation, status=202,
                                                  parameters=(KEEP, PURGE, ERASE, *CHANGING_ONE),
                                                  errors=(Invalid, NotFound, PreconditionFailed, Protected)))  # fmt: skip
async def delete_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Stop a VM and delete it. The volumes that were made for it go into the trash."""
    _, asking, query = await hear(request, Nothing, "keep_volumes", "purge", "erase")
    keep, purge, erase = query.flag("keep_volumes"), query.flag("purge"), query.flag("erase")
    vms = api_of(request).services.vms
    return accepted(await vms.delete(vm, asking, keep_volumes=keep, purge=purge, erase=erase), asking)


@post("/vms/{vm:str}/start", **about("VMs", answers=Operation, status=202, parameters=CHANGING_ONE,
                                     errors=(NotFound, PreconditionFailed, VmGoing)))  # fmt: skip
async def start_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Start a VM. One that runs stays as it is."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.vms.start(vm, asking), asking)


@post("/vms/{vm:str}/stop", **about("VMs", answers=Operation, status=202, parameters=(FORCE, *CHANGING_ONE),
                                    errors=(NotFound, PreconditionFailed, VmGoing)))  # fmt: skip
async def stop_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Ask the guest to shut down, and force it after the VM's stop timeout."""
    _, asking, query = await hear(request, Nothing, "force")
    return accepted(await api_of(request).services.vms.stop(vm, asking, force=query.flag("force")), asking)


@post("/vms/{vm:str}/restart", **about("VMs", answers=Operation, status=202, parameters=(FORCE, *CHANGING_ONE),
                                       errors=(NotFound, PreconditionFailed, VmGoing)))  # fmt: skip
async def restart_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Stop a VM and start it again, with a new QEMU process."""
    _, asking, query = await hear(request, Nothing, "force")
    return accepted(await api_of(request).services.vms.restart(vm, asking, force=query.flag("force")), asking)


@post("/vms/{vm:str}/migrate", **about("VMs", body=MigrateVM, answers=Operation, status=202, parameters=CHANGING_ONE,
                                       examples={"to a node": {"target": "node2"}, "wherever it fits": {}},
                                       errors=(Invalid, NotFound, PreconditionFailed, NotRunning, BoundToNode,
                                               MigrationPrevented)))  # fmt: skip
async def migrate_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Move a running VM to another node without stopping the guest."""
    ask, asking, _ = await hear(request, MigrateVM)
    return accepted(await api_of(request).services.vms.migrate(vm, ask, asking), asking)


@get(
    "/vms/{vm:str}/facts",
    **about("VMs", answers=Figures | FigureSeries, stream=Row, parameters=FACTS, errors=(NotFound, Invalid)),
)
async def vm_facts(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Show the latest figures of a VM: CPU, memory, block and net rates. Empty while its node sends none."""
    api = api_of(request)
    found = api.mirror.find(VM, vm)
    id, hub = VmId(found.id), api.core.hub
    return answer_facts(request, found, lambda: hub.vm_facts(id), lambda: hub.vm_series(id))


@get(
    "/vms/{vm:str}/preflight", **about("VMs", answers=Preflight, parameters=(TO,), errors=(NotFound, VmGoing))
)
async def preflight_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Show what would prevent a live migration, for every node or for `to`, and how long it would take."""
    to = Query(request, ("to",)).text("to")
    return answer_json(api_of(request).services.vms.preflight(vm, to))


@get("/vms/{vm:str}/explain", **about("VMs", answers=Explanation, errors=(NotFound,)))
async def explain_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Explain a VM: why it is where it is, where it could be instead, what it waits for, what happened lately.

    `pending` has what the running VM gets at its next start only; what waits for its guest is in `waits_for`.
    """
    mirror = api_of(request).mirror
    return answer_json(explain(mirror, mirror.find(VM, vm)))


ROUTES = [
    *reading(VM, tag="VMs"),
    create_vm,
    update_vm,
    delete_vm,
    start_vm,
    stop_vm,
    restart_vm,
    migrate_vm,
    vm_facts,
    preflight_vm,
    explain_vm,
]
