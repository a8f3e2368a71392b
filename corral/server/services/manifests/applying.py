"""Applying: making what manifests say, through the same requests as everybody's.

In this room   Manifests.apply(), one document after the other, in the order in which they need each other
Comes in       documents, decoded and checked
Goes out       Applied: what was done about each, and the operations that follow it
Always true    each document stands for itself: one that is refused stops no other, and applying all of them again goes
               on where it was. A change that no request can make is refused, and the fields are named.
Next door      compare.py finds the changes
Start here     Manifests.apply()
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct

from corral.errors import CorralError
from corral.model.operation import Operation
from corral.model.resource import Resource, Trouble
from corral.model.vm import VM
from corral.server.services.asking import Asking
from corral.server.services.base import TrialDesk
from corral.server.services.manifests.compare import FieldChange, changes
from corral.server.services.manifests.forms import DECLARED, Declared, Form, form_of, name_of
from corral.store.mirror import Mirror

POWER: Final = "running"  # of a VM: changed by starting and stopping it


class Unchangeable(CorralError):
    """The manifest wants fields changed that can't be changed."""

    code = "manifest.unchangeable"
    status = 409

    def __init__(self, kind: str, name: str, fields: Sequence[str]) -> None:
        super().__init__(
            f"{kind} {name}: {', '.join(fields)} can't be changed",
            hint=f"Delete it and apply the manifest again, or take over what is there: `corral get {kind.lower()} {name}`.",
            kind=kind,
            name=name,
        )


class NotMadeHere(CorralError):
    """The kind is not made by a request."""

    code = "manifest.not_made"
    status = 404


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Document(Struct, frozen=True, kw_only=True):
    """One manifest."""

    declared: Declared
    name: str
    project: str = "default"
    said: Form  # what it says, as it says it, without `kind`
    body: Any  # the same as the creating request (for kinds without one, as the changing request)


class Applied(Struct, frozen=True, kw_only=True):
    """What was done about a manifest; of a dry run, what would be."""

    kind: str
    name: str
    action: Action
    changes: tuple[FieldChange, ...] = ()
    operations: tuple[str, ...] = ()  # ids of what follows it; none for a dry run
    trouble: Trouble | None = None  # why it was refused


class Manifests:
    """Requests about manifests."""

    def __init__(self, services: Any, mirror: Mirror) -> None:
        self.services, self.mirror = services, mirror

    async def apply(self, documents: Sequence[Document], asking: Asking) -> tuple[Applied, ...]:
        """In the order of DECLARED; the answers come in the order of the documents. A dry run happens in a fork of
        the mirror, so that a document may need what another one would make.
        """
        if asking.dry_run:
            desk = TrialDesk(self.services.desk)
            trial = Manifests(type(self.services)(desk), desk.mirror)
            for_real = msgspec.structs.replace(asking, dry_run=False, idempotency_key="")
            return tuple(
                msgspec.structs.replace(applied, operations=())
                for applied in await trial.apply(documents, for_real)
            )
        answers: dict[int, Applied] = {}
        for number, document in sorted(enumerate(documents), key=lambda d: DECLARED.index(d[1].declared)):
            answers[number] = await self._one(document, _part(asking, number))
        return tuple(answers[number] for number in range(len(documents)))

    async def _one(self, document: Document, asking: Asking) -> Applied:
        kind = document.declared.kind
        there = self.mirror.named(kind, document.name, document.project)
        found = self._changes(document, there) if there else ()
        action = Action.UPDATE if found else Action.UNCHANGED if there else Action.CREATE
        try:
            done = [operation async for operation in self._carry_out(document, there, found, asking)]
        except CorralError as error:
            trouble = Trouble.of(error)
            return Applied(
                kind=kind.__name__, name=document.name, action=Action.REFUSED, changes=found, trouble=trouble
            )
        ids = tuple(operation.id for operation in done or self._on_the_way(there))
        return Applied(kind=kind.__name__, name=document.name, action=action, changes=found, operations=ids)

    def _on_the_way(self, there: Resource | None) -> list[Operation]:
        """What is not finished yet of an earlier request: whoever applies again follows that."""
        asked = self.mirror.select(Operation, "target", there.id) if there else []
        return [operation for operation in asked if not operation.ended]

    def _changes(self, document: Document, there: Resource) -> tuple[FieldChange, ...]:
        now = form_of(there, document.declared, self.mirror)
        return changes(now, document.said, lambda id: name_of(id, self.mirror))

    async def _carry_out(
        self, document: Document, there: Resource | None, found: Sequence[FieldChange], asking: Asking
    ) -> Any:
        service = getattr(self.services, document.declared.service)
        if there is None:
            if document.declared.create is None:
                kind = document.declared.kind.__name__
                raise NotMadeHere(f"no {kind} is called {document.name}, and manifests don't make one")
            yield await service.create(document.body, asking)
            return
        for number, call in enumerate(self._updates(document, there, found, service)):
            yield await call(_part(asking, number))

    def _updates(
        self, document: Document, there: Resource, found: Sequence[FieldChange], service: Any
    ) -> Iterator[Any]:
        """Requests that make the changes. raises Unchangeable"""
        fields = tuple(dict.fromkeys(c.field.partition(".")[0].partition("[")[0] for c in found))
        update = document.declared.update
        power = isinstance(there, VM) and POWER in fields and POWER not in update.__struct_fields__
        ordinary = [f for f in fields if not (power and f == POWER)]
        if fixed := [f for f in ordinary if f not in update.__struct_fields__]:
            raise Unchangeable(there.kind, there.name, fixed)
        if ordinary:
            body = msgspec.convert({f: document.said[f] for f in ordinary}, update)
            yield lambda asking: service.update(there.id, body, asking)
        if power:
            switch = service.start if document.said[POWER] else service.stop
            yield lambda asking: switch(there.id, asking)


def _part(asking: Asking, number: int) -> Asking:
    """The circumstances of one of several requests that came as one."""
    if not asking.idempotency_key:
        return asking
    fingerprint = sha256(f"{asking.fingerprint}\n{number}".encode()).hexdigest()
    return msgspec.structs.replace(
        asking, idempotency_key=f"{asking.idempotency_key}/{number}", fingerprint=fingerprint
    )
