"""Image: read-only source of new volumes. The server keeps its bytes; pools hold copies."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from msgspec import Struct

from corral.model.ids import NodeId, PoolId
from corral.model.resource import Resource, Trouble
from corral.model.volume import ObjectReport


class ImagePhase(StrEnum):
    PENDING = "pending"  # its bytes have not been uploaded yet
    READY = "ready"
    FAILED = "failed"  # what was uploaded is not what was promised
    DELETING = "deleting"


IMAGE_PHASE_NEXT: Final[Mapping[ImagePhase, frozenset[ImagePhase]]] = {
    ImagePhase.PENDING: frozenset({ImagePhase.READY, ImagePhase.FAILED, ImagePhase.DELETING}),
    ImagePhase.READY: frozenset({ImagePhase.DELETING}),
    ImagePhase.FAILED: frozenset({ImagePhase.READY, ImagePhase.DELETING}),  # uploaded again
    ImagePhase.DELETING: frozenset(),
}


class ImageSpec(Struct, frozen=True, kw_only=True):
    sha256: str = ""  # promised by whoever uploads it, hexadecimal; empty: not promised
    format: str = ""  # promised format, raw or qcow2; empty: as sniffed
    os: str = ""  # for people


class ImageStatus(Struct, frozen=True, kw_only=True):
    phase: ImagePhase = ImagePhase.PENDING
    format: str = ""  # raw or qcow2, as sniffed from the bytes
    size_bytes: int = 0  # of the file
    virtual_bytes: int = 0  # as a guest sees it: a volume on it is at least this large
    sha256: str = ""
    copies: dict[str, "ImageCopy"] = {}  # by "PoolId" (shared) or "PoolId@NodeId" (local)
    trouble: Trouble | None = None
    since: float = 0.0


class ImageCopy(Struct, frozen=True, kw_only=True):
    """Where nodes may hold a copy of the image; noted before a node is told to fetch it."""

    pool: PoolId
    node: NodeId  # the node that tidies it up
    report: ObjectReport | None = None


class Image(Resource, frozen=True, kw_only=True, tag="Image"):
    """A disk image to make volumes from."""

    PREFIX: ClassVar = "img"
    PLURAL: ClassVar = "images"
    SUMMARY: ClassVar = "a read-only source of new volumes"

    spec: ImageSpec = ImageSpec()
    status: ImageStatus = ImageStatus()
