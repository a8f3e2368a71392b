"""Networks on the command line: what each kind asks for, and how forwards are written."""

from typing import Any

import pytest

from corral.cli.network import segment_of
from corral.cli.parts.asking import nics_of
from corral.cli.parts.exits import Exit
from corral.errors import Invalid
from tests.unit.cli.conftest import Corral
from tests.unit.client.fake_api import FakeApi
from tests.unit.client.samples import SUCCEEDED

CREATED = [  # name, options, what the body says
    ("bridge", "--bridge br0", {"segment": "bridge", "bridge": "br0", "subnet": None, "domain": None}),
    ("VLAN", "--vlan 120 --uplink eth1", {"segment": "vlan", "uplink": "eth1", "vlan": 120}),
    ("isolated", "--isolated --no-anti-spoofing", {"segment": "isolated", "anti_spoofing": False}),
    ("NAT", "--nat --subnet 10.80.0.0/24 --forwarder 9.9.9.9 --domain x", {"segment": "nat", "forwarders": ["9.9.9.9"], "domain": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "body"), [pytest.param(*c[1:], id=c[0]) for c in CREATED])
def test_create(api: FakeApi, corral: Corral, options: str, body: dict[str, Any]) -> None:
    api.on("POST", "/networks", SUCCEEDED)
    assert corral("network", "create", "n", *options.split()).code == 0
    assert body.items() <= api.seen[0].json.items()


@pytest.mark.parametrize(
    "chosen", [{}, {"bridge": "br0", "nat": True}, {"nat": True, "isolated": True}, {"vlan": 3, "nat": True}]
)
def test_a_network_is_of_one_kind(chosen: dict[str, Any]) -> None:
    every = {"bridge": "", "vlan": 0, "uplink": "", "nat": False, "isolated": False}
    with pytest.raises(Invalid):
        segment_of(**{**every, **chosen})  # type: ignore[arg-type]


SET = [  # name, options, body
    ("range and DNS", "--range 10.0.0.5-10.0.0.9 --dns 10.0.0.2", {"subnet": {"first": "10.0.0.5", "last": "10.0.0.9", "dns": ["10.0.0.2"]}}),
    ("no DNS at all", "--dns= --domain=", {"subnet": {"dns": []}, "domain": ""}),
    ("spoofing", "--no-anti-spoofing --mtu 1400", {"anti_spoofing": False, "mtu": 1400}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "body"), [pytest.param(*c[1:], id=c[0]) for c in SET])
def test_set(api: FakeApi, corral: Corral, options: str, body: dict[str, Any]) -> None:
    api.on("PATCH", "/networks/lan", SUCCEEDED)
    assert corral("network", "set", "lan", *options.split()).code == 0
    assert api.seen[0].json == body


def test_set_of_nothing(corral: Corral) -> None:
    assert corral("network", "set", "lan").code == Exit.USAGE


def test_forwards(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/networks/inside/forwards", SUCCEEDED)
    api.on("DELETE", "/networks/inside/forwards/udp-53", SUCCEEDED)
    assert corral("network", "forward", "add", "inside", "8080", "--vm", "web", "--to", "80").code == 0
    assert corral("network", "forward", "remove", "inside", "53/udp").code == 0
    assert api.seen[0].json == {"port": 8080, "vm": "web", "to_port": 80, "protocol": "tcp"}
    assert corral("network", "forward", "add", "inside", "http", "--vm", "web").code == Exit.USAGE


def test_address(api: FakeApi, corral: Corral) -> None:
    api.on("POST", "/vms/web/address", SUCCEEDED)
    assert corral("vm", "address", "web", "10.0.0.9").code == 0
    assert api.seen[0].json == {"network": "", "address": "10.0.0.9"}


def test_a_nic_that_may_pretend() -> None:
    assert nics_of(["lan,anti-spoofing=off"]) == [{"network": "lan", "anti_spoofing": False}]
    with pytest.raises(Invalid):
        nics_of(["lan,anti-spoofing=maybe"])
