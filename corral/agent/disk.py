"""Disk: the agent's memory, in one small SQLite file.

In this room   DiskMemory, a Memory (agent/ports.py), and the thread that writes for it
Comes in       assignments by key, notes by VM
Goes out       the same, after any crash
Always true    a save that has returned survives kill -9 and power loss; one that has not is there wholly or not at
               all. Saves that come while another is being synced share the next sync.
               What a newer version wrote of assignments is skipped (the server sends it again); a note about a VM
               that can't be read is an error: without it the VM might be started where it must not be.
Start here     DiskMemory.open()
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import msgspec

from corral.agent.ports import LocalVm
from corral.errors import CorralError
from corral.model.link import Assignment

log = logging.getLogger("corral.memory")
ASSIGNMENT: Final = "assignment"
NOTE: Final = "vm"
_ASSIGNMENTS: Final = msgspec.json.Decoder(Assignment)
_NOTES: Final = msgspec.json.Decoder(LocalVm)
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kept (sort TEXT NOT NULL, key TEXT NOT NULL, document BLOB NOT NULL,
                                 PRIMARY KEY (sort, key)) WITHOUT ROWID
"""

Row = tuple[str, str, bytes | None]  # sort, key, document; None: forget


class MemoryBroken(CorralError):
    """The agent's memory can't be read or written."""

    code = "agent.memory_broken"
    retryable = True


class DiskMemory:
    """What the agent keeps in a directory."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._jobs: queue.SimpleQueue[tuple[Sequence[Row], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="agent memory", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, directory: Path) -> "DiskMemory":
        """Opens or makes it; blocks for some milliseconds. raises MemoryBroken"""
        path = directory / "memory.db"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(SCHEMA)
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise _broken(path, error) from None
        if verdict != "ok":
            raise _broken(path, verdict)
        return cls(database)

    async def load(self) -> tuple[Mapping[str, Assignment], Mapping[str, LocalVm]]:
        rows = await asyncio.to_thread(self._read_all)
        return _assignments(rows), _notes(rows)

    async def save_assignments(self, changed: Mapping[str, Assignment | None]) -> None:
        await self._save([(ASSIGNMENT, key, _document(value)) for key, value in changed.items()])

    async def save_vm(self, vm: str, note: LocalVm | None) -> None:
        await self._save([(NOTE, vm, _document(note))])

    async def close(self) -> None:
        """Finish what was begun."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._database.close()

    async def _save(self, rows: Sequence[Row]) -> None:
        """Raises MemoryBroken: disk full or broken"""
        if rows:
            done: Future[None] = Future()
            self._jobs.put((rows, done))
            await asyncio.wrap_future(done)

    def _read_all(self) -> list[tuple[str, str, bytes]]:
        try:
            return self._database.execute(
                "SELECT sort, key, document FROM kept ORDER BY sort, key"
            ).fetchall()
        except sqlite3.Error as error:
            raise _broken("memory.db", error) from None

    # ---- the writing thread

    def _write_all(self) -> None:
        ended = False
        while not ended:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            ended = None in jobs
            self._write_batch([job for job in jobs if job is not None])

    def _write_batch(self, jobs: Sequence[tuple[Sequence[Row], "Future[None]"]]) -> None:
        """One transaction and one sync for all of them."""
        waiting = [done for _, done in jobs if done.set_running_or_notify_cancel()]
        try:
            self._write([row for rows, _ in jobs for row in rows])
        except sqlite3.Error as error:
            for done in waiting:
                done.set_exception(_broken("memory.db", error))
        else:
            for done in waiting:
                done.set_result(None)

    def _write(self, rows: Sequence[Row]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for sort, key, document in rows:
                if document is None:
                    self._database.execute("DELETE FROM kept WHERE sort = ? AND key = ?", (sort, key))
                else:
                    self._database.execute("REPLACE INTO kept VALUES (?, ?, ?)", (sort, key, document))
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _document(value: Assignment | LocalVm | None) -> bytes | None:
    return None if value is None else msgspec.json.encode(value)


def _assignments(rows: Sequence[tuple[str, str, bytes]]) -> dict[str, Assignment]:
    known: dict[str, Assignment] = {}
    for sort, key, document in rows:
        if sort != ASSIGNMENT:
            continue
        try:
            known[key] = _ASSIGNMENTS.decode(document)
        except msgspec.MsgspecError as error:
            log.warning(
                "an assignment is skipped until the server sends it again: %s", error, extra={"key": key}
            )
    return known


def _notes(rows: Sequence[tuple[str, str, bytes]]) -> dict[str, LocalVm]:
    try:
        return {key: _NOTES.decode(document) for sort, key, document in rows if sort == NOTE}
    except msgspec.MsgspecError as error:
        raise _broken("memory.db", error) from None


def _broken(path: Path | str, why: object) -> MemoryBroken:
    return MemoryBroken(
        f"the agent's memory {path} can't be used: {why}",
        hint="Is the disk full or failing? If the file is damaged: stop the agent, check with virsh that no VM runs "
        "here that also runs elsewhere, move the file away, start the agent. The server sends its assignments anew.",
    )
