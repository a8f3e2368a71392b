"""Database: the SQLite file, its schema and its rows.

In this room   Database, used by one writer thread, and by readers of old changes
Comes in       transactions that are judged already
Goes out       rows, decoded
Always true    write() is whole and synced when it returns, and left no trace when it raised;
               one process at a time has the file (others are refused by a lock that dies with the process)
Next door      sqlite_writer.py judges and groups; migrations/ has the schema
Start here     Database.write()
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from corral.model.resource import Resource, decode
from corral.store.interface import Change, ChangeVerb, StoreFailed

HEAD: Final = "0001"  # newest step in migrations/versions; a test compares the two
BULK_ROWS: Final = 64  # rows in one statement
BUSY_S: Final = 5.0  # how long to wait for someone with a shell on the file
WAIT_OR_ROOM: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)  # rolled back; passes


class Transaction(Struct):
    """What is to be written in one go."""

    changes: list[Change] = []
    documents: list[bytes] = []  # of the changes
    leases: dict[str, int] = {}  # numbers by name
    forget_before: int = 0

    def rows(self) -> list[tuple[Change, bytes]]:
        return list(zip(self.changes, self.documents, strict=True))

    def __bool__(self) -> bool:
        return bool(self.changes or self.leases or self.forget_before)


class Stored(Struct):
    """What was found at open."""

    revision: int
    resources: list[Resource]
    leases: dict[str, int]


class Database:
    """One SQLite file, opened and brought up to date.

    raises  StoreFailed: another process has it, it is newer than this program, damaged, or can't be written
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = ""  # why nothing can be written until it is opened anew
        self._lock = _lock(path)
        try:
            self._connection = _connect(path)
            self._bring_up_to_date()
            self._reader = _connect(path)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise _failed(path, error) from error
        except BaseException:
            os.close(self._lock)
            raise
        self._reading = threading.Lock()  # readers come from several threads

    def load(self) -> Stored:
        """Raises StoreFailed: a document can't be read"""
        try:
            rows = self._connection.execute("SELECT document FROM resources ORDER BY id")
            resources = [decode(document) for (document,) in rows]
            (revision,) = self._connection.execute("SELECT revision FROM log").fetchone()
            leases = dict(self._connection.execute("SELECT name, number FROM leases"))
        except (sqlite3.Error, ValueError) as error:
            raise _failed(self.path, error) from error
        assert max((r.revision for r in resources), default=0) <= revision, "a resource is ahead of the log"
        return Stored(revision, resources, leases)

    def write(self, transaction: Transaction) -> None:
        """Write all of it and sync.

        raises  StoreFailed: nothing of it is seen. After an input/output error all further writes are
                refused until the file is opened anew, because only the disk knows how far the last one got.
        """
        if self.broken:
            raise StoreFailed(self.broken, hint="Look at the disk, then restart the server.")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._write_rows(transaction)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in WAIT_OR_ROOM:
                self.broken = f"{self.path} can't be written any more: {error}"
            raise _failed(self.path, error) from error

    def changes(self, since: int, until: int, most: int) -> tuple[Change, ...]:
        """The first `most` changes after `since` and up to `until` that are kept. From any thread."""
        select = "SELECT verb, revision, document FROM changes WHERE revision > ? AND revision <= ? ORDER BY 2 LIMIT ?"
        try:
            with self._reading:
                rows = self._reader.execute(select, (since, until, most)).fetchall()
            return tuple(Change(revision, ChangeVerb(verb), decode(doc)) for verb, revision, doc in rows)
        except (sqlite3.Error, ValueError) as error:
            raise _failed(self.path, error) from error

    def close(self) -> None:
        with self._reading:
            self._reader.close()
        self._connection.close()  # the last one: writes the log back into the file
        os.close(self._lock)

    def _write_rows(self, transaction: Transaction) -> None:
        execute = self._connection.execute
        latest = {change.resource.id: (change, doc) for change, doc in transaction.rows()}
        ids = [(id,) for id in latest]
        self._bulk("DELETE FROM resources WHERE id IN (VALUES {})", ids)  # first, as names may have moved
        puts = [(change.resource, doc) for change, doc in latest.values() if _is_put(change)]
        self._bulk(
            "INSERT INTO resources (id, kind, project, name, revision, document) VALUES {}",
            [(r.id, r.kind, r.project, r.name, r.revision, doc) for r, doc in puts],
        )
        self._bulk(
            "INSERT INTO changes (revision, verb, id, document) VALUES {}",
            [(c.revision, c.verb.value, c.resource.id, doc) for c, doc in transaction.rows()],
        )
        if transaction.changes:
            execute("UPDATE log SET revision = ?", (transaction.changes[-1].revision,))
        if transaction.forget_before:
            execute("DELETE FROM changes WHERE revision < ?", (transaction.forget_before,))
        self._bulk("INSERT OR REPLACE INTO leases (name, number) VALUES {}", list(transaction.leases.items()))

    def _bulk(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """One statement for many rows: each statement gives up the interpreter's lock, and on a busy server gets
        it back milliseconds later.
        """
        for start in range(0, len(rows), BULK_ROWS):
            part = rows[start : start + BULK_ROWS]
            row = f"({', '.join('?' * len(part[0]))})"
            values = statement.format(", ".join([row] * len(part)))
            self._connection.execute(values, [value for one in part for value in one])

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:  # some failures end it by themselves
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.broken = f"{self.path} can't be rolled back: {error}"

    def _bring_up_to_date(self) -> None:
        found = _version(self._connection)
        if found == HEAD:
            return  # without importing Alembic, which takes half a second
        if found > HEAD:
            raise StoreFailed(
                f"{self.path} has schema {found}; this program knows up to {HEAD}",
                hint="A newer Corral wrote it: run that one, or restore a backup from before.",
            )
        _migrate(self.path)


def _is_put(change: Change) -> bool:
    return change.verb is ChangeVerb.PUT


def _lock(path: Path) -> int:
    """Keep other processes off the file for as long as this one lives."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreFailed(f"{path} is in use by another process", hint="One server at a time.") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds hashes of tokens
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
    return connection


def _version(connection: sqlite3.Connection) -> str:
    """The number of the newest step that was run; empty: none."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event, exc

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = create_engine("sqlite://", creator=lambda: _connect(path))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except exc.SQLAlchemyError as error:
        raise _failed(path, error) from error
    finally:
        engine.dispose()


def _failed(path: Path, error: Exception) -> StoreFailed:
    full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return StoreFailed(
        f"{path}: {error}",
        hint="Make room on its disk." if full else "Look at the disk and at the file's owner and mode.",
        path=str(path),
    )
