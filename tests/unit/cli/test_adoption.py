"""`corral vm found`: what there is, and why something can't be adopted."""

import msgspec
import pytest
from msgspec.structs import replace

from corral.client.nouns import Adoption
from corral.hypervisor.simulated.foreign import foreign_report
from corral.model.domain import Drift, Refusal
from corral.model.found import FoundDomain, FoundReport, FoundSpec, found_id
from corral.model.ids import NodeId, PoolId
from corral.model.node import Node
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Verb
from corral.model.resource import Ref
from corral.model.vm import VM, DomainState, VMReport, VMSpec, VMStatus
from corral.model.volume import FoundFile, Volume, VolumeSpec
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi, problem

ONE, TWO = "1b000000-0000-4000-8000-0000000000a1", "1b000000-0000-4000-8000-0000000000b2"
NODE = NodeId("node-1")


def domain(report: FoundReport, uuid: str) -> FoundDomain:
    spec = FoundSpec(node=NODE, uuid=uuid)
    return FoundDomain(id=found_id(NODE, uuid), name=f"n1.{uuid}", spec=spec, status=report)


def filled(api: FakeApi) -> None:
    web = foreign_report("web", ONE, paths=("/srv/web.qcow2",), macs=("52:54:00:00:00:01",))
    refusal = Refusal(element="domain/@type", reason="'lxc' is no domain of QEMU's")
    box = replace(foreign_report("box", TWO), model=None, refusal=refusal)
    api.add(Node(id=NODE, name="n1"), domain(web, ONE), domain(box, TWO))


def test_a_list_says_what_can_be_adopted(api: FakeApi, corral: Corral) -> None:
    filled(api)
    lines = corral("vm", "found").out.splitlines()
    assert lines[1].split() == ["box", "n1", "running", "-", "-", "-", "no:", "domain/@type"]
    assert lines[2].split() == ["web", "n1", "running", "1", "128", "MiB", "1", "yes"]


def test_one_in_detail(api: FakeApi, corral: Corral) -> None:
    filled(api)
    out = corral("vm", "found", "web").out
    assert "vda: /srv/web.qcow2 (qcow2, 64 MiB)" in out and "devices/rng" in out and ONE in out
    gone = corral("vm", "found", "nobody")
    assert gone.code != 0 and "corral vm found" in gone.err


def test_a_node_shows_its_found_domains(api: FakeApi, corral: Corral) -> None:
    filled(api)
    out = corral("node", "show", "n1").out
    assert "web: running, 1 vCPUs, 128 MiB" in out
    assert "box: running, can't be adopted: domain/@type: 'lxc'" in out


# ---- adopt, release, drift

DONE = Operation(
    id="op-1",
    name="op-1",
    spec=OperationSpec(verb=Verb.ADOPT, target=Ref(kind="VM", id="vm-1", name="web"), generation=1),
    status=OperationStatus(state=OperationState.SUCCEEDED, progress=1.0, ended_at=1.0),
)


def test_all_that_can_be_adopted_are_and_the_others_are_named(api: FakeApi, corral: Corral) -> None:
    filled(api)
    api.on("POST", f"/found-domains/n1.{ONE}/adopt", DONE)
    result = corral("vm", "adopt", "--all", "--label", "env=prod")
    assert result.code == 0 and "adopt" in result.out
    assert "skipped box: domain/@type: 'lxc'" in result.err
    assert [seen.json for seen in api.seen if seen.method == "POST"] == [
        {"name": "", "labels": {"env": "prod"}}
    ]


def test_a_refused_one_says_why_and_fails(api: FakeApi, corral: Corral) -> None:
    filled(api)
    refusal = problem(409, "adoption.file_in_use", "/srv/web.qcow2 is the file of volume db-0", "Look at it.")
    api.on("POST", f"/found-domains/n1.{ONE}/adopt", lambda seen: refusal)
    result = corral("vm", "adopt", "web", "--name", "web-9")
    assert (
        result.code != 0
        and "is the file of volume db-0" in result.err
        and "adoption.file_in_use" in result.err
    )


def test_a_dry_run_shows_what_would_be_made(api: FakeApi, corral: Corral) -> None:
    filled(api)
    file = FoundFile(path="/srv/web.qcow2")
    volume = Volume(id="vol-1", name="web-0", spec=VolumeSpec(pool=PoolId(""), size_bytes=1, file=file))
    vm = VM(id="vm-1", name="web", spec=VMSpec(cpus=1, memory_bytes=1))
    made = Adoption(domain="web", node="n1", vm=vm, volumes=(volume,), kept=("cputune",))
    api.on("POST", f"/found-domains/n1.{ONE}/preview", lambda seen: (200, msgspec.json.encode(made)))
    out = corral("vm", "adopt", "web", "--dry-run").out
    assert "web on n1 would become VM web" in out
    assert "volumes on its files: web-0: /srv/web.qcow2" in out and "kept as it is: cputune" in out
    assert not [seen for seen in api.seen if seen.path.endswith("/adopt")]


@pytest.mark.parametrize("words", [(), ("web", "--all"), ("web", "db", "--name", "x")])
def test_what_is_to_be_adopted_has_to_be_clear(words: tuple[str, ...], corral: Corral) -> None:
    assert corral("vm", "adopt", *words).code == 2


def test_a_drift_is_shown_and_settled_as_it_was_seen(api: FakeApi, corral: Corral) -> None:
    drift = Drift(digest="d1", lines=("~ domain/title: a -> b",))
    report = VMReport(state=DomainState.RUNNING, drift=drift)
    status = VMStatus(node=NODE, reports={NODE: report})
    api.add(
        Node(id=NODE, name="n1"),
        VM(id="vm-1", name="web", spec=VMSpec(cpus=1, memory_bytes=1), status=status),
    )
    shown = corral("vm", "drift", "web")
    assert shown.out == "~ domain/title: a -> b\n" and "--accept" in shown.err
    assert "~ domain/title: a -> b" in corral("vm", "show", "web").out
    api.on("POST", "/vms/web/drift", DONE)
    assert corral("vm", "drift", "web", "--revert").code == 0
    assert next(s.json for s in api.seen if s.method == "POST") == {"settle": "revert", "digest": "d1"}


def test_released(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms/web/release", DONE)
    assert corral("vm", "release", "web", "--yes").code == 0
