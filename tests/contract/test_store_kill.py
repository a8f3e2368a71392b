"""kill -9 at random moments: nothing acknowledged is missing, nothing half-written is seen.

A killed process leaves the kernel's page cache behind, so this shows atomicity and order of acknowledgement;
that the disk has it, too, rests on the syncs that test_commits_are_synced asks for.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from corral.clock import SystemClock
from corral.store.interface import ChangeVerb
from corral.store.sqlite import SqliteStore
from tests.contract.stores import state

VICTIM = Path(__file__).with_name("store_victim.py")
ROUNDS = 5  # on one database; with three seeds, 15 kills


def run_and_kill(path: Path, round: int, chance: random.Random) -> list[str]:
    """Let the victim commit, kill it, return the whole lines it said."""
    command = [sys.executable, str(VICTIM), str(path), str(round)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
    assert victim.stdout is not None
    said = b""
    if round % 5:  # each fifth round it is killed at any moment, its opening included
        said = victim.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.15))
    else:
        time.sleep(chance.uniform(0.1, 0.9))
    victim.send_signal(signal.SIGKILL)
    said += victim.stdout.read()
    assert victim.wait() == -signal.SIGKILL, "it ended before it was killed"
    return said.decode().splitlines()[1:] if said.endswith(b"\n") else said.decode().splitlines()[1:-1]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: dict[int, tuple[str, str]] = {}
    unanswered = 0
    for round in range(ROUNDS):
        for line in run_and_kill(tmp_path / "c.db", round, chance):
            id, revision, verb = line.split()
            assert int(revision) not in acknowledged, f"revision {revision} was given out twice"
            acknowledged[int(revision)] = (id, verb)
        unanswered += await look(tmp_path / "c.db", acknowledged)
    assert len(acknowledged) > 200, "it hardly wrote anything"
    assert unanswered > 0, "no kill ever struck between a commit and its answer"


async def look(path: Path, acknowledged: dict[int, tuple[str, str]]) -> int:
    """Check what is in the store; the number of changes there that nobody was told of."""
    store = SqliteStore(path, SystemClock())
    revision, resources = await state(store)
    log = store._database.changes(0, revision, revision)  # all: too many for a reader
    await store.close()
    assert [change.revision for change in log] == list(range(1, revision + 1)), "the log has gaps"
    there = {change.revision: (change.resource.id, change.verb.value) for change in log}
    assert acknowledged.items() <= there.items(), "an acknowledged write is gone"
    replayed = {}
    for change in log:
        replayed.pop(change.resource.id, None)
        if change.verb is ChangeVerb.PUT:
            replayed[change.resource.id] = change.resource
    assert replayed == resources, "the resources are not what the log says"
    sets = Counter(resource.labels["set"] for resource in resources.values())
    assert set(sets.values()) <= {3}, "a commit is there in part"
    return len(there) - len(acknowledged)


async def test_commits_are_synced(tmp_path: Path) -> None:
    """What no kill can show: the database is told to sync each transaction, not only each checkpoint."""
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    execute = store._database._connection.execute
    assert execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    await store.close()
