"""Images: what users can ask for about them; their content arrives at server/images.py.

In this room   each request as a pure decision on the mirror; names of versions
Comes in       requests.py's bodies, and Asking
Goes out       Operations
Next door      disks.py has usable_image(), which finds the newest version
Start here     Images
"""

from typing import Final

from corral.clock import new_id
from corral.errors import InUse, Invalid
from corral.model.image import LATEST, VERSION, Image, ImageSpec
from corral.model.operation import Operation, Verb
from corral.model.volume import Volume
from corral.server.fetching import check_url
from corral.server.services.asking import Asking
from corral.server.services.base import Change, check_labels, check_name
from corral.server.services.requests import CreateImage, UpdateLabels
from corral.server.services.things import Things
from corral.storage.foreign import CONVERTED
from corral.store.interface import Put

FORMATS: Final = ("raw", "qcow2", *CONVERTED)
IMPORT_S: Final = 6 * 3600.0  # for all of it; a source that stalls is noticed much earlier


class Images(Things):
    """Requests about images; their content arrives at server/images.py."""

    async def create(self, ask: CreateImage, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._create(ask))

    async def update(self, image: str, ask: UpdateLabels, asking: Asking) -> Operation:
        return await self.desk.submit(
            asking, lambda: self._relabel(self.mirror.find(Image, image), ask.labels)
        )

    async def delete(self, image: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(Image, image)))

    def _create(self, ask: CreateImage) -> Change:
        sha256 = ask.sha256.lower()
        if sha256 and (len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef")):
            raise Invalid("sha256", ask.sha256, "64 hexadecimal digits")
        if ask.format not in ("", *FORMATS):
            raise Invalid("format", ask.format, f"one of {', '.join(FORMATS)}")
        if ask.url:
            check_url(ask.url)
        check_image_name(ask.name)
        check_labels(ask.labels)
        image = Image(
            id=new_id("img", self.clock),
            name=ask.name,
            project=ask.project,
            labels=ask.labels,
            created_at=self.clock.now_s(),
            finalizers=("corral.dev/image",),
            spec=ImageSpec(sha256=sha256, format=ask.format, os=ask.os, url=ask.url),
        )
        return Change(
            target=image,
            writes=(Put(image),),
            expect={image.id: 0},
            verb=Verb.CREATE,
            done=not ask.url,
            deadline_s=IMPORT_S if ask.url else 600.0,
        )

    def _delete(self, image: Image) -> Change:
        if volumes := self.mirror.select(Volume, "image", image.id):
            raise InUse("Image", image.name, f"Volume {volumes[0].name}")
        return self._going(image)


def check_image_name(name: str) -> None:
    """A name, or FAMILY:VERSION. raises Invalid"""
    family, colon, version = name.partition(VERSION)
    check_name(family)
    if colon:
        check_name(version, "version")
    if version == LATEST:
        raise Invalid(
            "version", version, "a version", hint=f"{LATEST} always means the newest one that is ready."
        )
