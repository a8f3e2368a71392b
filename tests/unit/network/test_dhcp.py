"""What dnsmasq is told; tests/lab/test_network.py has it answer real guests."""

from pathlib import Path

import msgspec
import pytest

from corral.model.ids import NetworkId
from corral.model.link import NetworkAssignment, Port
from corral.model.network import Subnet
from corral.network.dhcp import Step, configuration, hosts, leases_kept, plan

HERE = Path("/run/corral/net-1")


def network(
    *, cidr: str = "10.78.0.0/24", gateway: str = "", dns: tuple[str, ...] = (), mtu: int = 1500
) -> NetworkAssignment:
    subnet = Subnet(cidr=cidr, first="10.78.0.10", last="10.78.0.99", gateway=gateway, dns=dns)
    return NetworkAssignment(network=NetworkId("net-1"), bridge="br0", mtu=mtu, subnet=subnet)


def port(number: int, address: str | None = None, name: str = "web") -> Port:
    return Port(
        mac=f"52:54:00:00:00:{number:02X}",
        address=f"10.78.0.{number}" if address is None else address,
        name=name,
    )


def test_configuration_answers_on_the_bridge_and_known_macs_only() -> None:
    lines = configuration(network(), HERE, 7).splitlines()
    assert {
        "interface=br0",
        "bind-interfaces",
        "except-interface=lo",
        "dhcp-ignore=tag:!known",
        "port=0",
    } <= set(lines)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, "dhcp-option=option:router", id="no gateway: none is sent, not the node's own address"),
        pytest.param({"gateway": "10.78.0.254"}, "dhcp-option=option:router,10.78.0.254", id="gateway"),
        pytest.param({}, "dhcp-option=option:dns-server", id="no DNS: none is sent, not the node's own address"),
        pytest.param({"dns": ("1.1.1.1", "9.9.9.9")}, "dhcp-option=option:dns-server,1.1.1.1,9.9.9.9", id="two DNS servers"),
        pytest.param({"mtu": 1450}, "dhcp-option=option:mtu,1450", id="MTU"),
        pytest.param({"cidr": "10.78.0.17/20"}, "dhcp-range=10.78.0.0,static,255.255.240.0,86400", id="address within the subnet"),
    ],
)  # fmt: skip
def test_configuration(changes: dict[str, object], line: str) -> None:
    assert line in configuration(network(**changes), HERE, 7).splitlines()  # type: ignore[arg-type]


def test_a_bridge_made_anew_is_another_configuration() -> None:
    assert configuration(network(), HERE, 7) != configuration(network(), HERE, 8)


HOSTS = [  # name, port, its line
    ("plain", port(10), "52:54:00:00:00:0a,id:*,10.78.0.10,web\n"),
    ("no address of ours", port(10, ""), ""),
    ("only the first label", port(10, name="web.example.org"), "52:54:00:00:00:0a,id:*,10.78.0.10,web\n"),
    ("a name that would mean: do not answer", port(10, name="ignore"), "52:54:00:00:00:0a,id:*,10.78.0.10\n"),
    ("a name that would be a lease time", port(10, name="12h"), "52:54:00:00:00:0a,id:*,10.78.0.10\n"),
    ("another such name", port(10, name="infinite"), "52:54:00:00:00:0a,id:*,10.78.0.10\n"),
    ("a name that would be more options", port(10, name="a,set:x"), "52:54:00:00:00:0a,id:*,10.78.0.10\n"),
    ("a line of its own", port(10, name="a\nb"), "52:54:00:00:00:0a,id:*,10.78.0.10\n"),
]


@pytest.mark.parametrize(("port", "line"), [pytest.param(*h[1:], id=h[0]) for h in HOSTS])
def test_hosts(port: Port, line: str) -> None:
    assert hosts((port,)) == line


def test_hosts_do_not_depend_on_the_order_of_ports() -> None:
    assert hosts((port(10), port(11))) == hosts((port(11), port(10)))


LEASE = "1790000000 52:54:00:00:00:0a 10.78.0.10 web 01:52:54:00:00:00:0a\n"
LEASES = [  # name, ports, what is kept
    ("its owner's: stays", (port(10),), LEASE),
    ("nobody's: stays, and ends by itself", (), LEASE),
    ("the address is another port's now: goes", (port(11, "10.78.0.10"),), ""),
]


@pytest.mark.parametrize(("ports", "kept"), [pytest.param(*x[1:], id=x[0]) for x in LEASES])
def test_leases_kept(ports: tuple[Port, ...], kept: str) -> None:
    assert leases_kept("duid 00:01\n" + LEASE, ports) == "duid 00:01\n" + kept


def test_hosts_stand_in_a_file_of_their_own_or_inside() -> None:
    line = "52:54:00:00:00:0a,id:*,10.78.0.10,web"
    wanted = msgspec.structs.replace(network(), ports=(port(10),))
    apart, inside = (
        configuration(wanted, HERE, 7, hosts_inside=inside).splitlines() for inside in (False, True)
    )
    assert ("dhcp-hostsfile=/run/corral/net-1/hosts" in apart, f"dhcp-host={line}" in apart) == (True, False)
    assert ("dhcp-hostsfile=/run/corral/net-1/hosts" in inside, f"dhcp-host={line}" in inside) == (
        False,
        True,
    )


STEPS = [  # name, running, configured, hosts known, step
    ("as wanted", True, True, True, Step.REST),
    ("not running", False, True, True, Step.RESTART),
    ("other configuration", True, False, True, Step.RESTART),
    ("other hosts", True, True, False, Step.RELOAD),
    ("other hosts and configuration", True, False, False, Step.RESTART),
]


@pytest.mark.parametrize(
    ("running", "configured", "known", "step"), [pytest.param(*s[1:], id=s[0]) for s in STEPS]
)
def test_plan(running: bool, configured: bool, known: bool, step: Step) -> None:
    assert plan(running=running, configured=configured, hosts_known=known) is step
