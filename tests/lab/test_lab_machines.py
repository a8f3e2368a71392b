"""Machines of the lab without Corral in them: power, cables, death, and that nothing is left."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.lab import programs, wires
from corral.lab.host import LabFailed
from corral.lab.lab import Lab
from corral.lab.plan import LabPlan
from tests.lab.places import a_plan


def leftovers(plan: LabPlan) -> list[str]:
    """Everything on this machine that bears the lab's name or lies in its directory."""
    bridge, dir = plan.bridge, plan.dir
    found = [f"link {name}" for name in wires.links() if name == bridge or name.startswith(f"{bridge}n")]
    found += [f"namespace {name}" for name in wires.namespaces() if name.startswith(f"{bridge}-")]
    found += [f"file {dir}"] if dir.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(dir).encode() in (process / "cmdline").read_bytes():
                found.append(f"process {process.name}")
            found += [
                f"mount {line}"
                for line in (process / "mountinfo").read_text().splitlines()
                if str(dir) in line
            ]
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes with libvirt, no server and no agents."""
    plan = a_plan(tmp_path_factory.mktemp("bare") / "lab", nodes=2)
    lab = Lab(plan)
    lab.claim()
    try:
        wires.lay_bridge(plan)
        for node in plan.members:
            lab._start_node(node)
        yield lab
    finally:
        lab.down()
        assert leftovers(plan) == []


def test_nodes_are_hosts_of_their_own(bare: Lab) -> None:
    assert bare.run("node1", "hostname").strip() == "node1"
    assert f"{bare.plan.prefix}.2/24" in bare.run("node2", "ip", "-brief", "address", "show", "br0")
    assert "libvirtd" in bare.run("node1", "ps", "-e") and "pytest" not in bare.run("node1", "ps", "-e")
    one, two = (
        bare.run(node, "virsh", "-c", "qemu:///system", "capabilities") for node in ("node1", "node2")
    )
    uuids = [next(line for line in text.splitlines() if "<uuid>" in line) for text in (one, two)]
    assert uuids[0] != uuids[1]


def test_nodes_reach_each_others_libvirt_by_name(bare: Lab) -> None:
    assert bare.run("node1", "virsh", "-c", "qemu+tcp://node2/system", "hostname").strip() == "node2"


def test_the_shared_pool_is_one_and_the_local_ones_are_not(bare: Lab) -> None:
    for pool in ("shared", "local"):
        bare.run("node1", "touch", f"/var/lib/corral/pools/{pool}/seen")
    assert bare.run("node2", "ls", "/var/lib/corral/pools/shared").split() == ["seen"]
    assert bare.run("node2", "ls", "/var/lib/corral/pools/local").split() == []


def test_a_cut_node_lives_on_in_silence(bare: Lab) -> None:
    bare.cut("node2")
    assert not bare.see()[1].cable and bare.see()[1].on
    with pytest.raises(LabFailed):
        bare.run(
            "node1", "timeout", "1", "virsh", "-c", f"qemu+tcp://{bare.plan.prefix}.2/system", "hostname"
        )
    bare.heal("node2")
    assert (
        bare.run("node1", "virsh", "-c", f"qemu+tcp://{bare.plan.prefix}.2/system", "hostname").strip()
        == "node2"
    )


def test_a_killed_node_dies_at_once_and_starts_empty(bare: Lab) -> None:
    bare.run("node2", "sh", "-c", "(setsid sleep 1000 >/dev/null 2>&1 &) ; touch /run/before")
    node = bare.plan.node("node2")
    began_s = time.monotonic()
    bare.kill("node2")
    assert time.monotonic() - began_s < 2.0
    assert not bare.see()[1].on and bare.see()[1].units == {}
    assert not any(str(node.dir) in text for text in _command_lines())
    with pytest.raises(LabFailed, match="is off"):
        bare.run("node2", "true")
    bare.kill("node2")  # again: no error
    bare.heal("node2")
    assert "before" not in bare.run("node2", "ls", "/run") and "sleep" not in bare.run("node2", "ps", "-e")


def test_init_starts_again_what_was_killed(bare: Lab) -> None:
    before = bare.machine(bare.plan.node("node1")).units()["libvirtd"]
    bare.kill_unit("node1", "libvirtd")
    deadline_s = time.monotonic() + 5
    while (now := bare.machine(bare.plan.node("node1")).units()["libvirtd"])["starts"] == before["starts"]:
        assert time.monotonic() < deadline_s, now
        time.sleep(0.05)
    assert now["pid"] != before["pid"]


def test_a_stopped_unit_stays_stopped(bare: Lab) -> None:
    bare.stop_unit("node1", "virtlogd")
    time.sleep(0.5)
    assert not bare.see()[0].units["virtlogd"]
    bare.start_unit("node1", "virtlogd")
    assert bare.see()[0].units["virtlogd"]


def test_another_lab_in_the_same_place_is_refused(bare: Lab) -> None:
    other = Lab(LabPlan(nodes=2, dir=bare.plan.dir, bridge="cother0", prefix="10.79.9", port=18449))
    with pytest.raises(LabFailed, match="another lab"):
        other.up()


def test_an_address_range_in_use_is_refused(bare: Lab, tmp_path: Path) -> None:
    other = Lab(
        LabPlan(nodes=1, dir=tmp_path / "other", bridge="cother0", prefix=bare.plan.prefix, port=18449)
    )
    with pytest.raises(LabFailed, match="which lies in"):
        other.up()
    other.down()
    assert leftovers(other.plan) == []


def test_a_directory_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "thesis.txt").write_text("three years of work")
    lab = Lab(LabPlan(nodes=1, dir=tmp_path / "lab", bridge="cother0", prefix="10.79.9", port=18449))
    with pytest.raises(LabFailed, match="not empty"):
        lab.up()
    lab.down()
    assert (tmp_path / "lab" / "thesis.txt").exists()


def test_a_machine_that_does_not_start_says_why(bare: Lab) -> None:
    from msgspec.structs import replace

    from corral.lab.machine import Machine

    good = programs.node_machine(bare.plan, bare.plan.node("node1"), joined=False)
    dir = bare.plan.dir / "nodes" / "broken"
    dir.mkdir()
    with pytest.raises(LabFailed, match="/nowhere"):
        Machine(replace(good, dir=dir, mounts=((Path("/nowhere"), Path("/mnt")),))).power_on()


def _command_lines() -> list[str]:
    return subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
