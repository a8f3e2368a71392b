"""Routes of VM profiles."""

from litestar import delete, patch, post
from litestar.params import FromPath

from corral.errors import Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.operation import Operation
from corral.model.profile import VMProfile
from corral.server.http.about import CHANGING, CHANGING_ONE, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest
from corral.server.http.reading import reading
from corral.server.services.requests import CreateProfile, UpdateProfile

EXAMPLES = {
    "a database": {
        "name": "database",
        "spec": {
            "summary": "PostgreSQL: hugepages, an I/O thread for each disk",
            "cpus": 8,
            "memory": "32GiB",
            "hardware": {"firmware": "uefi", "hugepages": "1GiB", "watchdog": "reset"},
            "disk": {"cache": "none", "io": "io_uring", "iothread": True},
            "nic": {"queues": 4},
        },
    },
    "Windows desktops": {
        "name": "desktop",
        "spec": {"memory": "8GiB", "hardware": {"guest": "windows", "graphics": "spice"}},
    },
}
CHANGED = {"more memory": {"spec": {"cpus": 8, "memory": "64GiB"}}}


@post("/profiles", **about("Profiles", body=CreateProfile, examples=EXAMPLES, answers=Operation, status=202,
                           parameters=CHANGING, errors=(Invalid, NameTaken)))  # fmt: skip
async def create_profile(request: ApiRequest) -> Answer:
    """Create a VM profile: defaults for VMs that name it. What it leaves open comes from the preset of its guest."""
    ask, asking, _ = await hear(request, CreateProfile)
    return accepted(await api_of(request).services.profiles.create(ask, asking), asking)


@patch("/profiles/{profile:str}", **about("Profiles", body=UpdateProfile, examples=CHANGED, answers=Operation,
                                          status=202, parameters=CHANGING_ONE,
                                          errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_profile(request: ApiRequest, profile: FromPath[str]) -> Answer:
    """Replace a profile's labels or its spec. VMs made with it stay as they are."""
    ask, asking, _ = await hear(request, UpdateProfile)
    return accepted(await api_of(request).services.profiles.update(profile, ask, asking), asking)


@delete("/profiles/{profile:str}", status_code=202, **about("Profiles", answers=Operation, status=202,
                                                            parameters=CHANGING_ONE,
                                                            errors=(NotFound, PreconditionFailed)))  # fmt: skip
async def delete_profile(request: ApiRequest, profile: FromPath[str]) -> Answer:
    """Delete a profile. VMs made with it stay as they are."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.profiles.delete(profile, asking), asking)


ROUTES = [*reading(VMProfile, tag="Profiles"), create_profile, update_profile, delete_profile]
