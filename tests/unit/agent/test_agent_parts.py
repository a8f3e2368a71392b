"""Facts, seeds, consoles and lanes of an agent."""

import asyncio
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from corral.agent.facts import FactTaker, ProcFigures, rates
from corral.agent.guests import UP_S
from corral.agent.lanes import Lanes, Tasks
from corral.agent.reporting import steady_room
from corral.agent.seed import seed_files
from corral.hypervisor.interface import DomainFacts, HypervisorFailed
from corral.hypervisor.simulated import SimulatedHypervisor
from corral.model.console import ConsoleKind
from corral.model.ids import VmId
from corral.model.link import NODE_COLUMNS, VM_COLUMNS, NicAssignment, OpenConsole, TakeScreenshot
from corral.model.node import PoolOnNode
from corral.model.vm import CloudInit, StopReason
from tests.unit.agent.rig import LAN, VM, WEB, NoFigures, Rig, Strikes, in_rig

# ---- facts

STAT = "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n"
MEMINFO = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n"
PSI = "some avg10=25.00 avg60=0 avg300=0 total=1\nfull avg10=1 avg60=0 avg300=0 total=1\n"


def test_host_figures_from_proc(tmp_path: Path) -> None:
    (tmp_path / "pressure").mkdir()
    for what in ("cpu", "memory", "io"):
        (tmp_path / "pressure" / what).write_text(PSI)
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "loadavg").write_text("1.5 1 1 1/2 3\n")
    (tmp_path / "stat").write_text(STAT)
    figures = ProcFigures(tmp_path)
    (tmp_path / "stat").write_text("cpu  150 0 150 750 150 0 0 0 50 0\n")
    assert figures.row() == (0.5, 600 * 1024, 0.25, 0.25, 0.25, 1.5)


def test_a_host_that_shows_nothing_has_zeros(tmp_path: Path) -> None:
    assert ProcFigures(tmp_path).row() == (0.0,) * len(NODE_COLUMNS)


def test_this_host_has_figures() -> None:
    row = ProcFigures().row()
    assert len(row) == len(NODE_COLUMNS) and row[1] > 0


RATES = [
    ("first look: no rates yet", None, (0.0, 7.0, 0.0, 0.0, 0.0, 0.0)),
    ("two seconds later", DomainFacts(cpu_s=1.0, block_read_bytes=100), (0.5, 7.0, 50.0, 0.0, 0.0, 10.0)),
    ("restarted meanwhile", DomainFacts(cpu_s=9.0, block_read_bytes=999), (0.0, 7.0, 0.0, 0.0, 0.0, 10.0)),
]


@pytest.mark.parametrize(("old", "row"), [pytest.param(*r[1:], id=r[0]) for r in RATES])
def test_rates(old: DomainFacts | None, row: tuple[float, ...]) -> None:
    new = DomainFacts(cpu_s=2.0, memory_bytes=7, block_read_bytes=200, net_out_bytes=20)
    assert rates(old, new, 2.0) == row and len(row) == len(VM_COLUMNS) - 1


@in_rig
async def test_facts_are_on_time_though_the_hypervisor_hangs(rig: Rig) -> None:
    await rig.web_runs()
    faults = Strikes(rig.clock)  # its own: the agent takes facts too
    taker = FactTaker(SimulatedHypervisor(rig.one.host, faults=faults), NoFigures(), rig.clock)
    faults.plan("hypervisor.facts", 300.0, HypervisorFailed("no"))
    began_s = rig.clock.monotonic_s()
    for _ in range(2):
        facts = await taker.take()
        assert facts.vm_ids == () and len(facts.node) == len(NODE_COLUMNS)
    assert rig.clock.monotonic_s() - began_s < 2.0
    await taker.take()
    await rig.passes(2)
    facts = await taker.take()
    assert facts.vm_ids == (VM,) and facts.vms[0][0] > 0


@in_rig
async def test_the_first_facts_come_at_once_and_then_at_the_interval(rig: Rig) -> None:
    await rig.passes(0.1)
    assert len(rig.one.server.facts) == 1
    await rig.passes(10)
    assert 5 <= len(rig.one.server.facts) <= 6


# ---- seeds


def test_a_seed_of_its_own_making() -> None:
    nics = (NicAssignment(network=LAN.network, bridge="br0", mac="52:54:00:00:00:01"),)
    files = seed_files(replace(WEB, nics=nics))
    assert yaml.safe_load(files["meta-data"]) == {"instance-id": "vm-1", "local-hostname": "web"}
    assert files["user-data"].startswith("#cloud-config\n")
    network = yaml.safe_load(files["network-config"])
    assert network["version"] == 2
    assert network["ethernets"]["nic0"] == {"match": {"macaddress": "52:54:00:00:00:01"}, "dhcp4": True}


