"""Image controller: has images with a URL fetched; takes an image's copies out of the pools, then its bytes off the server."""

from collections.abc import Awaitable, Callable, Iterable, Iterator

import msgspec

from corral.controllers.copies import due_s, tidied
from corral.controllers.desk import LeaderDesk, Seat
from corral.model.image import Image, ImageCopy, ImagePhase
from corral.model.pool import StoragePool
from corral.model.volume import ObjectState, Volume
from corral.store.interface import Change, Remove
from corral.store.mirror import Mirror

UNDER_WAY = (ImagePhase.PENDING, ImagePhase.IMPORTING)
KEEP_S = 7 * 86_400.0  # for a copy that no volume stands on
LOOK_AT_COPIES_S = 600.0
LOOK_S = 30.0  # an import that met a bug is begun again


def copies_left(image: Image, mirror: Mirror) -> dict[str, ImageCopy]:
    """Copies that may still be in a pool: not reported gone, on a node and in a pool that exist."""
    return {
        key: copy
        for key, copy in image.status.copies.items()
        if mirror.get(copy.node)
        and mirror.get(copy.pool)
        and not (copy.report and copy.report.state is ObjectState.ABSENT and not copy.report.wanted)
    }


class ImageController(Seat):
    """One key an image."""

    name = "image"
    workers = 2

    def __init__(
        self,
        desk: LeaderDesk,
        forget: Callable[[str], Awaitable[None]] | None = None,
        fetch: Callable[[str], None] | None = None,
        keep_s: float = KEEP_S,
    ) -> None:
        super().__init__(desk)
        self.forget = forget  # removes the server's own bytes
        self.keep_s, self.look_s = keep_s, min(LOOK_AT_COPIES_S, keep_s / 3)
        self.fetch = fetch  # sees that an image with a URL is fetched

    def all_keys(self) -> Iterable[str]:
        return [i.id for i in self.mirror.list(Image)]

    def keys(self, change: Change) -> Iterator[str]:
        if isinstance(change.resource, Image):
            yield change.resource.id

    async def reconcile(self, key: str) -> float | None:
        image = self.mirror.get(key)
        if not isinstance(image, Image):
            return None
        if not image.deleting:
            if image.status.phase is ImagePhase.READY:
                return await self._tidy(image)
            if self.fetch and image.spec.url and image.status.phase in UNDER_WAY:
                self.fetch(image.id)
                return LOOK_S
            return None
        copies = copies_left(image, self.mirror)
        if not copies:
            if self.forget:
                await self.forget(image.id)
            await self.desk.commit([Remove(image.id)], {image.id: image.revision})
            return None
        status = msgspec.structs.replace(image.status, copies=copies, phase=ImagePhase.DELETING)
        if status != image.status:
            await self.desk.replace(image.having(status=status))
        return None

    async def _tidy(self, image: Image) -> float | None:
        """Have copies removed that no volume stands on for long. None: looked at again when the image changes."""
        if not image.status.copies or self.keep_s <= 0:
            return None
        now_s = self.clock.now_s()
        shared = frozenset(pool.id for pool in self.mirror.list(StoragePool) if pool.spec.shared)
        copies = tidied(image, self.mirror.select(Volume, "image", image.id), shared, now_s, self.keep_s)
        if copies != image.status.copies:
            status = msgspec.structs.replace(image.status, copies=copies)
            await self.desk.replace(image.having(status=status))
            return None
        return due_s(image, now_s, self.keep_s, self.look_s)
