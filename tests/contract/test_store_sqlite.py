"""What only a store on a disk can do, or suffer."""

import asyncio
import os
import resource as limits
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.clock import SystemClock
from corral.model.resource import Resource
from corral.model.vm import CloudInit
from corral.store import database
from corral.store.interface import Compacted, Put, Remove, StoreFailed
from corral.store.sqlite import RECENT, SqliteStore
from tests.contract.stores import HandClock, read, state, vm


async def test_reopening_keeps_everything(tmp_path: Path) -> None:
    clock = HandClock()
    store = SqliteStore(tmp_path / "c.db", clock)
    await store.commit([Put(vm("a")), Put(vm("b")), Put(vm("c"))])
    await store.commit([Put(vm("a", cpus=2)), Remove("vm-b")])
    lease = await store.lead("controllers", "server-1", 10.0)
    before, log = await state(store), await read(store, 0, 5)
    await store.close()

    store = SqliteStore(tmp_path / "c.db", clock)
    assert await state(store) == before
    assert await read(store, 0, 5) == log
    next_lease = await store.lead("controllers", "server-2", 10.0)  # the old process is surely gone
    assert next_lease.number > lease.number
    (stored,) = await store.commit([Put(vm("d", "b"))], expect={"vm-a": 4})
    assert stored.revision == 6
    await store.close()


async def test_compaction_is_kept(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    await store.commit([Put(vm("a", cpus=n)) for n in range(1, 11)])
    await store.compact(before=100)
    await store.close()
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    with pytest.raises(Compacted):
        await read(store, 9, 1)
    assert (await store.commit([Put(vm("b"))]))[0].revision == 11
    await store.close()


async def test_a_reader_far_behind_is_served_from_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    for _ in range(3):
        await store.commit([Put(vm("a", cpus=n + 1)) for n in range(RECENT)])
    assert [c.revision for c in await read(store, 5, 3 * RECENT - 5)] == list(range(6, 3 * RECENT + 1))
    await store.close()


async def test_second_process_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    code = "import sys; from corral.clock import SystemClock; from corral.store.sqlite import SqliteStore;"
    code += "SqliteStore(sys.argv[1], SystemClock())"
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c.db")], capture_output=True, text=True, check=False
    )
    assert other.returncode != 0
    assert "in use by another process" in other.stderr
    await store.close()
    SqliteStore(tmp_path / "c.db", SystemClock())._database.close()


async def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    await store.commit([Put(vm("a"))])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    await store.close()


UNFIT = [  # name, content, what is said
    ("not a database", b"hello, world\n" * 100, "not a database"),
    ("an empty file is a new database", b"", ""),
]


@pytest.mark.parametrize(("content", "said"), [pytest.param(*row[1:], id=row[0]) for row in UNFIT])
async def test_unfit_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "c.db").write_bytes(content)
    if not said:
        await SqliteStore(tmp_path / "c.db", SystemClock()).close()
        return
    for _ in range(2):  # the lock is given back
        with pytest.raises(StoreFailed, match=said):
            SqliteStore(tmp_path / "c.db", SystemClock())


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    await SqliteStore(tmp_path / "c.db", SystemClock()).close()
    with sqlite3.connect(tmp_path / "c.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreFailed, match="schema 9999"):
        SqliteStore(tmp_path / "c.db", SystemClock())


def test_head_is_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [database.HEAD]


async def test_opening_does_not_import_alembic_when_up_to_date(tmp_path: Path) -> None:
    await SqliteStore(tmp_path / "c.db", SystemClock()).close()
    code = "import sys; from corral.clock import SystemClock; from corral.store.sqlite import SqliteStore;"
    code += "SqliteStore(sys.argv[1], SystemClock()); sys.exit('alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.db")], check=True)


async def test_forty_thousand_resources_load_in_seconds(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    for start in range(0, 40_000, 4_000):
        await store.commit([Put(vm(f"{n:05}")) for n in range(start, start + 4_000)])
    await store.close()
    began = time.process_time()  # of this process alone: other load on the machine does not count
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    assert len((await store.load()).resources) == 40_000
    assert time.process_time() - began < 3.0
    await store.close()


# ---- the disk fails


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"no small file system to be had: {made.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def large(id: str) -> Resource:
    """A VM with 100 kB of data."""
    small = vm(id)
    return small.having(
        spec=type(small.spec)(cpus=1, memory_bytes=1, cloud_init=CloudInit(user_data="x" * 100_000))
    )


async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    store = SqliteStore(small_disk / "c.db", SystemClock())
    acknowledged = await _fill(store)
    assert acknowledged, "the disk was full from the start"
    assert await state(store) == (len(acknowledged), acknowledged), "what was refused has left a trace"
    with pytest.raises(StoreFailed) as caught:
        await asyncio.gather(*(store.commit([Put(large(f"again-{n}"))]) for n in range(3)))
    assert caught.value.hint == "Make room on its disk."

    ballast.unlink()
    (stored,) = await store.commit([Put(vm("room"))])
    assert stored.revision == len(acknowledged) + 1
    await store.close()
    store = SqliteStore(small_disk / "c.db", SystemClock())
    assert await state(store) == (len(acknowledged) + 1, {**acknowledged, "vm-room": stored})
    assert [c.revision for c in await read(store, 0, stored.revision)] == list(range(1, stored.revision + 1))
    await store.close()


async def _fill(store: SqliteStore) -> dict[str, Resource]:
    """Commit until it fails; what was acknowledged."""
    acknowledged: dict[str, Resource] = {}
    with pytest.raises(StoreFailed):
        for number in range(1_000):
            (stored,) = await store.commit([Put(large(f"{number}"))])
            acknowledged[stored.id] = stored
    return acknowledged


async def test_after_an_input_output_error_only_reopening_helps(tmp_path: Path) -> None:
    """The kernel refuses to let files grow: for SQLite an error like that of a broken disk."""
    store = SqliteStore(tmp_path / "c.db", SystemClock())
    (first,) = await store.commit([Put(vm("a"))])
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        acknowledged = {first.id: first, **await _fill(store)}
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(StoreFailed) as caught:
        await store.commit([Put(vm("z"))])
    assert "restart" in caught.value.hint
    with pytest.raises(StoreFailed):
        await store.lead("controllers", "server-1", 10.0)
    await store.close()

    store = SqliteStore(tmp_path / "c.db", SystemClock())
    revision, resources = await state(store)
    assert revision == len(acknowledged)
    assert resources == acknowledged
    await store.commit([Put(vm("z"))])
    await store.close()
