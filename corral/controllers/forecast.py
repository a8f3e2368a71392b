"""Forecast: how long a migration will take, and by which method it goes best.

In this room   pure: figures in, Forecast and MigrationHow out; what is learned of a link from a migration
Comes in       Outlook: memory, how fast the guest writes to it, the link's figures, the VM's policy
Goes out       choose(): how to migrate, and what that will take; learned(): the link's figures from now on
Always true    equal outlooks give equal choices; nothing is chosen that the policy does not allow
Next door      migration_plan.py asks when both nodes are ready, server/services/preflight.py before anything begins
Start here     choose()
"""

from collections.abc import Mapping
from statistics import median
from typing import Final

from msgspec import Struct

from corral.model.migration import (
    TIMEOUT_S_LEAST,
    Forecast,
    LinkSample,
    MigrationFigures,
    MigrationHow,
    MigrationLink,
    MigrationPolicy,
    MigrationResult,
)
from corral.model.units import GiB, MiB

ASSUMED: Final = MigrationLink(bandwidth_bytes_s=110.0 * MiB, overhead_s=1.0, downtime_ms=50.0)  # 1 Gbit/s
ROUNDS_MAX: Final = 300
PERIOD_S: Final = 1.0  # QEMU weighs what was written against what was sent once in so long
THROTTLE_FIRST, THROTTLE_MORE, THROTTLE_MAX = 0.2, 0.1, 0.99  # of the guest's CPU time; QEMU's defaults
HIGH_SHARE: Final = 0.5  # of what was sent: a guest that writes more, twice in a row, is slowed down
PARALLEL: Final = 4  # connections, where one is likely to be the bottleneck
PARALLEL_BYTES: Final = 4 * GiB
PARALLEL_BYTES_S: Final = 600 * MiB
LATE_S_LEAST: Final = 20.0  # post-copy ends what was to converge and has not: not sooner than this,
LATE_TIMES: Final = 2.0  # and when it took so many times longer than foreseen
TIMES: Final = 3.0  # a migration may take so much longer than foreseen
POST_COPY_WORTH: Final = 2.0  # times longer that slowing the guest may take before post-copy is preferred
LAST: Final = 5  # migrations whose middle is what a link is like
LEARN_BYTES_LEAST: Final = 8 * MiB  # less tells nothing about bandwidth


class Outlook(Struct, frozen=True, kw_only=True):
    """What is known before a migration."""

    memory_bytes: int  # of the VM
    resident_bytes: int = 0  # what it takes of its node's; 0: not known
    last: MigrationResult | None = None  # of this VM
    dirty_bytes_s: float | None = None  # None: not measured
    working_bytes: float | None = (
        None  # all that the guest writes to again and again; None: no end of it was seen
    )
    disk_bytes: int = 0  # of local volumes
    link: MigrationLink | None = None  # None: nothing has been migrated that way yet
    policy: MigrationPolicy = MigrationPolicy()
    tls: bool = False  # both nodes can


class Passes(Struct, frozen=True, kw_only=True):
    """Rounds of pre-copy, played through."""

    seconds: float
    rounds: int
    left_bytes: float  # sent during the pause
    converges: bool
    throttle: float = 0.0


def choose(outlook: Outlook) -> tuple[MigrationHow, Forecast]:
    """The best method that is allowed, with what it will take and why it was chosen."""
    policy, link = outlook.policy, outlook.link or ASSUMED
    bytes_s = min(link.bandwidth_bytes_s, policy.bandwidth_bytes_s or float("inf"))
    first = first_pass(outlook)
    plain, slowed = (
        play(
            first,
            outlook.dirty_bytes_s or 0.0,
            bytes_s,
            downtime_s=policy.downtime_ms_max / 1000,
            auto_converge=auto,
            working_bytes=outlook.working_bytes,
        )
        for auto in (False, policy.auto_converge)
    )
    post_copy, why = _post_copy(outlook, plain, slowed, first / bytes_s)
    sending = first / bytes_s * 2 if post_copy == "soon" else slowed.seconds
    left_s = 0.0 if post_copy == "soon" else slowed.left_bytes / bytes_s
    total_s = link.overhead_s + outlook.disk_bytes / bytes_s + sending + left_s
    timeout_s = policy.timeout_s or max(TIMEOUT_S_LEAST, TIMES * total_s)
    after_s = {
        "soon": link.overhead_s + first / bytes_s,
        "late": min(timeout_s / 2, max(LATE_S_LEAST, LATE_TIMES * total_s)),
    }.get(post_copy)
    how = MigrationHow(
        auto_converge=policy.auto_converge,
        post_copy_after_s=after_s,
        parallel=_parallel(outlook, bytes_s, post_copy != ""),
        compress=policy.compress and policy.parallel <= 1,
        tls=outlook.tls and policy.tls != "never",
        downtime_ms_max=policy.downtime_ms_max,
        bandwidth_bytes_s=policy.bandwidth_bytes_s,
        timeout_s=timeout_s,
    )
    return how, Forecast(
        total_s=round(total_s, 2),
        downtime_ms=round(link.downtime_ms + left_s * 1000, 1),
        rounds=2 if post_copy == "soon" else slowed.rounds,
        converges=slowed.converges or post_copy != "",
        memory_bytes=first,
        resident_bytes=outlook.resident_bytes,
        disk_bytes=outlook.disk_bytes,
        dirty_bytes_s=outlook.dirty_bytes_s,
        bandwidth_bytes_s=bytes_s,
        rest_ms=round(left_s * 1000, 1),
        measured=outlook.link is not None,
        method=how.name,
        why=why,
    )


