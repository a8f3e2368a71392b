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
    IMPORTING = "importing"  # the server fetches, checks or converts them
    READY = "ready"
    FAILED = "failed"  # what was uploaded is not what was promised
    DELETING = "deleting"


IMAGE_PHASE_NEXT: Final[Mapping[ImagePhase, frozenset[ImagePhase]]] = {
    ImagePhase.PENDING: frozenset(ImagePhase) - {ImagePhase.PENDING},
    ImagePhase.IMPORTING: frozenset({ImagePhase.READY, ImagePhase.FAILED, ImagePhase.DELETING}),
    ImagePhase.READY: frozenset({ImagePhase.DELETING}),
    ImagePhase.FAILED: frozenset({ImagePhase.READY, ImagePhase.DELETING}),  # uploaded again
    ImagePhase.DELETING: frozenset(),
}


class ImageSpec(Struct, frozen=True, kw_only=True):
    sha256: str = ""  # promised by whoever uploads it, hexadecimal; empty: not promised
    format: str = ""  # promised format: raw, qcow2, or one that is converted; empty: as sniffed
    os: str = ""  # for people
    url: str = ""  # the server fetches it from there; empty: it is uploaded


class ImageStatus(Struct, frozen=True, kw_only=True):
    phase: ImagePhase = ImagePhase.PENDING
    format: str = ""  # raw or qcow2, as sniffed from the bytes
    size_bytes: int = 0  # of the file
    virtual_bytes: int = 0  # as a guest sees it: a volume on it is at least this large
    sha256: str = ""
    converted_from: str = ""  # the format in which it came: vmdk, vhdx, vdi, vpc; empty: as it is
    step: str = ""  # importing: download, check, convert
    progress: float = 0.0  # importing: 0 to 1
    waiting_for: str = ""  # importing: in words
    copies: dict[str, "ImageCopy"] = {}  # by "PoolId" (shared) or "PoolId@NodeId" (local)
    trouble: Trouble | None = None
    since: float = 0.0


class ImageCopy(Struct, frozen=True, kw_only=True):
    """Where nodes may hold a copy of the image; noted before a node is told to fetch it."""

    pool: PoolId
    node: NodeId  # the node that tidies it up
    unused_since: float | None = None  # Unix time: no volume stands on it from then on
    going: bool = False  # its node is told to remove it
    report: ObjectReport | None = None


VERSION = ":"  # a name with it is a version of a family: debian:12.5
LATEST = "latest"  # no version of its own: the newest that is ready


class Image(Resource, frozen=True, kw_only=True, tag="Image"):
    """A disk image to make volumes from."""

    PREFIX: ClassVar = "img"
    PLURAL: ClassVar = "images"
    SUMMARY: ClassVar = "a read-only source of new volumes"

    spec: ImageSpec = ImageSpec()
    status: ImageStatus = ImageStatus()

    @property
    def family(self) -> str:
        """What its versions have in common; of an image without versions, its name."""
        return self.name.partition(VERSION)[0]
