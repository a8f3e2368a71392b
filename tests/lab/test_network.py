"""Networks: a real bridge in a namespace of its own, a real dnsmasq, a real guest.

The driver runs in the namespace, as an agent of the lab does.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from corral.storage.seed import write_seed
from tests.lab.guests import Guest, a_disk

NAMESPACE, OTHER = "ctest-net", "ctest-net2"
MAC = "52:54:00:00:00:0a"
DRIVER = """
import asyncio, json, sys
from pathlib import Path
import msgspec
from corral.clock import SystemClock
from corral.model.link import NetworkAssignment
from corral.network.bridge import BridgeNetworking

async def main():
    directory, verb, document = sys.argv[1:]
    networking = BridgeNetworking(Path(directory), SystemClock())
    if verb == "drop":
        return await networking.drop(document)
    print(msgspec.json.encode(await networking.serve(msgspec.json.decode(document, type=NetworkAssignment))).decode())

asyncio.run(main())
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A host with a bridge br0 at 10.81.0.1/24, on which a second host is at 10.81.0.2."""
    try:
        for name in (NAMESPACE, OTHER):
            with suppress(subprocess.CalledProcessError):  # of a run that was killed
                ip("netns", "delete", name)
            ip("netns", "add", name)
            ip("-n", name, "link", "add", "br0", "type", "bridge")
            ip("-n", name, "link", "set", "br0", "up")
        ip(
            "link",
            "add",
            "ctest-a",
            "netns",
            NAMESPACE,
            "type",
            "veth",
            "peer",
            "name",
            "ctest-b",
            "netns",
            OTHER,
        )
        for name, nic, address in (
            (NAMESPACE, "ctest-a", "10.81.0.1/24"),
            (OTHER, "ctest-b", "10.81.0.2/24"),
        ):
            ip("-n", name, "link", "set", nic, "master", "br0", "up")
            ip("-n", name, "addr", "add", address, "dev", "br0")
        yield NAMESPACE
    finally:
        for name in (NAMESPACE, OTHER):
            for pid in subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True
            ).stdout.split():
                os.kill(int(pid), 9)
            ip("netns", "delete", name)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where dnsmasq, which runs as nobody, can read."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    return tmp_path / "dhcp"


def network(*ports: tuple[str, str, str], **subnet: object) -> str:
    range = {"cidr": "10.81.0.0/24", "first": "10.81.0.10", "last": "10.81.0.99", "gateway": "10.81.0.1"}
    named = [{"mac": mac, "address": address, "name": name} for mac, address, name in ports]
    return json.dumps(
        {"type": "network", "network": "net-1", "bridge": "br0", "subnet": range | subnet, "ports": named}
    )


async def drive(directory: Path, verb: str, document: str, namespace: str = NAMESPACE) -> dict[str, object]:
    """Do it as an agent would that has just started."""
    words = ["ip", "netns", "exec", namespace, sys.executable, "-c", DRIVER, str(directory), verb, document]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    answer: dict[str, object] = json.loads(output or b"{}")
    return answer


async def served(directory: Path, document: str, namespace: str = NAMESPACE) -> int:
    """Serve it without trouble; the pid of its dnsmasq."""
    answer = await drive(directory, "serve", document, namespace)
    assert answer["ready"], answer
    return int((directory / "net-1/pid").read_text())


def lease(mac: str, *, within_s: int = 2) -> str:
    """The address that a client with this MAC address gets on the bridge; "" when nobody answers."""
    script = (
        f"ip link add c0 type veth peer name c1; ip link set c1 master br0 up; ip link set c0 address {mac} up;"
        f"sleep 0.1; busybox udhcpc -i c0 -n -q -t {within_s} -T 1 -s /bin/true 2>&1; ip link delete c0"
    )
    said = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, "sh", "-c", script], capture_output=True, text=True
    ).stdout
    return said.split("lease of ")[1].split()[0] if "lease of " in said else ""


async def test_a_guest_gets_the_address_of_its_port(namespace: str, directory: Path, tmp_path: Path) -> None:
    await served(directory, network((MAC, "10.81.0.55", "web")))
    ip("-n", namespace, "tuntap", "add", "t0", "mode", "tap")
    ip("-n", namespace, "link", "set", "t0", "master", "br0", "up")
    seed = write_seed(tmp_path / "seeds", "vm-1", {"meta-data": "local-hostname: web\n"})
    nic = "tap,id=n,ifname=t0,script=no,downscript=no"
    async with Guest(tmp_path, a_disk(tmp_path), seed=str(seed), nic=nic, namespace=namespace) as machine:
        await machine.says("corral-guest: up web 10.81.0.55")
        machine.type("ip route; ping -c 1 10.81.0.2 | grep -o '1 packets received'")
        await machine.says("default via 10.81.0.1")
        await machine.says("1 packets received")


async def test_only_known_ports_are_answered_and_changes_are_seen(namespace: str, directory: Path) -> None:
    first = await served(directory, network((MAC, "10.81.0.55", "web")))
    assert lease("52:54:00:00:00:0b") == ""
    assert lease(MAC) == "10.81.0.55"
    again = await served(
        directory, network((MAC, "10.81.0.55", "web"), ("52:54:00:00:00:0b", "10.81.0.56", "db"))
    )
    assert again == first, "a restarted agent goes on with the dnsmasq that runs"
    assert lease("52:54:00:00:00:0b") == "10.81.0.56"
    await served(directory, network(("52:54:00:00:00:0b", "10.81.0.56", "db")))
    assert lease(MAC) == "", "its port is gone"


async def test_two_nodes_on_one_segment_answer_their_own(namespace: str, directory: Path) -> None:
    """And a VM that moved keeps its address, although the other node gave it out before."""
    other = directory.parent / "other"
    await served(directory, network((MAC, "10.81.0.55", "web")))
    await served(other, network(("52:54:00:00:00:0b", "10.81.0.56", "db")), OTHER)
    assert (lease(MAC), lease("52:54:00:00:00:0b")) == ("10.81.0.55", "10.81.0.56")
    await served(directory, network())
    await served(other, network(("52:54:00:00:00:0b", "10.81.0.56", "db"), (MAC, "10.81.0.55", "web")), OTHER)
    assert lease(MAC) == "10.81.0.55"


async def test_address_passes_to_another_vm_although_its_lease_still_runs(
    namespace: str, directory: Path
) -> None:
    await served(directory, network((MAC, "10.81.0.55", "web")))
    assert lease(MAC) == "10.81.0.55"
    await served(directory, network(("52:54:00:00:00:0b", "10.81.0.55", "db")))
    assert lease("52:54:00:00:00:0b") == "10.81.0.55"


async def test_killed_dnsmasq_is_started_again(namespace: str, directory: Path) -> None:
    document = network((MAC, "10.81.0.55", "web"))
    first = await served(directory, document)
    os.kill(first, 9)
    while running(first):
        await asyncio.sleep(0.01)
    assert await served(directory, document) != first
    assert lease(MAC) == "10.81.0.55"


async def test_a_process_that_took_the_pid_is_left_alone(namespace: str, directory: Path) -> None:
    document = network((MAC, "10.81.0.55", "web"))
    os.kill(await served(directory, document), 9)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (directory / "net-1/pid").write_text(str(stranger.pid))
        await served(directory, document)
        await drive(directory, "drop", "net-1")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_bridge_made_anew_is_served_again(namespace: str, directory: Path) -> None:
    document = network((MAC, "10.81.0.55", "web"))
    await served(directory, document)
    ip("-n", namespace, "link", "delete", "br0")
    ip("-n", namespace, "link", "add", "br0", "type", "bridge")
    ip("-n", namespace, "link", "set", "br0", "up")
    assert "no address" in str(await drive(directory, "serve", document))
    ip("-n", namespace, "addr", "add", "10.81.0.1/24", "dev", "br0")
    await served(directory, document)
    assert lease(MAC) == "10.81.0.55"


async def test_directory_that_nobody_may_enter(namespace: str, directory: Path) -> None:
    """dnsmasq can't read its hosts again there, so it is restarted with them in its configuration."""
    directory.parent.chmod(0o700)
    await served(directory, network((MAC, "10.81.0.55", "web")))
    await served(directory, network((MAC, "10.81.0.55", "web"), ("52:54:00:00:00:0b", "10.81.0.56", "db")))
    assert (lease(MAC), lease("52:54:00:00:00:0b")) == ("10.81.0.55", "10.81.0.56")


