"""Services: the one way in which a user's request becomes a commit.

In this room   Desk: repeats, preconditions, dry runs and races, the same for every kind
Comes in       a pure function that looks at the mirror and says what to write
Goes out       the Operation that follows it, committed together with the change
Always true    change, operation and idempotency record are one commit; the answer can be read at once
Next door      vms.py, volumes.py, …: the pure functions
Start here     Desk.submit()
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from corral.clock import Clock, new_id, new_secret
from corral.errors import Conflict, CorralError, Invalid, NameTaken, PreconditionFailed, Unavailable
from corral.model.operation import Operation, OperationSpec, OperationState, OperationStatus, Verb
from corral.model.request import RequestRecord, RequestSpec
from corral.model.resource import Resource, Trouble, encode
from corral.server.services.asking import Asking
from corral.store.interface import Put, Store, Write
from corral.store.mirror import Mirror

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_./-]{0,125}[A-Za-z0-9])?")
TRASH_S: Final = 7 * 86_400.0
RACES_MAX: Final = 50  # times that a change is planned anew because somebody was faster


class KeyReused(CorralError):
    """The Idempotency-Key came before, with another request."""

    code = "request.key_reused"
    status = 422


class Change(Struct, frozen=True, kw_only=True):
    """What a request comes to, decided on one look at the mirror."""

    target: Resource  # as it will be
    writes: tuple[Write, ...]
    expect: Mapping[str, int] = {}  # revisions this was decided on; 0: new
    verb: Verb
    boot: int = 0
    done: bool = False  # the change is all there is to it: the operation ends at once
    failed: Trouble | None = None  # the operation ends at once, and not well
    deadline_s: float = 600.0
    warnings: tuple[str, ...] = ()  # what it costs or risks
    operation_id: str = ""  # where the change itself has to name it
    foreseen: Mapping[str, str | int | float] = {}  # what a dry run answers as the operation's result


class Desk:
    """Where requests are handed in."""

    def __init__(self, store: Store, mirror: Mirror, clock: Clock, *, secret_key: bytes = b"") -> None:
        """`secret_key` is the same for all servers of an installation (issuing.py); empty: of this desk alone."""
        self.store, self.mirror, self.clock = store, mirror, clock
        self.secret_key = secret_key or new_secret(clock).encode()
        self.trash_s = TRASH_S  # how long deleted volumes are kept; 0: not at all

    async def submit(self, asking: Asking, plan: Callable[[], Change]) -> Operation:
        """Carry out what `plan` says, once; `plan` is called again when somebody else was faster.

        raises  whatever `plan` raises; PreconditionFailed, NameTaken, KeyReused, Unavailable
        """
        for _ in range(RACES_MAX):
            if earlier := self._earlier(asking):
                return earlier
            change = plan()
            self._check(change, asking)
            operation = self._operation(change, asking)
            if asking.dry_run:
                return operation
            try:
                return await self._commit(change, operation, asking)
            except (Conflict, NameTaken) as error:
                if isinstance(error, NameTaken) and error.context.get("kind") not in (
                    "Port",
                    "RequestRecord",
                ):
                    raise
                await self.catch_up()
        raise Unavailable("too many changes at once to the same resource", hint="Try again.")

    async def catch_up(self) -> None:
        """Let the mirror see what is committed by now."""
        await self.mirror.wait_for(await self.store.revision())

    async def _commit(self, change: Change, operation: Operation, asking: Asking) -> Operation:
        writes: list[Write] = [*change.writes, Put(operation)]
        expect = {**change.expect, operation.id: 0}
        if asking.idempotency_key:
            record = self.record(operation, asking, status=202)
            writes.append(Put(record))
            expect[record.id] = 0
        stored = await self.store.commit(writes, expect=expect)
        await self.mirror.wait_for(max(r.revision for r in stored))
        answer = stored[len(change.writes)]
        assert isinstance(answer, Operation)
        return answer

    def _check(self, change: Change, asking: Asking) -> None:
        """Raises PreconditionFailed; and for a dry run, which never gets to the store, NameTaken"""
        if asking.dry_run:
            self._check_names(change)
        if asking.if_match is None:
            return
        current = self.mirror.get(change.target.id)
        actual = current.revision if current else 0
        if actual != asking.if_match:
            raise PreconditionFailed(change.target.id, expected=asking.if_match, actual=actual)

    def _check_names(self, change: Change) -> None:
        for write in change.writes:
            if isinstance(write, Put):
                new = write.resource
                holder = self.mirror.named(type(new), new.name, new.project)
                if holder is not None and holder.id != new.id:
                    raise NameTaken(type(new).__name__, new.name)

    def _operation(self, change: Change, asking: Asking) -> Operation:
        now_s, id = self.clock.now_s(), change.operation_id or new_id("op", self.clock)
        status = OperationStatus()
        if change.failed:
            status = OperationStatus(state=OperationState.FAILED, error=change.failed, ended_at=now_s)
        elif change.done or asking.dry_run:
            status = OperationStatus(state=OperationState.SUCCEEDED, progress=1.0, ended_at=now_s)
        if asking.dry_run:
            status = msgspec.structs.replace(status, result=dict(change.foreseen))
        return Operation(
            id=id,
            name=id,
            project=change.target.project,
            created_at=now_s,
            spec=OperationSpec(
                verb=change.verb,
                target=change.target.ref,
                generation=change.target.generation,
                boot=change.boot,
                by=asking.by,
                request_id=asking.request_id,
                deadline_s=change.deadline_s,
                warnings=change.warnings,
            ),
            status=status,
        )

    def record(self, answer: Resource, asking: Asking, *, status: int) -> RequestRecord:
        """What lets a repeat of the request get the same answer; to be committed with what it answers."""
        id = record_id(asking)
        spec = RequestSpec(sha256=asking.fingerprint, status=status, answer=encode(answer).decode())
        return RequestRecord(id=id, name=id, created_at=self.clock.now_s(), spec=spec)

    def record_of(self, asking: Asking) -> RequestRecord | None:
        """Of an earlier request with this key. raises KeyReused"""
        record = self.mirror.get(record_id(asking)) if asking.idempotency_key else None
        if not isinstance(record, RequestRecord):
            return None
        if record.spec.sha256 != asking.fingerprint:
            raise KeyReused(
                "this Idempotency-Key came with another request before",
                hint="Use a new key for each request.",
            )
        return record

    def _earlier(self, asking: Asking) -> Operation | None:
        """The operation that a request with this key got, as it is now."""
        record = self.record_of(asking)
        if record is None:
            return None
        operation = msgspec.json.decode(record.spec.answer, type=Operation)
        now = self.mirror.get(operation.id)
        return now if isinstance(now, Operation) else operation


class TrialDesk(Desk):
    """A desk whose commits happen in a fork of the mirror: several requests can be tried, each on what those before
    it would leave behind.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.store, desk.mirror.fork(), desk.clock, secret_key=desk.secret_key)

    async def catch_up(self) -> None:
        """A fork stays where it is."""

    async def _commit(self, change: Change, operation: Operation, asking: Asking) -> Operation:
        self.mirror.suppose([*change.writes, Put(operation)])
        return operation


def record_id(asking: Asking) -> str:
    """Where the answer to this key of this token is kept."""
    return "req-" + sha256(f"{asking.by}\n{asking.idempotency_key}".encode()).hexdigest()[:32]


def check_name(name: str, field: str = "name") -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            field,
            name,
            "a name",
            hint="Use 1 to 63 lower-case letters, digits, dashes and dots, not at the ends.",
        )


def check_labels(labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if not LABEL.fullmatch(key):
            raise Invalid("labels", key, "a label", hint="Use 1 to 127 letters, digits, and _ . / - inside.")
        if len(value) > 255:
            raise Invalid(f"labels.{key}", value, "at most 255 characters")
