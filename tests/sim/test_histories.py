"""Histories by seed: safe while faults fly, at rest soon after they stop. The seed in the test's id replays it."""

import os
from collections import Counter

import pytest

from tests.sim.history import play

SEEDS = int(os.environ.get("SEEDS", "500"))
BATCH = 25  # seeds in one test: each takes about half a second
SETTLED_S_MAX = 650.0  # virtual: the deadline of an operation, and what undoing takes
MUST_STRIKE = {
    "lose_message",
    "double_message",
    "late_message",
    "call_fails",
    "call_hangs",
    "store_fails",
    "answer_lost",
    "kill_server",
    "kill_agent",
    "cut_link",
    "cut_hosts",
    "kill_qemu",
    "host_reboot",
    "restart_daemon",
}


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_histories(first: int) -> None:
    struck: Counter[str] = Counter()
    for seed in range(first, min(first + BATCH, SEEDS)):
        outcome = play(seed)
        assert not outcome.violations, f"seed {seed}: {outcome.violations}\n" + "\n".join(outcome.story)
        assert outcome.settled_s <= SETTLED_S_MAX, (
            f"seed {seed} took {outcome.settled_s:.0f} virtual s to settle"
        )
        assert outcome.ended["succeeded"] > 5, f"seed {seed}: nearly nothing worked: {outcome.ended}"
        struck += outcome.struck
    assert struck.keys() >= MUST_STRIKE, f"a fault never struck: {MUST_STRIKE - struck.keys()}"


@pytest.mark.parametrize("first", range(0, max(BATCH, SEEDS // 5), BATCH))
def test_histories_of_devices(first: int) -> None:
    """Hosts have GPUs, virtual functions and cards that are cut into slices, fewer than are asked for."""
    ended: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        outcome = play(seed, devices=True)
        assert not outcome.violations, f"seed {seed}: {outcome.violations}\n" + "\n".join(outcome.story)
        ended += outcome.ended
        ended["devices"] += outcome.devices
    assert ended["devices"] > BATCH and ended["succeeded"] > BATCH


def test_the_same_seed_tells_the_same_story() -> None:
    assert play(7).story == play(7).story
