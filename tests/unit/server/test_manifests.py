"""Manifests: what is there can be read back, applying that changes nothing, and edits are carried out or refused."""

from typing import Any

import msgspec
import pytest

from corral.model.image import Image
from corral.model.network import Network, Subnet
from corral.model.node import Node
from corral.model.pool import StoragePool
from corral.model.resource import Resource
from corral.model.units import exact_size
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.services.manifests import DECLARED, declared_kind, manifest_of
from corral.server.services.manifests.compare import FieldChange, changes
from corral.server.services.manifests.forms import Declared
from corral.server.services.requests import CreateNetwork
from tests.unit.server.rig import ASKING, Rig, in_rig

SUBNET = Subnet(cidr="10.9.0.0/24", first="10.9.0.10", last="10.9.0.99")


async def furnished(rig: Rig) -> None:
    await rig.shared_pool()
    await rig.lan(subnet=SUBNET)
    inside = {"name": "inside", "subnet": {"cidr": "10.80.0.0/24"}}
    await rig.core.services.networks.create(
        msgspec.convert({"segment": "nat", **inside}, CreateNetwork), ASKING
    )
    await rig.node("n1")
    await rig.apply(kind="Volume", name="data", size="2GiB")
    await rig.apply(kind="VMProfile", name="db", spec={"cpus": 4, "disk": {"bus": "scsi"}})
    await rig.apply(kind="SchedulingPolicy", name="tight", spec={"score": "pack", "spare": "node"})
    await rig.apply(kind="PlacementGroup", name="apart", spec={"rules": [{"kind": "anti-affinity"}]})
    await rig.apply(
        kind="VM",
        name="web",
        cpus=2,
        memory="2GiB",
        labels={"env": "prod"},
        disks=[{"image": "debian", "size": "4GiB"}, {"volume": "data"}],
        nics=[{"network": "lan", "address": "10.9.0.20"}],
        cloud_init={"user_data": "#cloud-config\n"},
        node="n1",
        policy="tight",
        groups=["apart"],
    )


def found(rig: Rig, declared: Declared) -> list[Resource]:
    return list(rig.mirror.list(declared.kind))


@in_rig
async def test_what_is_there_applied_again_changes_nothing(rig: Rig) -> None:
    """For every kind that manifests can have; and it makes the same again once that is gone."""
    await furnished(rig)
    for declared in DECLARED:
        for resource in found(rig, declared):
            manifest = manifest_of(resource, declared, rig.mirror)
            assert manifest["kind"] == resource.kind and manifest["name"] == resource.name
            (applied,) = await rig.apply_all([manifest])
            assert (applied.action, applied.changes) == ("unchanged", ()), (manifest, applied)


@pytest.mark.parametrize("declared", DECLARED, ids=lambda d: d.kind.__name__)
def test_every_field_of_a_request_can_be_read_back(declared: Declared) -> None:
    """A field that is added to a request and not to the spec (or to DECLARED) would be lost in a manifest."""

    @in_rig
    async def test(rig: Rig) -> None:
        await furnished(rig)
        (resource, *_) = found(rig, declared)
        manifest_of(resource, declared, rig.mirror)  # raises AttributeError

    test()


@in_rig
async def test_the_manifest_is_as_short_as_it_can_be(rig: Rig) -> None:
    await furnished(rig)
    vm = rig.mirror.find(VM, "web")
    manifest = manifest_of(vm, declared_kind("vm"), rig.mirror)
    mac = vm.spec.nics[0].mac
    assert manifest == {
        "kind": "VM",
        "name": "web",
        "labels": {"env": "prod"},
        "cpus": 2,
        "memory": "2GiB",
        "disks": [{"image": "debian", "size": "4GiB", "pool": "default"}, {"volume": "data"}],
        "nics": [{"network": "lan", "mac": mac, "address": "10.9.0.20"}],
        "cloud_init": {"user_data": "#cloud-config\n"},
        "policy": "tight",
        "groups": ["apart"],
        "node": "n1",
    }


