"""Copies of images in pools: which go, and when."""

import pytest

from corral.controllers.copies import due_s, tidied
from corral.model.ids import ImageId, NodeId, PoolId
from corral.model.image import Image, ImageCopy, ImageStatus
from corral.model.volume import ObjectReport, ObjectState, Trash, Volume, VolumeSpec, VolumeStatus

NEAR, FAR = PoolId("pool-near"), PoolId("pool-far")
SHARED = frozenset({"pool-s"})
GONE = ObjectReport(state=ObjectState.ABSENT, wanted=False)
TRASH = Trash(name="a", at=0.0, until=9.0)


def copy(**fields: object) -> ImageCopy:
    return ImageCopy(**{"pool": NEAR, "node": NodeId("n1"), **fields})  # type: ignore[arg-type]


def volume(wanted: str = NEAR, node: str = "n1", **fields: object) -> Volume:
    status = {k: fields.pop(k) for k in ("pool", "moving") if k in fields}
    spec = VolumeSpec(pool=PoolId(wanted), size_bytes=1, image=ImageId("img-1"), **fields)  # type: ignore[arg-type]
    return Volume(id="vol-1", name="a", spec=spec, status=VolumeStatus(node=NodeId(node), **status))  # type: ignore[arg-type]


CASES = [  # name, copy, volumes, the copy as it is noted then (None: no more)
    ("used: stays", copy(), [volume()], copy()),
    ("used by what is in the trash: stays", copy(unused_since=1.0), [volume(trash=TRASH)], copy()),
    ("on its way here: stays", copy(), [volume(FAR, moving=NEAR)], copy()),
    ("on its way from here: stays", copy(), [volume(FAR, pool=NEAR)], copy()),
    ("used on another node only: the time begins", copy(), [volume(node="n2")], copy(unused_since=100.0)),
    ("unused: the time begins", copy(), [], copy(unused_since=100.0)),
    ("unused for less than that", copy(unused_since=51.0), [], copy(unused_since=51.0)),
    ("unused for long: goes", copy(unused_since=50.0, report=GONE), [], copy(unused_since=50.0, going=True)),
    ("going", copy(unused_since=1.0, going=True), [], copy(unused_since=1.0, going=True)),
    ("gone", copy(unused_since=1.0, going=True, report=GONE), [], None),
    ("going, and wanted again", copy(unused_since=1.0, going=True, report=GONE), [volume()], copy()),
]


@pytest.mark.parametrize(("noted", "volumes", "then"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_tidied(noted: ImageCopy, volumes: list[Volume], then: ImageCopy | None) -> None:
    key = f"{NEAR}@n1"
    image = Image(id="img-1", name="i", status=ImageStatus(copies={key: noted}))
    assert tidied(image, volumes, SHARED, now_s=100.0, keep_s=50.0) == ({key: then} if then else {})


def test_copy_in_a_shared_pool_is_used_from_any_node() -> None:
    image = Image(id="img-1", name="i", status=ImageStatus(copies={"pool-s": copy(pool=PoolId("pool-s"))}))
    kept = tidied(image, [volume("pool-s", node="n9")], SHARED, now_s=100.0, keep_s=50.0)
    assert kept == image.status.copies


def test_looks_again_when_one_is_due() -> None:
    image = Image(
        id="img-1", name="i", status=ImageStatus(copies={"a": copy(unused_since=60.0), "b": copy()})
    )
    assert due_s(image, 100.0, 50.0, 600.0) == pytest.approx(10.0)
    assert due_s(image, 100.0, 5000.0, 600.0) == pytest.approx(600.0)
    assert due_s(Image(id="img-1", name="i"), 100.0, 50.0, 600.0) is None
