"""What libvirt's figures and a guest's answers become."""

import pytest

pytest.importorskip("libvirt")

from corral.hypervisor.interface import DomainFacts
from corral.hypervisor.libvirt.domains import read_facts
from corral.hypervisor.libvirt.guest import useful_addresses


def test_facts() -> None:
    stats = {
        "cpu.time": 1_500_000_000,
        "balloon.rss": 2048,
        "block.count": 2,
        "block.0.rd.bytes": 10,
        "block.1.rd.bytes": 20,
        "block.1.wr.bytes": 5,
        "net.count": 1,
        "net.0.rx.bytes": 7,
        "net.0.tx.bytes": 8,
    }
    assert read_facts(stats) == DomainFacts(
        cpu_s=1.5,
        memory_bytes=2048 * 1024,
        block_read_bytes=30,
        block_write_bytes=5,
        net_in_bytes=7,
        net_out_bytes=8,
    )


def test_facts_of_a_busy_domain_are_what_there_is() -> None:
    assert read_facts({}) == DomainFacts()


def test_cpu_time_without_cgroups() -> None:
    assert read_facts({"vcpu.current": 2, "vcpu.0.time": 10**9, "vcpu.1.time": 2 * 10**9}).cpu_s == 3.0


def test_addresses() -> None:
    found = {
        "lo": {"addrs": [{"addr": "127.0.0.1", "prefix": 8, "type": 0}]},
        "eth0": {
            "addrs": [
                {"addr": "fe80::1", "prefix": 64, "type": 1},
                {"addr": "fd00::5", "prefix": 64, "type": 1},
                {"addr": "10.0.0.5", "prefix": 24, "type": 0},
            ]
        },
        "eth1": {"addrs": None},
    }
    assert useful_addresses(found) == ("10.0.0.5", "fd00::5")  # type: ignore[arg-type]
