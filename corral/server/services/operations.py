"""Operations: cancelling. What that means depends on what was asked for."""

import msgspec

from corral.errors import CorralError
from corral.model.image import Image
from corral.model.operation import Operation, Verb
from corral.model.rebalance import Rebalance
from corral.model.resource import Resource
from corral.model.vm import VM
from corral.model.volume import Volume
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk
from corral.server.services.disks import users_of
from corral.store.interface import Put, Write


class NotCancellable(CorralError):
    """This operation has ended, or can't be stopped half-way."""

    code = "operation.not_cancellable"
    status = 409

    def __init__(self, operation: Operation, why: str) -> None:
        super().__init__(
            f"{operation.spec.verb} of {operation.spec.target.name} {why}", operation=operation.id
        )


class Operations:
    """Requests about operations."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    async def cancel(self, operation: str, asking: Asking) -> Operation:
        """Ask it to stop; it ends as `cancelled` once that has happened. Answers with the operation itself."""
        return await self.desk.submit(asking, lambda: self._cancel(self.mirror.find(Operation, operation)))

    def _cancel(self, operation: Operation) -> Change:
        if operation.ended:
            raise NotCancellable(operation, f"has {operation.status.state}")
        target = self.mirror.get(operation.spec.target.id)
        undo = self._undo(operation, target)
        stopping = operation.having(spec=msgspec.structs.replace(operation.spec, cancel=True))
        writes: list[Write] = [Put(stopping)]
        expect = {operation.id: operation.revision}
        if undo is not None and target is not None:
            writes.append(Put(undo))
            expect[target.id] = target.revision
        return Change(target=stopping, writes=tuple(writes), expect=expect, verb=Verb.UPDATE, done=True)

    def _undo(self, operation: Operation, target: Resource | None) -> Resource | None:
        """The target, told to go back. raises NotCancellable"""
        verb = operation.spec.verb
        if target is None or target.deleting:
            if verb is Verb.CREATE:
                return None
            raise NotCancellable(operation, "can't be cancelled")
        match verb, target:
            case Verb.CREATE, Volume() if users := users_of(target, self.mirror):
                raise NotCancellable(operation, f"can't be cancelled: VM {users[0].name} has the volume")
            case Verb.CREATE, VM() | Volume() | Image():
                return target.having(deleted_at=self.clock.now_s(), generation=target.generation + 1)
            case Verb.UPDATE, Volume() if target.pool != target.spec.pool:
                spec_ = msgspec.structs.replace(target.spec, pool=target.pool)
                return target.having(spec=spec_, generation=target.generation + 1)
            case Verb.START, VM():
                spec = msgspec.structs.replace(target.spec, running=False)
                return target.having(spec=spec, generation=target.generation + 1)
            case Verb.REBALANCE | Verb.DRAIN, Rebalance() if not target.ended:
                return target.having(
                    spec=msgspec.structs.replace(target.spec, cancel=True), generation=target.generation + 1
                )
            case Verb.MIGRATE, VM(spec=spec) if spec.migration and spec.migration.id == operation.id:
                wish = msgspec.structs.replace(spec.migration, cancel=True)
                return target.having(
                    spec=msgspec.structs.replace(spec, migration=wish), generation=target.generation + 1
                )
        raise NotCancellable(operation, "can't be cancelled")
