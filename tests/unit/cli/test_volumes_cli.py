"""Commands of images and volumes: what they ask the server for, and what they show."""

import msgspec

from corral.model.ids import NodeId, PoolId
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Verb
from corral.model.pool import StoragePool, StoragePoolSpec
from corral.model.resource import Ref, Resource
from corral.model.volume import (
    ObjectReport,
    ObjectState,
    Trash,
    Volume,
    VolumePhase,
    VolumeSpec,
    VolumeStatus,
)
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi

REPORT = ObjectReport(state=ObjectState.READY, progress=1.0, allocated_bytes=3 * 1024**2)
POOL = StoragePool(id="pool-1", name="shared", spec=StoragePoolSpec(path="/p", shared=True))


def deleted(id: str, name: str, at: float) -> Volume:
    trash = Trash(name=name, at=at, until=at + 1e6)
    return Volume(
        id=id,
        name=f"{name}~{id}",
        spec=VolumeSpec(pool=PoolId("pool-1"), size_bytes=1024**3, trash=trash),
        status=VolumeStatus(phase=VolumePhase.TRASHED, node=NodeId("node-1"), report=REPORT),
    )


def done(target: Resource, verb: Verb) -> Operation:
    spec = OperationSpec(verb=verb, target=target.ref, generation=1)
    return Operation(
        id="op-1", name="op-1", spec=spec, status=OperationStatus(state=OperationState.SUCCEEDED)
    )


def answers(api: FakeApi, *volumes: Volume) -> None:
    api.add(POOL, *volumes)


def test_trash_shows_names_and_room(api: FakeApi, corral: Corral) -> None:
    answers(api, deleted("vol-a", "data", 1.0), deleted("vol-b", "data", 2.0))
    out = corral("volume", "trash", "list").out
    assert "data~" not in out
    assert "6 MiB in 2 volumes" in out


def test_of_several_the_last_one_comes_back(api: FakeApi, corral: Corral) -> None:
    last = deleted("vol-b", "data", 2.0)
    answers(api, deleted("vol-a", "data", 1.0), last)
    api.on("POST", "/volumes/vol-b/restore", done(last, Verb.UPDATE))
    assert corral("volume", "trash", "restore", "data", "--name", "old").code == 0
    assert msgspec.json.decode(api.seen[-1].body) == {"name": "old"}
    assert corral("volume", "trash", "restore", "nothing").code == 3


def test_trash_is_emptied_of_what_is_old(api: FakeApi, corral: Corral) -> None:
    old = deleted("vol-a", "data", 1.0)
    answers(api, old, deleted("vol-b", "new", 4e9))
    api.on("DELETE", "/volumes/vol-a", done(old, Verb.DELETE))
    assert corral("volume", "trash", "empty", "--older-than", "1d", "--yes").code == 0
    asked = [seen for seen in api.seen if seen.method == "DELETE"]
    assert len(asked) == 1
    assert asked[0].query["purge"] == ["true"]


def test_import_from_a_url(api: FakeApi, corral: Corral) -> None:
    ref = Ref(kind="Image", id="img-1", name="debian:12.5")
    spec = OperationSpec(verb=Verb.CREATE, target=ref, generation=1)
    api.on("POST", "/images", Operation(id="op-1", name="op-1", spec=spec))
    url = "https://example.org/debian-12.qcow2"
    assert corral("image", "import", "debian:12.5", url, "--sha256", "ab").code == 0
    asked = msgspec.json.decode(api.seen[-1].body)
    assert (asked["name"], asked["url"], asked["sha256"]) == ("debian:12.5", url, "ab")
    assert corral("image", "import", url).code == 0
    assert msgspec.json.decode(api.seen[-1].body)["name"] == "debian-12"