@in_rig
async def test_the_manifest_says_hardware_that_is_not_as_usual(rig: Rig) -> None:
    """A profile is spelt out: elsewhere it may be another, or none."""
    await furnished(rig)
    disks = [{"image": "debian", "cache": "writeback", "limits": {"iops": 100}}]
    hardware = {"guest": "windows", "tpm": False, "pinning": {"vcpus": ["0"]}, "memory_max": "6GiB"}
    await rig.apply(kind="VM", name="win", profile="db", disks=disks, hardware=hardware)
    declared = declared_kind("vm")
    manifest = manifest_of(rig.mirror.find(VM, "win"), declared, rig.mirror)
    assert manifest == {
        "kind": "VM",
        "name": "win",
        "cpus": 4,
        "memory": "4GiB",
        "hardware": hardware,
        "disks": [{"image": "debian", "size": "1GiB", "pool": "default", "bus": "scsi"} | disks[0]],
    }
    (applied,) = await rig.apply_all([manifest])
    assert (applied.action, applied.changes) == ("unchanged", ())


@in_rig
async def test_devices_by_class_are_said_with_the_names_of_networks(rig: Rig) -> None:
    await furnished(rig)
    devices = [
        {"kind": "gpu", "model": "H100", "count": 2},
        {"kind": "vf", "network": "lan"},
        {"kind": "mdev", "id": "nvidia-63"},
        {"kind": "pci", "id": "10de:2204"},
    ]
    await rig.apply(kind="VM", name="ai", hardware={"devices": devices}, disks=[{"image": "debian"}])
    vm = rig.mirror.find(VM, "ai")
    assert vm.spec.hardware.devices[1].network == rig.mirror.find(Network, "lan").id
    manifest = manifest_of(vm, declared_kind("vm"), rig.mirror)
    assert manifest["hardware"] == {"devices": devices}
    (applied,) = await rig.apply_all([manifest])
    assert (applied.action, applied.changes) == ("unchanged", ())


@in_rig
async def test_the_first_file_applied_again_changes_nothing(rig: Rig) -> None:
    """Although it says less than what was made of it: addresses, pools."""
    await rig.shared_pool()
    await rig.lan(subnet=SUBNET)
    said = {
        "kind": "vm",
        "name": "a",
        "memory": "1024MiB",
        "disks": [{"image": "debian"}],
        "nics": [{"network": "lan"}],
    }
    assert (await rig.apply(**said)).action == "create"
    again = await rig.apply(**said)
    assert (again.action, again.changes) == ("unchanged", ())
    assert again.operations, "the creation that still runs is to be followed"


@in_rig
async def test_edits_are_carried_out(rig: Rig) -> None:
    await furnished(rig)
    applied = await rig.apply(kind="VM", name="web", labels={"env": "test"}, protected=True, running=False)
    assert applied.action == "update"
    assert {c.field: (c.was, c.becomes) for c in applied.changes} == {
        "labels": ({"env": "prod"}, {"env": "test"}),
        "protected": (False, True),
        "running": (True, False),
    }
    vm = rig.mirror.find(VM, "web")
    assert (vm.labels, vm.spec.protected, vm.spec.running) == ({"env": "test"}, True, False)
    assert len(applied.operations) == 2
    node = await rig.apply(kind="Node", name="n1", cordoned=True, reserve_memory="1GiB")
    assert node.action == "update" and rig.mirror.find(Node, "n1").spec.cordoned


@in_rig
async def test_a_dry_run_says_the_same_and_does_nothing(rig: Rig) -> None:
    await furnished(rig)
    before = rig.mirror.revision
    trying = msgspec.structs.replace(ASKING, dry_run=True)
    applied = await rig.apply_all([{"kind": "VM", "name": "web", "protected": True}], trying)
    assert (applied[0].action, applied[0].operations) == ("update", ())
    assert (await rig.apply_all([{"kind": "Volume", "name": "new", "size": "1GiB"}], trying))[
        0
    ].action == "create"
    assert rig.mirror.revision == before


