"""Every state and every reason that libvirt has a name for."""

import pytest

libvirt = pytest.importorskip("libvirt")

from corral.hypervisor.libvirt.states import SHUTOFF_REASONS, domain_state, stop_reason  # noqa: E402
from corral.model.vm import DomainState, StopReason  # noqa: E402

STATES = [
    ("running", "RUNNING", DomainState.RUNNING),
    ("blocked on I/O: runs", "BLOCKED", DomainState.RUNNING),
    ("paused", "PAUSED", DomainState.PAUSED),
    ("the guest is done, QEMU is not: still runs", "SHUTDOWN", DomainState.RUNNING),
    ("off", "SHUTOFF", DomainState.STOPPED),
    ("crashed and kept: QEMU still holds the disk", "CRASHED", DomainState.PAUSED),
    ("suspended by the guest", "PMSUSPENDED", DomainState.PAUSED),
    ("none: may hold the disk", "NOSTATE", DomainState.PAUSED),
]
REASONS = [
    ("SHUTDOWN", StopReason.SHUTDOWN),
    ("DESTROYED", StopReason.DESTROYED),
    ("CRASHED", StopReason.CRASHED),
    ("FAILED", StopReason.FAILED),
    ("UNKNOWN", StopReason.HOST),
    ("DAEMON", StopReason.HOST),
    ("MIGRATED", StopReason.ASKED),
    ("SAVED", StopReason.DESTROYED),
]


@pytest.mark.parametrize(("name", "state"), [pytest.param(*row[1:], id=row[0]) for row in STATES])
def test_state(name: str, state: DomainState) -> None:
    assert domain_state(getattr(libvirt, f"VIR_DOMAIN_{name}")) is state


def test_a_state_of_a_newer_libvirt_is_no_stopped_domain() -> None:
    assert domain_state(99) is DomainState.PAUSED
    assert stop_reason(libvirt.VIR_DOMAIN_SHUTOFF, 99) is StopReason.HOST


@pytest.mark.parametrize(("name", "reason"), REASONS)
def test_reason(name: str, reason: StopReason) -> None:
    assert stop_reason(libvirt.VIR_DOMAIN_SHUTOFF, getattr(libvirt, f"VIR_DOMAIN_SHUTOFF_{name}")) is reason


def test_what_runs_has_no_reason_to_have_stopped() -> None:
    assert stop_reason(libvirt.VIR_DOMAIN_RUNNING, 1) is StopReason.NONE
    assert stop_reason(libvirt.VIR_DOMAIN_CRASHED, 1) is StopReason.CRASHED


def test_all_reasons_of_this_libvirt_are_mapped() -> None:
    known = {
        v
        for n, v in vars(libvirt).items()
        if n.startswith("VIR_DOMAIN_SHUTOFF_") and n != "VIR_DOMAIN_SHUTOFF_LAST"
    }
    assert set(SHUTOFF_REASONS) >= known
