"""Envelopes: each message comes out as it went in; what can't be read is said, not guessed."""

import pytest

from corral.errors import CorralError, Invalid
from corral.model.console import ConsoleKind
from corral.model.ids import ImageId, NodeId, PoolId, VmId, VolumeId
from corral.model.link import (
    Ack,
    AgentMessage,
    Assign,
    Facts,
    Hello,
    ImageSource,
    OpenConsole,
    Report,
    ServerMessage,
    TakeScreenshot,
    VmAssignment,
    VmRole,
    VolumeAssignment,
    Welcome,
)
from corral.model.node import Inventory
from corral.model.vm import DomainState, VMReport
from corral.proto.channel import join_address, split_address
from corral.proto.envelopes import BadEnvelope, pack_agent, pack_server, unpack_agent, unpack_server
from corral.proto.failures import TokenExpired, told_by
from corral.proto.link_pb2 import AgentEnvelope, ServerEnvelope
from corral.proto.link_pb2 import Facts as PackedFacts

NODE, VM = NodeId("node-1"), VmId("vm-1")
IMAGE = ImageSource(image=ImageId("img-1"), sha256="00", format="qcow2", size_bytes=2**40)
FROM_AGENT = [
    ("hello", Hello(node=NODE, agent_version="1", assigned={"vm-1": "abc"})),
    (
        "report",
        Report(
            seq=2**40, inventory=Inventory(hostname="Zürich"), vms={VM: VMReport(state=DomainState.RUNNING)}
        ),
    ),
    ("facts of a node", Facts(at=1.5, node=(0.1, 2.0**50))),
    ("facts of VMs", Facts(at=1.5, node=(0.5,), vm_ids=(VM, VmId("vm-2")), vms=((1.0, 2.0), (3.0, 4.0)))),
    ("facts of VMs without figures", Facts(at=0.0, vm_ids=(VM,), vms=((),))),
]
FROM_SERVER = [
    ("welcome", Welcome(reported={"vms/vm-1": "abc"}, facts_interval_s=0.5)),
    (
        "assign",
        Assign(
            items=(
                VmAssignment(vm=VM, name="web", role=VmRole.OWNER, generation=3),
                VolumeAssignment(
                    volume=VolumeId("vol-1"), pool=PoolId("pool-1"), pool_path="/p", size_bytes=1, image=IMAGE
                ),
            ),
            forget=("net-1",),
        ),
    ),
    ("ack", Ack(seq=2**53)),
    ("open console", OpenConsole(session="s", vm=VM, kind=ConsoleKind.VNC, replay_bytes=4096)),
    ("take a screenshot", TakeScreenshot(session="s", vm=VM)),
]


@pytest.mark.parametrize("message", [pytest.param(m, id=name) for name, m in FROM_AGENT])
def test_from_agent(message: AgentMessage) -> None:
    sent = AgentEnvelope.FromString(pack_agent(message).SerializeToString())
    assert unpack_agent(sent) == message


@pytest.mark.parametrize("message", [pytest.param(m, id=name) for name, m in FROM_SERVER])
def test_from_server(message: ServerMessage) -> None:
    sent = ServerEnvelope.FromString(pack_server(message).SerializeToString())
    assert unpack_server(sent) == message


def test_facts_are_compact() -> None:
    """A row of six figures is 48 bytes and its VM's id."""
    ids = tuple(VmId(f"vm-{i:026}") for i in range(1000))
    facts = Facts(at=1.0, vm_ids=ids, vms=((1 / 3,) * 6,) * 1000)
    assert pack_agent(facts).ByteSize() < 1000 * (6 * 8 + 29 + 4) + 100


BAD = [
    ("empty", AgentEnvelope()),
    ("no JSON", AgentEnvelope(hello=b"{")),
    ("a field is missing", AgentEnvelope(hello=b'{"type":"hello"}')),
    ("rows of different lengths", AgentEnvelope(facts=PackedFacts(vm_ids=["a", "b"], vms=[1.0, 2.0, 3.0]))),
    ("figures of nobody", AgentEnvelope(facts=PackedFacts(vms=[1.0]))),
]


@pytest.mark.parametrize("envelope", [pytest.param(e, id=name) for name, e in BAD])
def test_what_can_not_be_read(envelope: AgentEnvelope) -> None:
    with pytest.raises(BadEnvelope):
        unpack_agent(envelope)


def test_fields_of_a_newer_version_are_ignored() -> None:
    sent = ServerEnvelope(ack=b'{"type":"ack","seq":3,"colour":"green"}')
    assert unpack_server(sent) == Ack(seq=3)
    with pytest.raises(BadEnvelope):
        unpack_server(ServerEnvelope())


def test_errors_cross_the_wire() -> None:
    import msgspec

    from corral.model.resource import Trouble
    from corral.proto.failures import TROUBLE_KEY

    error = TokenExpired(12.0)
    told = told_by([("other", "x"), (TROUBLE_KEY, msgspec.json.encode(Trouble.of(error)))])
    assert isinstance(told, TokenExpired)
    assert (told.message, told.hint, told.context) == (error.message, error.hint, error.context)
    newer = told_by([(TROUBLE_KEY, b'{"code":"of.tomorrow","message":"no"}')])
    assert newer is not None
    assert (type(newer), newer.message) == (CorralError, "no")
    assert told_by([(TROUBLE_KEY, b"garbage")]) is None
    assert told_by(None) is None


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("a:1", "a", 1),
        ("10.0.0.1:8441", "10.0.0.1", 8441),
        ("[fd00::1]:8441", "fd00::1", 8441),
        (":80", "", 80),
    ],
)
def test_addresses(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)
    assert join_address(host, port) == address


@pytest.mark.parametrize("address", ["", "a", "a:", "a:b", "a:-1", "a:65536", "fd00::1:80", "a:٣"])
def test_no_addresses(address: str) -> None:
    with pytest.raises(Invalid):
        split_address(address)
