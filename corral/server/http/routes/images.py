"""Routes of images."""

from collections.abc import AsyncIterator

from litestar import delete, patch, post, put
from litestar.params import FromPath

from corral.errors import InUse, Invalid, NameTaken, NotFound, PreconditionFailed
from corral.model.image import Image
from corral.model.operation import Operation
from corral.server.http.about import CHANGING, CHANGING_ONE, IF_MATCH, about
from corral.server.http.answers import Answer
from corral.server.http.api import api_of
from corral.server.http.changing import Nothing, accepted, hear
from corral.server.http.queries import ApiRequest, Query, asking_of
from corral.server.http.reading import reading
from corral.server.services.requests import CreateImage, UpdateLabels

EXAMPLES = {
    "with a promised checksum": {
        "name": "debian-12",
        "os": "Debian 12",
        "format": "qcow2",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    "a version, fetched by the server": {
        "name": "debian:12.5",
        "url": "https://cloud.debian.org/image.qcow2",
    },
    "as it comes": {"name": "tiny"},
}


@post("/images", **about("Images", body=CreateImage, examples=EXAMPLES, answers=Operation, status=202,
                         parameters=CHANGING, errors=(Invalid, NameTaken)))  # fmt: skip
async def create_image(request: ApiRequest) -> Answer:
    """Create an image; its bytes follow with PUT /images/{img}/content, or the server fetches them from `url`.

    A download goes on where it broke off, and is refused when it leads to a private address that the server was not
    told to allow. A name like debian:12.5 makes a version: `debian` then means the newest one that is ready.
    """
    ask, asking, _ = await hear(request, CreateImage)
    return accepted(await api_of(request).services.images.create(ask, asking), asking)


@put("/images/{img:str}/content", request_max_body_size=None,
     **about("Images", upload=True, answers=Operation, status=202, parameters=(IF_MATCH,),
             errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def upload_image(request: ApiRequest, img: FromPath[str]) -> Answer:
    """Upload the bytes of an image, as a stream of any length: raw or qcow2; vmdk, vhdx, vdi and vpc become qcow2.

    They are checked against what was promised, and for what they are: a qcow2 with a backing file is refused, and the
    operation that failed is named in the answer. The
    same request again replaces what an attempt that broke off has left.
    """
    asking = asking_of(request, b"", Query(request, ()))
    return accepted(await api_of(request).core.image_store.receive(img, _chunks(request), asking), asking)


async def _chunks(request: ApiRequest) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk


@patch("/images/{img:str}", **about("Images", body=UpdateLabels, examples={"label it": {"labels": {"os": "debian"}}},
                                    answers=Operation, status=202, parameters=CHANGING_ONE,
                                    errors=(Invalid, NotFound, PreconditionFailed)))  # fmt: skip
async def update_image(request: ApiRequest, img: FromPath[str]) -> Answer:
    """Replace an image's labels."""
    ask, asking, _ = await hear(request, UpdateLabels)
    return accepted(await api_of(request).services.images.update(img, ask, asking), asking)


@delete("/images/{img:str}", status_code=202, **about("Images", answers=Operation, status=202,
                                                      parameters=CHANGING_ONE,
                                                      errors=(NotFound, PreconditionFailed, InUse)))  # fmt: skip
async def delete_image(request: ApiRequest, img: FromPath[str]) -> Answer:
    """Delete an image that no volume is made from, and its copies in all pools."""
    _, asking, _ = await hear(request, Nothing)
    return accepted(await api_of(request).services.images.delete(img, asking), asking)


ROUTES = [*reading(Image, tag="Images"), create_image, upload_image, update_image, delete_image]