@in_rig
async def test_what_can_not_be_changed_is_named(rig: Rig) -> None:
    await furnished(rig)
    applied = await rig.apply(kind="StoragePool", name="default", path="/elsewhere", labels={"a": "b"})
    assert applied.action == "refused" and applied.trouble
    assert applied.trouble.code == "manifest.unchangeable" and "path" in applied.trouble.message
    assert not rig.mirror.find(StoragePool, "default").labels, "all of it or nothing"


@in_rig
async def test_documents_in_any_order_and_one_that_is_refused_stops_no_other(rig: Rig) -> None:
    answers = await rig.apply_all(
        [
            {"kind": "VM", "name": "a", "disks": [{"image": "debian"}], "nics": [{"network": "lan"}]},
            {"kind": "VM", "name": "b", "disks": [{"image": "nobody"}]},
            {"kind": "VM", "name": "c", "memroy": "1GiB"},
            {"kind": "Planet", "name": "d"},
            {"name": "e"},
            {"kind": "Network", "name": "lan", "bridge": "br0"},
            {"kind": "StoragePool", "name": "default", "path": "/pool", "shared": True},
            {"kind": "Node", "name": "nobody", "cordoned": True},
        ]
    )
    assert [a.action for a in answers] == ["create", *["refused"] * 4, "create", "create", "refused"]
    said = [a.trouble.message if a.trouble else "" for a in answers]
    assert "nobody" in said[1] and "memroy" in said[2] and "Planet" in said[3] and "kind" in said[4]


@in_rig
async def test_a_repeat_with_its_key_makes_nothing_twice(rig: Rig) -> None:
    await rig.shared_pool()
    asking = msgspec.structs.replace(ASKING, idempotency_key="k", fingerprint="f")
    manifests = [{"kind": "Volume", "name": n, "size": "1GiB"} for n in ("a", "b")]
    first = await rig.apply_all(manifests, asking)
    again = await rig.apply_all(manifests, asking)
    assert [a.operations for a in again] == [a.operations for a in first]
    assert len(rig.mirror.list(Volume)) == 2


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, Any, Any]]]] = [
    ("equal", {"a": 1}, {"a": 1}, []),
    ("what is not said stays", {"a": 1, "b": 2}, {"a": 1}, []),
    ("a size in other words", {"memory": "1GiB"}, {"memory": 1024**3}, []),
    ("another size", {"memory": "1GiB"}, {"memory": "2GiB"}, [("memory", "1GiB", "2GiB")]),
    ("a reference by id", {"pool": "fast"}, {"pool": "pool-1"}, []),
    ("a part", {"x": {"a": 1, "b": 2}}, {"x": {"b": 3}}, [("x.b", 2, 3)]),
    ("labels are said as a whole", {"labels": {"a": "1"}}, {"labels": {}}, [("labels", {"a": "1"}, {})]),
    ("an item more", {"d": [1]}, {"d": [1, 2]}, [("d[1]", None, 2)]),
    ("an item less", {"d": [1, 2]}, {"d": [1]}, [("d[1]", 2, None)]),
    (
        "a part of an item",
        {"d": [{"size": "1GiB"}]},
        {"d": [{"size": "2GiB"}]},
        [("d[0].size", "1GiB", "2GiB")],
    ),
]


@pytest.mark.parametrize(("now", "said", "wanted"), [pytest.param(*r[1:], id=r[0]) for r in CHANGES])
def test_changes(now: dict[str, Any], said: dict[str, Any], wanted: list[tuple[str, Any, Any]]) -> None:
    named = {"pool-1": "fast"}
    seen = changes(now, said, lambda id: named.get(id, id))
    assert seen == tuple(FieldChange(field=f, was=a, becomes=b) for f, a, b in wanted)


def test_exact_size() -> None:
    assert [exact_size(n) for n in (4 << 30, 1536 << 20, 5000, 0)] == ["4GiB", "1536MiB", "5000B", "0B"]


def test_kinds() -> None:
    assert {d.kind for d in DECLARED} >= {Node, StoragePool, Network, Image, Volume, VM}
