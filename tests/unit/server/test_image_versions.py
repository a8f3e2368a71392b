"""Versions of an image: what a family's name means, and how an import is followed."""

import pytest

from corral.errors import Invalid, NameTaken
from corral.model.image import Image, ImagePhase, ImageStatus
from corral.model.operation import Operation, OperationState
from corral.model.resource import Trouble
from corral.model.units import GiB
from corral.model.volume import Volume
from corral.server.services.disks import ImageNotReady
from corral.server.services.requests import CreateImage, CreateVolume
from corral.store.interface import Put
from tests.unit.server.rig import ASKING, Rig, in_rig

READY = ImageStatus(phase=ImagePhase.READY, format="qcow2", virtual_bytes=GiB, size_bytes=5, sha256="b" * 64)


async def version(rig: Rig, name: str, status: ImageStatus = READY) -> str:
    await rig.services.images.create(CreateImage(name=name), ASKING)
    image = rig.mirror.find(Image, name)
    await rig.store.commit([Put(image.having(status=status))])
    await rig.clock.sleep(0.1)
    return image.id


async def image_of(rig: Rig, asked: str, volume: str) -> str | None:
    await rig.services.volumes.create(CreateVolume(name=volume, image=asked), ASKING)
    return rig.mirror.find(Volume, volume).spec.image


@in_rig
async def test_a_family_means_its_newest_version_that_is_ready(rig: Rig) -> None:
    await rig.shared_pool()
    old = await version(rig, "alpine:3.19")
    new = await version(rig, "alpine:3.20")
    await version(rig, "alpine:3.21", ImageStatus())  # on its way
    assert await image_of(rig, "alpine", "a") == new
    assert await image_of(rig, "alpine:latest", "b") == new
    assert await image_of(rig, "alpine:3.19", "c") == old
    newest = rig.mirror.find(Image, "alpine:3.21")
    await rig.store.commit([Put(newest.having(status=READY))])
    await rig.clock.sleep(0.1)
    assert await image_of(rig, "alpine", "d") == newest.id
    assert rig.mirror.find(Volume, "a").spec.image == new  # those that exist keep theirs


@in_rig
async def test_an_image_of_that_very_name_is_meant_first(rig: Rig) -> None:
    await rig.shared_pool()
    await version(rig, "debian:12.5")
    assert await image_of(rig, "debian", "a") == "img-1"


@in_rig
async def test_version_that_is_not_ready_is_refused_by_its_name(rig: Rig) -> None:
    await rig.shared_pool()
    await version(rig, "alpine:3.21", ImageStatus())
    with pytest.raises(ImageNotReady):
        await image_of(rig, "alpine:3.21", "a")


@in_rig
async def test_names_of_versions(rig: Rig) -> None:
    for name in ("debian:latest", "debian:", ":12", "debian:12:5", "debian:1/2"):
        with pytest.raises(Invalid):
            await rig.services.images.create(CreateImage(name=name), ASKING)
    await version(rig, "debian:12.5")
    with pytest.raises(NameTaken):
        await rig.services.images.create(CreateImage(name="debian:12.5"), ASKING)


@in_rig
async def test_import_is_followed_to_its_end(rig: Rig) -> None:
    asked = CreateImage(name="far", url="https://example.org/far.qcow2")
    operation = await rig.services.images.create(asked, ASKING)
    image = rig.mirror.find(Image, "far")
    on_its_way = ImageStatus(
        phase=ImagePhase.IMPORTING, step="download", progress=0.4, waiting_for="4 of 10 MiB"
    )
    await rig.store.commit([Put(image.having(status=on_its_way))])
    await rig.clock.sleep(1.0)
    status = rig.mirror.find(Operation, operation.id).status
    assert (status.state, status.steps[-1].name, status.progress) == (OperationState.RUNNING, "download", 0.4)
    trouble = Trouble(code="image.source_failed", message="it broke off")
    failed = ImageStatus(phase=ImagePhase.FAILED, trouble=trouble)
    await rig.store.commit([Put(rig.mirror.find(Image, "far").having(status=failed))])
    await rig.clock.sleep(1.0)
    status = rig.mirror.find(Operation, operation.id).status
    assert status.state is OperationState.FAILED
    assert status.error
    assert status.error.code == "image.source_failed"


@in_rig
async def test_import_is_cancelled(rig: Rig) -> None:
    asked = CreateImage(name="far", url="https://example.org/far.qcow2")
    operation = await rig.services.images.create(asked, ASKING)
    await rig.services.operations.cancel(operation.id, ASKING)
    await rig.clock.sleep(1.0)
    assert rig.mirror.find(Operation, operation.id).status.state is OperationState.CANCELLED
    assert rig.mirror.named(Image, "far") is None
