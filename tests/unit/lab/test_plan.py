"""Names and addresses of a lab; what is refused."""

from pathlib import Path

import pytest

from corral.errors import Invalid
from corral.lab.plan import LabPlan, libvirtd_conf, net_inside, net_up, qemu_conf


def a_plan(**changes: object) -> LabPlan:
    return LabPlan(**{"dir": Path("/var/lib/corral-lab"), **changes})  # type: ignore[arg-type]


REFUSED = [
    ("no node", {"nodes": 0}, "nodes"),
    ("too many nodes", {"nodes": 33}, "nodes"),
    ("bridge name too long for its cables", {"bridge": "corralcorral"}, "bridge"),
    ("bridge name with a slash", {"bridge": "a/b"}, "bridge"),
    ("relative directory", {"dir": Path("lab")}, "dir"),
    ("the root directory", {"dir": Path("/lab")}, "dir"),
    ("below /run, which nodes have of their own", {"dir": Path("/run/corral/lab")}, "dir"),
    ("prefix with four numbers", {"prefix": "10.78.0.1"}, "prefix"),
    ("prefix with words", {"prefix": "a.b.c"}, "prefix"),
    ("no port", {"port": 0}, "port"),
]


@pytest.mark.parametrize(("changes", "field"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as error:
        a_plan(**changes)
    assert error.value.context["field"] == field


def test_nodes_differ_in_everything_that_must() -> None:
    nodes = a_plan(nodes=32).members
    for field in ("name", "address", "netns", "veth", "mac", "uuid", "dir"):
        assert len({getattr(node, field) for node in nodes}) == 32, field
    assert all(len(node.veth) <= 15 for node in a_plan(nodes=32, bridge="a123456789").members)


def test_two_labs_share_nothing() -> None:
    one, two = a_plan(), a_plan(dir=Path("/tmp/x/lab"), bridge="ctest0", prefix="10.79.0", port=18440)
    for field in ("address", "netns", "veth", "mac", "uuid", "dir"):
        assert not {getattr(n, field) for n in one.members} & {getattr(n, field) for n in two.members}, field


def test_configuration_is_golden() -> None:
    plan = a_plan()
    node = plan.node("node2")
    assert 'listen_addr = "10.78.0.2"' in libvirtd_conf(node) and node.uuid in libvirtd_conf(node)
    assert 'migration_host = "10.78.0.2"' in qemu_conf(node)
    assert plan.hosts_text == (
        "127.0.0.1 localhost\n10.78.0.1 node1\n10.78.0.2 node2\n10.78.0.3 node3\n10.78.0.254 server\n"
    )
    assert net_up(plan, node)[1] == "link set corral0n2 master corral0 up"
    assert net_inside(node)[3] == "address add 10.78.0.2/24 dev br0"
    assert str(node.mounts[-2][1]) == "/var/lib/corral/pools/shared"


def test_an_unknown_node_is_named_with_those_that_there_are() -> None:
    with pytest.raises(Invalid, match="one of node1, node2, node3"):
        a_plan().node("node4")