def test_a_seed_as_the_user_wrote_it() -> None:
    mine = CloudInit(user_data="#!/bin/sh\n", meta_data="a: 1\n", network_config="version: 2\n")
    assert seed_files(replace(WEB, cloud_init=mine)) == {
        "user-data": "#!/bin/sh\n",
        "meta-data": "a: 1\n",
        "network-config": "version: 2\n",
    }


def test_without_nics_there_is_no_network_config() -> None:
    assert "network-config" not in seed_files(replace(WEB, nics=()))


# ---- consoles


@in_rig
async def test_a_console_is_relayed_both_ways(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.tell(OpenConsole(session="s1", vm=VM))
    await rig.until(lambda: "s1" in rig.one.server.consoles)
    user = rig.one.server.consoles["s1"]
    await rig.until(lambda: b"web (simulated)" in user.shown)
    user.typed.put_nowait(b"echo me")
    await rig.until(lambda: b"echo me" in user.shown)
    user.typed.put_nowait(b"")
    await rig.until(lambda: user.closed)


@in_rig
async def test_a_console_ends_with_its_vm(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.tell(OpenConsole(session="s1", vm=VM))
    await rig.until(lambda: "s1" in rig.one.server.consoles and rig.one.server.consoles["s1"].shown)
    rig.one.host.crash(VM)
    await rig.until(lambda: rig.one.server.consoles["s1"].closed)


@in_rig
async def test_a_console_that_can_not_be_opened_says_why(rig: Rig) -> None:
    await rig.passes(0.1)
    rig.one.server.tell(OpenConsole(session="s1", vm=VM))
    await rig.until(lambda: "s1" in rig.one.server.excuses)
    assert "does not run" in rig.one.server.excuses["s1"].message
    assert "s1" not in rig.one.server.consoles


@in_rig
async def test_a_screen_is_relayed(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.tell(OpenConsole(session="s1", vm=VM, kind=ConsoleKind.VNC))
    await rig.until(lambda: "s1" in rig.one.server.consoles)
    user = rig.one.server.consoles["s1"]
    await rig.until(lambda: user.shown == b"RFB 003.008\n")
    user.typed.put_nowait(b"RFB 003.008\n")
    await rig.until(lambda: user.shown.endswith(b"\x01\x01"))
    rig.one.host.crash(VM)
    await rig.until(lambda: user.closed)


@in_rig
async def test_a_screen_that_is_not_there_says_so(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.tell(OpenConsole(session="s1", vm=VM, kind=ConsoleKind.SPICE))
    await rig.until(lambda: "s1" in rig.one.server.excuses)
    assert rig.one.server.excuses["s1"].code == "console.no_screen"


@in_rig
async def test_a_console_begins_with_what_was_printed_before(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.host.shows(VM).line.print(b"long ago, and \x1b[6n quietly\r\n")
    rig.one.server.tell(OpenConsole(session="s1", vm=VM, replay_bytes=1000))
    await rig.until(lambda: "s1" in rig.one.server.consoles)
    user = rig.one.server.consoles["s1"]
    await rig.until(lambda: b"simulated" in user.shown)
    assert b"long ago, and  quietly" in user.shown.partition(b"(simulated)")[0]


@in_rig
async def test_a_picture_is_sent_once_it_is_taken(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.server.tell(TakeScreenshot(session="p1", vm=VM))
    await rig.until(lambda: "p1" in rig.one.server.consoles)
    user = rig.one.server.consoles["p1"]
    await rig.until(lambda: user.shown.startswith(b"\x89PNG"))
    await rig.passes(0.1)
    assert not user.closed, "what is closed too early may be lost on the way"
    user.typed.put_nowait(b"")
    await rig.until(lambda: user.closed)
    rig.one.host.crash(VM)
    rig.one.server.tell(TakeScreenshot(session="p2", vm=VM))
    await rig.until(lambda: "p2" in rig.one.server.excuses)


# ---- lanes


@in_rig
async def test_a_lane_never_works_on_one_key_twice_at_once(rig: Rig) -> None:
    working: list[str] = []
    done: list[str] = []

    async def step(key: str) -> float | None:
        assert key not in working
        working.append(key)
        await rig.clock.sleep(1.0)
        working.remove(key)
        done.append(key)
        return None

    lanes = Lanes(step, Tasks().spawn)
    for _ in range(3):
        lanes.wake("a")
        lanes.wake("b")
    await rig.passes(0.5)
    lanes.wake("a")
    lanes.wake("b")
    await rig.passes(1.0)
    assert sorted(working) == ["a", "b"], "a wake during a step leads to one more"
    await rig.passes(3)
    assert sorted(done) == ["a", "a", "b", "b"] and lanes.busy == 0


@in_rig
async def test_a_wake_cuts_a_wait_short(rig: Rig) -> None:
    times: list[float] = []

    async def step(key: str) -> float | None:
        times.append(rig.clock.monotonic_s())
        return 100.0 if len(times) == 1 else None

    lanes = Lanes(step, Tasks().spawn)
    lanes.wake("a")
    await rig.passes(1.0)
    lanes.wake("a")
    await rig.passes(1.0)
    assert len(times) == 2 and times[1] - times[0] == pytest.approx(1.0)


@in_rig
async def test_a_bug_in_one_lane_leaves_the_others_alone(rig: Rig) -> None:
    await rig.passes(0.1)
    agent = rig.one.agents[0]
    original = agent._vms.step

    async def broken(key: str) -> float | None:
        if key == "vm-bad":
            raise ZeroDivisionError
        return await original(key)

    agent._vms.step = broken  # type: ignore[method-assign]
    agent._lanes.wake("vm-bad")
    await asyncio.sleep(0.1)
    await rig.web_runs()
    assert [type(bug) for bug in agent.bugs] == [ZeroDivisionError]
    agent.bugs.clear()


# ---- reporting

POOL = PoolOnNode(ready=True, total_bytes=1000, free_bytes=500)
ROOM = [  # name, what is seen, what is told
    ("nothing told yet: as it is", POOL, None, POOL),
    ("a little less room: no news", replace(POOL, free_bytes=491), POOL, POOL),
    ("a hundredth less: news", replace(POOL, free_bytes=490), POOL, replace(POOL, free_bytes=490)),
    (
        "not ready: news at once",
        replace(POOL, ready=False, free_bytes=499),
        POOL,
        replace(POOL, ready=False, free_bytes=499),
    ),
]


@pytest.mark.parametrize(("seen", "old", "told"), [pytest.param(*r[1:], id=r[0]) for r in ROOM])
def test_small_changes_of_room_are_no_news(
    seen: PoolOnNode, old: PoolOnNode | None, told: PoolOnNode
) -> None:
    assert steady_room(seen, old) == told


# ---- guests


@in_rig
async def test_a_guest_that_is_up_is_asked_seldom(rig: Rig) -> None:
    await rig.web_runs()
    await rig.passes(1)
    before = rig.one.faults.hit["hypervisor.guest"]
    await rig.passes(10 * UP_S)
    assert 8 <= rig.one.faults.hit["hypervisor.guest"] - before <= 13


@in_rig
async def test_a_guest_that_is_forgotten_while_it_is_asked(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.faults.plan("hypervisor.guest", 4.0)
    await rig.until(lambda: not rig.one.faults.planned["hypervisor.guest"], within_s=1.4 * UP_S)
    rig.one.server.forget(VM)
    rig.one.host.end(VM, StopReason.SHUTDOWN)
    await rig.until(lambda: (r := rig.one.server.vm()) and r.state == "stopped" and not r.guest.up)
    rig.one.server.assign(WEB)
    rig.one.server.assign(replace(WEB, boot=2))
    await rig.until(lambda: (r := rig.one.server.vm()) and r.guest.up)


@in_rig
async def test_a_guest_that_hangs_delays_no_other(rig: Rig) -> None:
    await rig.web_runs()
    rig.one.faults.plan("hypervisor.guest", 400.0)
    await rig.until(lambda: not rig.one.faults.planned["hypervisor.guest"], within_s=1.4 * UP_S)
    rig.one.server.assign(replace(WEB, vm=VmId("vm-2"), name="db"))
    assert await rig.until(lambda: (r := rig.one.server.vm("vm-2")) and r.guest.up) < 15


@in_rig
async def test_a_guest_that_answers_before_its_vm_is_reported_to_run(rig: Rig) -> None:
    """What is pending is hard to find out for a VM that goes on; its guest answers meanwhile."""
    await rig.web_runs()
    one = rig.one
    one.kill()
    one.host.pause(VM)
    one.start()
    await rig.until(lambda: (r := one.server.vm()) and r.state == "paused")
    one.faults.plan("hypervisor.pending", HypervisorFailed("busy"), 6.0)
    one.server.assign(replace(WEB, stop_timeout_s=30.0))
    await rig.until(lambda: len(one.faults.planned["hypervisor.pending"]) == 1)
    await SimulatedHypervisor(one.host).resume(VM)
    assert await rig.until(lambda: (r := one.server.vm()) and r.guest.up) < 20
