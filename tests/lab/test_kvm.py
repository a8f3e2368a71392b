"""Real KVM, where the machine that runs the tests need not have it: a host booted for this joins the lab as a node."""

from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest

from corral.lab.plan import LabPlan, libvirtd_conf, qemu_conf
from corral.model.node import AcceleratorKind, NodePhase
from tests.lab.kvm_host import KvmHost
from tests.lab.netns import ip
from tests.lab.world import World

HERE = Path(__file__).parents[2]
NAME, TAP, NUMBER = "kvm1", "ct-kvm", 60
PYTHON = f"cd {HERE}; PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1 {HERE}/.venv/bin/python"
FLAGS = "--data-dir /var/lib/corral/agent"


@pytest.fixture(scope="module")
def host(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KvmHost]:
    """On the lab's bridge, with libvirtd, as the lab's own nodes have it."""
    plan = world.lab.plan
    ip("tuntap", "add", TAP, "mode", "tap")
    ip("link", "set", TAP, "master", plan.bridge, "up")
    try:
        with KvmHost(tmp_path_factory.mktemp("kvm") / "host", tap=TAP) as booted:
            furnish(booted, plan)
            yield booted
    finally:
        ip("link", "delete", TAP)


def furnish(host: KvmHost, plan: LabPlan) -> None:
    node = msgspec.structs.replace(
        plan.members[0], address=f"{plan.prefix}.{NUMBER}", uuid=str(uuid5(NAMESPACE_URL, NAME))
    )
    for name, text in (
        ("libvirtd.conf", libvirtd_conf(node, tls=False)),
        ("qemu.conf", qemu_conf(node, tls=False)),
    ):
        host.run(f"cat > /etc/libvirt/{name} <<'END'\n{text}END")
    host.run(
        "ip link add br0 type bridge forward_delay 0; ip link set eth0 master br0 up;"
        f"ip address add {node.address}/{node.mask} dev br0; ip link set br0 up;"
        "rm -rf /var/lib/libvirt/qemu/* /usr/bin/qemu-system-i386 /usr/bin/qemu-system-x86_64-microvm;"
        "mkdir -p /var/lib/corral; virtlogd -d; libvirtd -d -l;"
        "virsh --connect qemu:///system capabilities >/dev/null",  # runs each QEMU there is
        timeout_s=120,
    )


@pytest.mark.timeout(1_000)
def test_a_host_with_kvm_joins_and_runs_a_vm(world: World, host: KvmHost) -> None:
    client = world.client
    host.run(
        f"{PYTHON} -m corral.cli.main agent join {client.nodes.join_token().secret} --name {NAME} {FLAGS}",
        timeout_s=90,
    )
    host.run(
        f"({PYTHON} -m corral.cli.main agent run {FLAGS} >/var/log/agent.log 2>&1 & echo $! >/run/agent.pid)"
    )
    try:
        world.until("readiness", lambda: client.nodes.get(NAME).status.phase is NodePhase.READY, 200)
        # on a machine that is busy the trial in software is too slow as well, and the verdict is put off for a minute
        world.until("the verdict kvm", lambda: accelerator(world) is AcceleratorKind.KVM, 300)
        # its one CPU is emulated: agent, libvirt and QEMU wait for each other when the machine below is busy
        world.wait(world.ask_for("nested", pool="local", node=NAME), timeout_s=300)
        vm = world.guest_up("nested", timeout_s=120)
        assert vm.status.guest.hostname == "nested"
        assert "type='kvm'" in host.run("virsh --connect qemu:///system dumpxml nested")
        assert "-accel kvm" in host.run("tr '\\0' ' ' < /proc/$(cat /run/libvirt/qemu/nested.pid)/cmdline")
    except Exception:
        print(host.run("tail -n 30 /var/log/agent.log", check=False))
        raise
    finally:
        world.remove("nested")
        host.run("kill $(cat /run/agent.pid)", check=False)
        client.operations.wait(client.nodes.remove(NAME, force=True))


def accelerator(world: World) -> AcceleratorKind:
    return world.client.nodes.get(NAME).status.inventory.accelerator.kind


def test_vlans_of_two_nodes(host: KvmHost) -> None:
    """Here, because the kernel of the machine that runs the tests may have none."""
    host.run("modprobe 8021q; modprobe veth")
    said = host.run(f"{PYTHON} -m tests.lab.vlans /run/vlans 2>&1", timeout_s=150)
    assert "VLANs are as they should be" in said
