"""The agent's memory on disk: what it acknowledged is there after kill -9, a full disk is said, damage is noticed."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from corral.agent.disk import DiskMemory, MemoryBroken
from corral.agent.ports import LocalVm
from corral.model.ids import PoolId, VmId
from corral.model.link import Assignment, PoolAssignment, VmAssignment, VmRole
from corral.model.vm import StopReason


def a_vm(number: int, **changes: object) -> VmAssignment:
    return VmAssignment(
        vm=VmId(f"vm-{number}"), name=f"vm-{number}", role=VmRole.OWNER, generation=1, **changes
    )


async def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    memory = DiskMemory.open(tmp_path)
    pool = PoolAssignment(pool=PoolId("pool-1"), path="/srv/pool")
    note = LocalVm(boot=3, stopped=StopReason.SHUTDOWN, sent_away="op-1")
    await memory.save_assignments({"vm-1": a_vm(1), "pool-1": pool, "vm-2": a_vm(2)})
    await memory.save_assignments({"vm-2": None, "never-there": None})
    await memory.save_vm("vm-1", note)
    await memory.save_vm("vm-2", LocalVm())
    await memory.save_vm("vm-2", None)
    await memory.close()
    again = DiskMemory.open(tmp_path)
    assert await again.load() == ({"vm-1": a_vm(1), "pool-1": pool}, {"vm-1": note})
    await again.close()


async def test_many_saves_share_a_sync(tmp_path: Path) -> None:
    """Two hundred at once take a few syncs, not two hundred."""
    memory, batches = DiskMemory.open(tmp_path), []
    write = memory._write
    memory._write = lambda rows: (batches.append(len(rows)), write(rows))[1]  # type: ignore[method-assign]
    await asyncio.gather(*(memory.save_vm(f"vm-{i}", LocalVm(boot=i)) for i in range(200)))
    assert sum(batches) == 200
    assert len(batches) < 60
    _, notes = await memory.load()
    assert len(notes) == 200
    await memory.close()


async def test_saves_keep_their_order(tmp_path: Path) -> None:
    memory = DiskMemory.open(tmp_path)
    await asyncio.gather(*(memory.save_vm("vm-1", LocalVm(boot=i)) for i in range(100)))
    _, notes = await memory.load()
    assert notes["vm-1"].boot == 99
    await memory.close()


async def test_a_save_that_is_given_up_does_no_harm(tmp_path: Path) -> None:
    memory = DiskMemory.open(tmp_path)
    tasks = [asyncio.create_task(memory.save_vm(f"vm-{i}", LocalVm(boot=i))) for i in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await memory.save_vm("last", LocalVm(boot=1))
    _, notes = await memory.load()
    assert {f"vm-{i}" for i in range(1, 50, 2)} | {"last"} <= set(notes)
    await memory.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from corral.agent.disk import DiskMemory
from corral.agent.ports import LocalVm
from corral.model.link import PoolAssignment

async def main():
    memory = DiskMemory.open(Path(sys.argv[1]))
    for number in range(int(sys.argv[2]), 1 << 30):
        pair = {f"{half}-{number % 7}": PoolAssignment(pool=f"{half}", path=f"/{number}") for half in "ab"}
        await memory.save_assignments(pair)
        await memory.save_vm("vm-1", LocalVm(boot=number))
        print(number, flush=True)  # acknowledged

asyncio.run(main())
"""


async def test_kill_9_in_a_loop(tmp_path: Path) -> None:
    """Nothing acknowledged is missing, nothing half-written is seen."""
    acknowledged = 0
    for round in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(acknowledged + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        for line in process.stdout:
            acknowledged = int(line)
            if random.Random(round * 1000 + acknowledged).random() < 0.05:
                break
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate()
        acknowledged = max([acknowledged, *(int(line) for line in rest.split("\n")[:-1])])
        memory = DiskMemory.open(tmp_path)
        assignments, notes = await memory.load()
        await memory.close()
        assert notes["vm-1"].boot >= acknowledged
        newest = max(int(path_of(a)[1:]) for a in assignments.values())
        assert newest >= notes["vm-1"].boot
        for key, assignment in assignments.items():
            other = assignments[f"{'b' if key[0] == 'a' else 'a'}{key[1:]}"]
            assert path_of(assignment) == path_of(other), "half of a save is there"
    assert acknowledged > 20


def path_of(assignment: Assignment) -> str:
    assert isinstance(assignment, PoolAssignment)
    return assignment.path


async def test_a_torn_tail_is_left_out(tmp_path: Path) -> None:
    """As after a power loss: the log ends in the middle of a page, with garbage."""
    memory = DiskMemory.open(tmp_path)
    await memory.save_vm("vm-1", LocalVm(boot=1))
    log = (tmp_path / "memory.db-wal").read_bytes()
    base = (tmp_path / "memory.db").read_bytes()
    await memory.save_vm("vm-2", LocalVm(boot=2))
    longer = (tmp_path / "memory.db-wal").read_bytes()
    await memory.close()
    (tmp_path / "memory.db").write_bytes(base)
    (tmp_path / "memory.db-wal").write_bytes(longer[: len(log) + 1000] + os.urandom(500))
    torn = DiskMemory.open(tmp_path)
    _, notes = await torn.load()
    assert notes == {"vm-1": LocalVm(boot=1)}
    await torn.save_vm("vm-3", LocalVm(boot=3))
    await torn.close()


async def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """Starting with an empty memory instead might start a VM twice."""
    memory = DiskMemory.open(tmp_path)
    await memory.save_assignments({f"vm-{i}": a_vm(i) for i in range(100)})
    await memory.close()
    path = tmp_path / "memory.db"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(MemoryBroken) as caught:
        DiskMemory.open(tmp_path)
    assert "move the file away" in caught.value.hint


async def test_what_a_newer_version_wrote(tmp_path: Path) -> None:
    memory = DiskMemory.open(tmp_path)
    await memory.save_assignments({"vm-1": a_vm(1)})
    await memory.close()
    database = sqlite3.connect(tmp_path / "memory.db")
    with database:
        database.execute("INSERT INTO kept VALUES ('assignment', 'gpu-1', ?)", (b'{"type":"gpu","slots":3}',))
    database.close()
    memory = DiskMemory.open(tmp_path)
    assert list((await memory.load())[0]) == ["vm-1"]
    await memory.save_vm("vm-1", LocalVm())
    await memory.close()
    database = sqlite3.connect(tmp_path / "memory.db")
    with database:
        database.execute("UPDATE kept SET document = ? WHERE sort = 'vm'", (b'{"boot":"many"}',))
    database.close()
    memory = DiskMemory.open(tmp_path)
    with pytest.raises(MemoryBroken):
        await memory.load()
    await memory.close()


async def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    memory = DiskMemory.open(tmp_path)
    await memory.save_vm("vm-1", LocalVm(boot=1))
    (pages,) = memory._database.execute("PRAGMA page_count").fetchone()
    memory._database.execute(f"PRAGMA max_page_count = {pages + 1}")
    big = a_vm(2, cloud_init={"user_data": "x" * 100_000})
    with pytest.raises(MemoryBroken) as caught:
        await memory.save_assignments({"vm-2": big})
    assert "full" in str(caught.value)
    memory._database.execute("PRAGMA max_page_count = 1000000")
    await memory.save_assignments({"vm-3": a_vm(3)})
    assert (list((await memory.load())[0]), list((await memory.load())[1])) == (["vm-3"], ["vm-1"])
    await memory.close()


async def test_a_directory_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MemoryBroken):
        DiskMemory.open(tmp_path / "file" / "state")
