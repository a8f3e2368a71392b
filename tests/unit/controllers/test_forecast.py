"""Forecasts: the method chosen, what it takes, and what a migration teaches about its link."""

import pytest
from msgspec.structs import replace

from corral.controllers.forecast import ASSUMED, Outlook, choose, first_pass, learned, link_to, play
from corral.model.migration import (
    Forecast,
    MigrationFigures,
    MigrationHow,
    MigrationLink,
    MigrationPolicy,
    MigrationResult,
)
from corral.model.units import GiB, MiB

LINK = MigrationLink(bandwidth_bytes_s=100 * MiB, overhead_s=1.0, downtime_ms=20.0, migrations=3)
FIGURES = MigrationFigures(zero_bytes=524 * MiB, memory_bytes=900 * MiB)
LAST = MigrationResult(
    wish="op",
    figures=FIGURES,
    forecast=Forecast(
        total_s=9.0, downtime_ms=9.0, rounds=1, converges=True, memory_bytes=GiB, resident_bytes=700 * MiB
    ),
)
IDLE = Outlook(memory_bytes=GiB, last=LAST, resident_bytes=600 * MiB, dirty_bytes_s=0.0, link=LINK)
BUSY = replace(IDLE, dirty_bytes_s=60.0 * MiB)
WILD = replace(IDLE, dirty_bytes_s=150.0 * MiB)
YES = MigrationPolicy(post_copy=True)

METHODS = [  # name, outlook, part of the method's name, part of why, converges
    ("idle: plain pre-copy", IDLE, "pre-copy", "converges in 1 rounds", True),
    ("not measured: pre-copy", replace(IDLE, dirty_bytes_s=None), "pre-copy", "not known", True),
    ("busy, and it converges", BUSY, "pre-copy", "converges in", True),
    ("writes faster than the link: slowed", WILD, "auto-converge", "once the guest is slowed by", True),
    (
        "the same, and slowing is not allowed",
        replace(WILD, policy=MigrationPolicy(auto_converge=False)),
        "pre-copy",
        "post-copy is not allowed",
        False,
    ),
    ("the same, and post-copy is allowed", replace(WILD, policy=YES), "post-copy", "one round", True),
    (
        "local disks never go by post-copy",
        replace(WILD, policy=YES, disk_bytes=GiB),
        "pre-copy",
        "slowed by",
        True,
    ),
    (
        "much memory on a fast link: several connections",
        replace(IDLE, memory_bytes=16 * GiB, link=replace(LINK, bandwidth_bytes_s=1000.0 * MiB)),
        "4 connections",
        "converges",
        True,
    ),
    ("TLS where both nodes can", replace(IDLE, tls=True), "TLS", "converges", True),
]


@pytest.mark.parametrize(
    ("outlook", "method", "why", "converges"), [pytest.param(*row[1:], id=row[0]) for row in METHODS]
)
def test_method(outlook: Outlook, method: str, why: str, converges: bool) -> None:
    how, forecast = choose(outlook)
    assert method in forecast.method == how.name and why in forecast.why
    assert forecast.converges is converges


def test_an_idle_guest_takes_one_pass_over_its_memory() -> None:
    _, forecast = choose(IDLE)
    assert (forecast.total_s, forecast.downtime_ms, forecast.rounds) == (6.0, 20.0, 1)


FIRST = [  # name, outlook, MiB that the first pass sends
    ("never migrated: what is resident", replace(IDLE, last=None), 600),
    ("resident is more than the guest has", replace(IDLE, last=None, resident_bytes=2 * GiB), 1024),
    ("nothing is known: all of it", replace(IDLE, last=None, resident_bytes=0), 1024),
    ("migrated before: without its zeros", IDLE, 500),
    ("all rounds together sent less", replace(IDLE, last=replace(LAST, figures=replace(FIGURES, memory_bytes=400 * MiB))), 400),
    ("it has grown since", replace(IDLE, resident_bytes=800 * MiB), 600),
    ("grown past its memory", replace(IDLE, resident_bytes=2 * GiB), 1024),
    ("that one did not tell", replace(IDLE, last=replace(LAST, figures=None)), 600),
    ("its forecast is not known", replace(IDLE, last=replace(LAST, forecast=None), resident_bytes=2 * GiB), 500),
]  # fmt: skip


