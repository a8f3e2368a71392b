"""The doctor of one machine: each thing that is wrong is found, with how to mend it; a healthy one gets no advice."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from corral.agent.config import AgentConfig
from corral.agent.doctor import PROGRAMS, Machine, Verdict, judge, look_around
from corral.clock import SystemClock
from corral.model.node import Accelerator, AcceleratorKind, Inventory
from corral.model.units import GiB

INVENTORY = Inventory(
    hypervisor="QEMU 7.2.0, libvirt 9.0.0",
    bridges=("br0",),
    accelerator=Accelerator(kind=AcceleratorKind.KVM, tried_s=0.1),
)
WELL = Machine(
    programs={name: f"/usr/bin/{name}" for name in PROGRAMS},
    inventory=INVENTORY,
    free_bytes=100 * GiB,
    clock_synchronised=True,
    joined="node1",
    certificate_left_s=86_400.0,
    servers={"10.0.0.1:8441": ""},
    agent_runs=True,
)
TCG = replace(INVENTORY, accelerator=Accelerator(reason="it hung"))
SICK = [  # name, machine, what, verdict, words in what was found or in the hint
    ("no QEMU", replace(WELL, programs={}), "qemu-img", Verdict.ERROR, "apt-get install qemu-utils"),
    ("no swtpm", replace(WELL, programs={}), "swtpm", Verdict.WARNING, "TPM"),
    ("libvirt is down", replace(WELL, inventory=None, libvirt_error="refused"), "libvirt", Verdict.ERROR, "refused"),
    ("no KVM", replace(WELL, inventory=TCG), "KVM", Verdict.WARNING, "it hung"),
    ("no bridge", replace(WELL, inventory=replace(INVENTORY, bridges=())), "bridges", Verdict.WARNING, "none"),
    ("no room", replace(WELL, free_bytes=GiB), "disk", Verdict.WARNING, "1 GiB free"),
    ("clock is off", replace(WELL, clock_synchronised=False), "clock", Verdict.WARNING, "not synchronised"),
    ("not joined", replace(WELL, joined="", join_error="has not joined"), "node", Verdict.WARNING, "join-token"),
    ("renewal is late", replace(WELL, certificate_left_s=-1), "certificate", Verdict.WARNING, "overdue"),
    ("no server", replace(WELL, servers={"s:1": "refused"}), "server", Verdict.ERROR, "firewall"),
    ("agent is down", replace(WELL, agent_runs=False), "agent", Verdict.ERROR, "systemctl"),
    ("not root", replace(WELL, root=False), "rights", Verdict.WARNING, "sudo"),
]  # fmt: skip


def test_a_healthy_machine_gets_no_advice() -> None:
    checks = judge(WELL)
    assert {c.verdict for c in checks} == {Verdict.OK}
    assert not [c for c in checks if c.hint]


@pytest.mark.parametrize(
    ("machine", "what", "verdict", "words"), [pytest.param(*row[1:], id=row[0]) for row in SICK]
)
def test_what_is_wrong_is_found(machine: Machine, what: str, verdict: Verdict, words: str) -> None:
    (check,) = [c for c in judge(machine) if c.what == what]
    assert check.verdict is verdict and check.hint
    assert words in f"{check.found} {check.hint}"


async def test_looking_around_a_machine_without_anything(tmp_path: Path) -> None:
    config = AgentConfig(
        data_dir=tmp_path / "agent", libvirt_uri=f"qemu+unix:///system?socket={tmp_path}/none"
    )
    seen = await look_around(config, SystemClock())
    assert seen.inventory is None and "none" in seen.libvirt_error
    assert not seen.joined and "has not joined" in seen.join_error and not seen.agent_runs
    assert seen.free_bytes > 0 and not (tmp_path / "agent").exists(), "it changes nothing"
