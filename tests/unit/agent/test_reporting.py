"""What the server does not know is told, once, newest first."""

from msgspec.structs import replace

from corral.agent.reporting import PARTS_MAX, WINDOW, Reporter, coarse, steady
from corral.model.link import digest
from corral.model.node import Inventory, PoolOnNode
from corral.model.resource import Trouble
from corral.model.vm import DomainState, VMReport

RUNS = VMReport(state=DomainState.RUNNING, stint=1)
OFF = VMReport(state=DomainState.STOPPED, stint=1)


def test_only_differences_go_out() -> None:
    reporter = Reporter()
    reporter.put("vms", "vm-1", RUNS)
    reporter.put("pools", "pool-1", PoolOnNode(ready=True))
    reporter.put("inventory", "", Inventory(cpus=4))
    first = reporter.next()
    assert first and first.vms == {"vm-1": RUNS} and list(first.pools) == ["pool-1"]
    assert first.inventory == Inventory(cpus=4)
    assert reporter.next() is None
    reporter.put("vms", "vm-1", RUNS)
    assert reporter.next() is None and not reporter.news.is_set()
    reporter.put("vms", "vm-1", OFF)
    second = reporter.next()
    assert second and second.vms == {"vm-1": OFF} and not second.pools and second.inventory is None
    assert second.seq == first.seq + 1


def test_what_changes_while_reports_are_on_the_way_goes_together() -> None:
    reporter = Reporter()
    for number in range(WINDOW):
        reporter.put("vms", "vm-1", replace(RUNS, boot=number + 1))
        assert reporter.next()
    for number in range(5):
        reporter.put("vms", "vm-1", replace(RUNS, boot=number + 10))
    assert reporter.next() is None and reporter.waits_for_ack
    reporter.acked(1)
    assert reporter.news.is_set()
    report = reporter.next()
    assert report and report.vms["vm-1"].boot == 14
    reporter.acked(1)  # twice
    assert reporter.next() is None


def test_there_and_back_is_no_news() -> None:
    reporter = Reporter()
    reporter.put("vms", "vm-1", RUNS)
    assert reporter.next()
    reporter.put("vms", "vm-1", OFF)
    reporter.put("vms", "vm-1", RUNS)
    assert reporter.next() is None


def test_a_new_stream_gets_what_its_server_does_not_hold() -> None:
    reporter = Reporter()
    reporter.put("vms", "vm-1", RUNS)
    reporter.put("vms", "vm-2", OFF)
    assert reporter.next()
    reporter.resume({"vms/vm-1": digest(RUNS), "vms/vm-3": "0" * 16})
    report = reporter.next()
    assert report and report.vms == {"vm-2": OFF}
    assert reporter.next() is None


def test_a_dropped_part_is_not_told() -> None:
    reporter = Reporter()
    reporter.put("vms", "vm-1", RUNS)
    reporter.drop("vms", "vm-1")
    assert reporter.next() is None
    reporter.put("vms", "vm-1", RUNS)
    assert reporter.next()


def test_a_report_has_a_bound() -> None:
    reporter = Reporter()
    for number in range(PARTS_MAX + 1):
        reporter.put("vms", f"vm-{number}", RUNS)
    first, second = reporter.next(), reporter.next()
    assert first and len(first.vms) == PARTS_MAX
    assert second and len(second.vms) == 1


def test_the_same_trouble_keeps_its_time() -> None:
    old = Trouble(code="a", message="m", since=1.0)
    assert steady(replace(old, since=9.0), old) is old
    assert steady(replace(old, message="n", since=9.0), old) == replace(old, message="n", since=9.0)
    assert steady(None, old) is None


def test_progress_is_coarse() -> None:
    assert [coarse(p) for p in (-1, 0, 0.049, 0.05, 0.5, 0.999, 1, 7)] == [0, 0, 0, 0.05, 0.5, 0.95, 1, 1]
