"""States: libvirt's words for how a domain is, in ours.

In this room   plain tables: state and reason as libvirt numbers them (virDomainState, virDomainShutoffReason, …)
Goes out       DomainState and StopReason
Always true    what may still hold a disk open is never called stopped: an unknown state counts as paused
Start here     domain_state()
"""

from typing import Final

import libvirt

from corral.model.vm import DomainState, StopReason

STATES: Final = {
    libvirt.VIR_DOMAIN_RUNNING: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: DomainState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: DomainState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: DomainState.RUNNING,  # the guest is done, QEMU is not
    libvirt.VIR_DOMAIN_SHUTOFF: DomainState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: DomainState.PAUSED,  # kept for a look at it: QEMU is still there
    libvirt.VIR_DOMAIN_PMSUSPENDED: DomainState.PAUSED,
}

SHUTOFF_REASONS: Final = {
    libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN: StopReason.HOST,  # not since libvirtd's files in /run were made
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: StopReason.SHUTDOWN,
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: StopReason.DESTROYED,
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: StopReason.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: StopReason.ASKED,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: StopReason.DESTROYED,  # someone ran `virsh managedsave`
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: StopReason.FAILED,
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: StopReason.DESTROYED,  # someone ran `virsh snapshot-revert`
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: StopReason.HOST,  # libvirtd found it unusable when it came back
}


def domain_state(state: int) -> DomainState:
    """Without INCOMING: whether a paused domain is arriving takes more than its state."""
    return STATES.get(state, DomainState.PAUSED)


def stop_reason(state: int, reason: int) -> StopReason:
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return StopReason.CRASHED
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        return StopReason.NONE
    return SHUTOFF_REASONS.get(reason, StopReason.HOST)


def runs_by_post_copy(state: int, reason: int) -> bool:
    """The target's side of post-copy: the guest runs here, and not all of its memory is here yet."""
    return (state, reason) == (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY)


def post_copy_broke(state: int, reason: int) -> bool:
    """Either side of a post-copy migration whose link broke. At the target libvirt calls that running."""
    return (state, reason) in (
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED),
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_POSTCOPY_FAILED),
    )


def paused_by_migration(state: int, reason: int) -> bool:
    """So are both sides of a migration: the target all the time, the source at the very end."""
    return state == libvirt.VIR_DOMAIN_PAUSED and reason in (
        libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
    )