def first_pass(outlook: Outlook) -> int:
    """Bytes that one pass over the memory sends: pages of zeros cost nothing.

    As the last migration found it, and what the VM has come to hold since; else what is resident, which a guest that
    has run for long knows to be too much. Neither is more than its memory: QEMU's own total counts memory that could
    be plugged in, too.
    """
    most, last = outlook.memory_bytes, outlook.last
    found = last.figures if last else None
    if not last or not found or not found.zero_bytes or not found.memory_bytes:
        return min(most, outlook.resident_bytes or most)
    before = last.forecast.resident_bytes if last.forecast else 0
    grown = max(0, outlook.resident_bytes - before) if before else 0
    return min(most, max(0, min(most - found.zero_bytes, found.memory_bytes)) + grown)


def play(
    first_bytes: float,
    dirty_bytes_s: float,
    bytes_s: float,
    *,
    downtime_s: float,
    auto_converge: bool,
    working_bytes: float | None = None,
) -> Passes:
    """Pre-copy round by round, as QEMU does it: until the rest can be sent within the pause.

    source   QEMU migration/ram.c: migration_bitmap_sync(), mig_throttle_guest_down(); migration.c: migration_iteration_run()
    """
    left, seconds, throttle, high = first_bytes, 0.0, 0.0, 0
    most = first_bytes if working_bytes is None else min(first_bytes, working_bytes)
    period_s = period_sent = period_dirty = 0.0
    for number in range(1, ROUNDS_MAX + 1):
        took = left / bytes_s
        dirty = min(most, dirty_bytes_s * (1 - throttle) * took)
        seconds, period_s = seconds + took, period_s + took
        period_sent, period_dirty, left = period_sent + left, period_dirty + dirty, dirty
        if left <= bytes_s * downtime_s:
            return Passes(seconds=seconds, rounds=number, left_bytes=left, converges=True, throttle=throttle)
        if period_s >= PERIOD_S:
            high = high + 1 if period_dirty > HIGH_SHARE * period_sent else high
            period_s = period_sent = period_dirty = 0.0
            if high >= 2 and auto_converge:
                throttle, high = (
                    min(THROTTLE_MAX, throttle + (THROTTLE_MORE if throttle else THROTTLE_FIRST)),
                    0,
                )
    return Passes(seconds=seconds, rounds=ROUNDS_MAX, left_bytes=left, converges=False, throttle=throttle)


def _post_copy(outlook: Outlook, plain: Passes, slowed: Passes, pass_s: float) -> tuple[str, str]:
    """When to switch to post-copy ("", "late": if all else fails, "soon": after the first round), and why this method."""
    policy = outlook.policy
    allowed = policy.post_copy and not outlook.disk_bytes and policy.parallel <= 1
    if outlook.dirty_bytes_s is None:
        return "late" if allowed else "", "how fast the guest writes is not known yet"
    if plain.converges:
        return "late" if allowed else "", f"it converges in {plain.rounds} rounds"
    if slowed.converges and not (allowed and slowed.seconds > POST_COPY_WORTH * 2 * pass_s):
        return "late" if allowed else "", f"it converges once the guest is slowed by {slowed.throttle:.0%}"
    if allowed:
        return "soon", "the guest writes as fast as the link carries: post-copy ends after one round"
    return "", "the guest writes faster than the link carries, and post-copy is not allowed"


def _parallel(outlook: Outlook, bytes_s: float, post_copy: bool) -> int:
    """QEMU combines several connections with neither post-copy nor compression."""
    policy = outlook.policy
    if post_copy or (policy.compress and policy.parallel <= 1):
        return 1
    many = outlook.memory_bytes >= PARALLEL_BYTES and bytes_s >= PARALLEL_BYTES_S
    return policy.parallel or (PARALLEL if many else 1)


def link_to(links: Mapping[str, MigrationLink], target: str) -> MigrationLink | None:
    """What is known of the way to that node; else the middle of what this node's other ways are like."""
    if target in links or not links:
        return links.get(target)
    ways = links.values()
    return MigrationLink(
        bandwidth_bytes_s=median(w.bandwidth_bytes_s for w in ways),
        overhead_s=median(w.overhead_s for w in ways),
        downtime_ms=median(w.downtime_ms for w in ways),
    )


def learned(
    old: MigrationLink | None, figures: MigrationFigures, forecast: Forecast | None, how: MigrationHow
) -> MigrationLink | None:
    """The link's figures after a migration that went over it; None: it taught nothing.

    The overhead is mostly the time in which the target makes a machine ready, so a busy moment can treble it: what is
    assumed counts as one migration more, until there are several.
    """
    if figures.downtime_ms is None or figures.total_s <= 0 or figures.post_copy:
        return old
    told = old or ASSUMED
    capped = how.bandwidth_bytes_s and figures.bandwidth_bytes_s > 0.7 * how.bandwidth_bytes_s
    bandwidth = told.bandwidth_bytes_s
    if not capped and figures.bandwidth_bytes_s and figures.memory_bytes >= LEARN_BYTES_LEAST:
        bandwidth = figures.bandwidth_bytes_s
    sending_s = (figures.memory_bytes + figures.disk_bytes) / (figures.bandwidth_bytes_s or bandwidth)
    rest_ms = forecast.rest_ms if forecast else 0.0
    newest = LinkSample(
        bandwidth_bytes_s=bandwidth,
        overhead_s=max(0.0, figures.total_s - sending_s),
        downtime_ms=max(0.0, figures.downtime_ms - rest_ms),
    )
    last = (*(old.last if old else ()), newest)[-LAST:]
    return MigrationLink(
        bandwidth_bytes_s=median(s.bandwidth_bytes_s for s in last),
        overhead_s=median((ASSUMED.overhead_s, *(s.overhead_s for s in last))),
        downtime_ms=median(s.downtime_ms for s in last),
        migrations=told.migrations + 1,
        last=last,
    )
