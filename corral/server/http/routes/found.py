"""Routes of found domains: what runs on nodes and is not Corral's, taken over and handed back."""

from litestar import post
from litestar.params import FromPath

from corral.errors import Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.found import FoundDomain
from corral.model.operation import Operation
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer, answer_json
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.adopting import Adoption, AdoptionRefused, FileInUse, MacInUse, UuidInUse
from corral.server.services.drifting import DriftChanged, NoDrift
from corral.server.services.requests import AdoptDomain, SettleDrift
from corral.server.services.vms import Migrating, VmGoing

EXAMPLES = {"under its own name": {}, "under another": {"name": "web-1", "labels": {"env": "prod"}}}
REFUSALS = (Invalid, NotFound, NameTaken, AdoptionRefused, UuidInUse, FileInUse, MacInUse)


@post("/found-domains/{found:str}/adopt", **about("Nodes", body=AdoptDomain, examples=EXAMPLES, answers=Operation,
                                                  status=202, parameters=CHANGING, errors=REFUSALS))  # fmt: skip
async def adopt_domain(request: ApiRequest, found: FromPath[str]) -> Answer:
    """Make a VM of a domain. Its guest runs on untouched, its UUID and all of its definition stay."""
    ask, asking, _ = await hear(request, AdoptDomain)
    return accepted(await api_of(request).services.adoptions.adopt(found, ask, asking), asking)


@post("/found-domains/{found:str}/preview", **about("Nodes", body=AdoptDomain, examples=EXAMPLES, answers=Adoption,
                                                    status=200, errors=REFUSALS))  # fmt: skip
async def preview_adoption(request: ApiRequest, found: FromPath[str]) -> Answer:
    """Show what an adoption would make of a domain: the VM, its volumes, ports and networks. Changes nothing."""
    ask, _, _ = await hear(request, AdoptDomain)
    return answer_json(api_of(request).services.adoptions.preview(found, ask))


@post("/vms/{vm:str}/release", **about("VMs", answers=Operation, status=202, parameters=CHANGING_ONE,
                                       errors=(NotFound, PreconditionFailed, VmGoing, Migrating)))  # fmt: skip
async def release_vm(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Hand a VM back: its domain goes on without Corral. All files stay, Corral's records of it go."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.adoptions.release(vm, asking), asking)


@post("/vms/{vm:str}/drift", **about("VMs", body=SettleDrift, answers=Operation, status=202, parameters=CHANGING_ONE,
                                     examples={"take it over": {"settle": "accept"}, "undo it": {"settle": "revert"}},
                                     errors=(Invalid, NotFound, PreconditionFailed, NoDrift, DriftChanged,
                                             AdoptionRefused, FileInUse, VmGoing, Migrating)))  # fmt: skip
async def settle_drift(request: ApiRequest, vm: FromPath[str]) -> Answer:
    """Settle what somebody else changed in a VM's definition: take it over, or undo it.

    What was changed stands in `status.reports` of its node, as `drift`.
    """
    ask, asking, _ = await hear(request, SettleDrift)
    return accepted(await api_of(request).services.drifting.settle(vm, ask, asking), asking)


ROUTES = [
    *reading(FoundDomain, tag="Nodes", parameter="found"),
    adopt_domain,
    preview_adoption,
    release_vm,
    settle_drift,
]