@pytest.mark.parametrize(("outlook", "mib"), [pytest.param(*row[1:], id=row[0]) for row in FIRST])
def test_the_first_pass(outlook: Outlook, mib: int) -> None:
    assert first_pass(outlook) == choose(outlook)[1].memory_bytes == mib * MiB


def test_disks_and_a_limit_take_longer() -> None:
    _, forecast = choose(replace(IDLE, disk_bytes=500 * MiB))
    assert forecast.total_s == 11.0
    limited = replace(IDLE, policy=MigrationPolicy(bandwidth_bytes_s=50 * MiB))
    assert choose(limited)[1].total_s == 11.0


def test_a_busier_guest_never_takes_less() -> None:
    took = [choose(replace(IDLE, dirty_bytes_s=rate * MiB))[1].total_s for rate in range(0, 100, 5)]
    assert took == sorted(took) and took[-1] > 3 * took[0]


def test_rounds_shrink_by_the_share_that_is_written() -> None:
    passes = play(1000.0, 50.0, 100.0, downtime_s=0.3, auto_converge=False)
    assert (passes.rounds, passes.left_bytes, passes.seconds) == (6, 15.625, 19.6875)


def test_the_timeout_is_thrice_the_forecast_or_what_the_policy_says() -> None:
    assert choose(IDLE)[0].timeout_s == 480.0
    assert choose(replace(IDLE, disk_bytes=100 * GiB))[0].timeout_s == pytest.approx(3 * 1030.0)
    assert choose(replace(IDLE, policy=MigrationPolicy(timeout_s=60.0)))[0].timeout_s == 60.0


SEEN = MigrationFigures(
    downtime_ms=40.0, total_s=7.0, memory_bytes=500 * MiB, bandwidth_bytes_s=100.0 * MiB, rounds=1
)
PLAIN = MigrationHow()


def test_the_first_migration_over_a_link_is_believed() -> None:
    link = learned(None, SEEN, None, PLAIN)
    assert link is not None and (link.bandwidth_bytes_s, link.downtime_ms, link.migrations) == (
        100 * MiB,
        40.0,
        1,
    )
    assert ASSUMED.overhead_s < link.overhead_s < 2.0, "but for its overhead, which a busy target trebles"


def test_the_rest_that_is_sent_in_the_pause_is_not_the_links() -> None:
    forecast = choose(BUSY)[1]
    assert forecast.downtime_ms == LINK.downtime_ms + forecast.rest_ms > LINK.downtime_ms
    link = learned(None, replace(SEEN, downtime_ms=forecast.rest_ms + 33.0), forecast, PLAIN)
    assert link is not None and link.downtime_ms == pytest.approx(33.0)


def test_a_way_never_gone_is_like_the_nodes_others() -> None:
    slow, fast = (replace(LINK, bandwidth_bytes_s=rate * MiB) for rate in (10.0, 200.0))
    assert link_to({}, "d") is None and link_to({"a": slow, "b": LINK}, "a") == slow
    like = link_to({"a": slow, "b": LINK, "c": fast}, "d")
    assert like is not None and like.bandwidth_bytes_s == LINK.bandwidth_bytes_s


def test_the_middle_of_the_last_few_counts_not_a_slow_one() -> None:
    link = None
    for total_s in (60.0, 7.0, 7.5, 7.0, 7.0, 6.5, 7.0):
        link = learned(link, replace(SEEN, total_s=total_s), None, PLAIN)
    assert link is not None and link.overhead_s == 2.0 and len(link.last) == 5


def test_a_guest_that_writes_to_the_same_pages_converges_sooner() -> None:
    everywhere = choose(BUSY)[1].total_s
    assert choose(replace(BUSY, working_bytes=60.0 * MiB))[1].total_s < everywhere


def test_what_teaches_nothing() -> None:
    assert learned(LINK, replace(SEEN, downtime_ms=None), None, PLAIN) == LINK, "nobody measured it"
    assert learned(LINK, replace(SEEN, post_copy=True), None, PLAIN) == LINK, "another way of sending"
    capped = learned(
        LINK, replace(SEEN, bandwidth_bytes_s=9.0 * MiB), None, MigrationHow(bandwidth_bytes_s=10 * MiB)
    )
    assert capped is not None and capped.bandwidth_bytes_s == LINK.bandwidth_bytes_s, "a limit is no link"
    small = learned(None, replace(SEEN, memory_bytes=MiB), None, PLAIN)
    assert small is not None and small.bandwidth_bytes_s == ASSUMED.bandwidth_bytes_s