@pytest.mark.parametrize("how", ["dropped", "no DHCP any more"])
async def test_nobody_answers_any_more(namespace: str, directory: Path, how: str) -> None:
    pid = await served(directory, network((MAC, "10.81.0.55", "web")))
    for _ in range(2):  # again is no error
        await (
            drive(directory, "drop", "net-1")
            if how == "dropped"
            else drive(directory, "serve", network(dhcp=False))
        )
        assert not running(pid)
        assert not (directory / "net-1").exists()
    assert lease(MAC, within_s=1) == ""


def running(pid: int) -> bool:
    """A process that has ended has no command line, even when nobody has taken note of its end yet."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


async def test_another_server_on_the_bridge_is_a_trouble_with_a_hint(namespace: str, directory: Path) -> None:
    hog = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", namespace, sys.executable, "-c",
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 67)); print('bound', flush=True); time.sleep(60)",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert hog.stdout
    await hog.stdout.readline()
    try:
        answer = await drive(directory, "serve", network((MAC, "10.81.0.55", "web")))
    finally:
        hog.kill()
        await hog.wait()
    assert "ready" not in answer or not answer["ready"]
    assert "dnsmasq does not start" in str(answer["trouble"])
    await served(directory, network((MAC, "10.81.0.55", "web")))
