"""Resources: what all kinds have in common.

In this room   Resource, the envelope; Ref, a pointer; Trouble, a failure kept in a status; the table of kinds
Comes in       nothing: the model imports nothing of ours but errors
Goes out       frozen structs that every other room passes around; encode() and decode() for wire and disk
Always true    spec is written by users and policies only, status by controllers and agents only
Next door      one file a kind: vm.py, node.py, …; a new kind is a new file here and nothing else
Start here     Resource
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import msgspec
from msgspec import Struct

from corral.errors import CorralError

KINDS: Final[dict[str, type["Resource"]]] = {}  # by kind, filled as the files of corral.model are imported


class Ref(Struct, frozen=True, kw_only=True):
    """A pointer to a resource, readable without looking it up."""

    kind: str
    id: str
    name: str = ""


class Trouble(Struct, frozen=True, kw_only=True):
    """A failure as kept in a status: what CorralError says, and since when."""

    code: str
    message: str
    hint: str = ""
    context: dict[str, str | int | float] = {}
    since: float = 0.0  # Unix time, seconds

    @classmethod
    def of(cls, error: CorralError, now_s: float = 0.0) -> Self:
        return cls(
            code=error.code, message=error.message, hint=error.hint, context=dict(error.context), since=now_s
        )


class Resource(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Everything a user can see. Each kind adds a `spec` and mostly a `status`."""

    PREFIX: ClassVar[str] = ""  # of its ids: "vm" gives vm-01J…
    PLURAL: ClassVar[str] = ""  # in paths: /api/v1/vms
    SUMMARY: ClassVar[str] = ""  # one line for people

    id: str
    name: str
    project: str = "default"
    labels: dict[str, str] = {}
    generation: int = 1  # counts changes of spec
    revision: int = 0  # place in the change log; 0: never committed
    created_at: float = 0.0  # Unix time, seconds
    deleted_at: float | None = None  # set: is being deleted, goes when its finalizers are done
    finalizers: tuple[str, ...] = ()  # who still has to tidy up before it may go

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        KINDS[cls.__name__] = cls

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def ref(self) -> Ref:
        return Ref(kind=self.kind, id=self.id, name=self.name)

    @property
    def deleting(self) -> bool:
        return self.deleted_at is not None

    def having(self, **changes: Any) -> Self:
        """A copy with these fields replaced."""
        return msgspec.structs.replace(self, **changes)


def encode(resource: Struct) -> bytes:
    """JSON, the form of wire and disk."""
    return msgspec.json.encode(resource)


def decode(document: bytes | str) -> Resource:
    """Any resource from its JSON; `kind` in it says which.

    raises  msgspec.ValidationError: unknown kind, or a field of the wrong type
    """
    resource: Resource = _decoder().decode(document)
    return resource


_DECODERS: Final[dict[int, msgspec.json.Decoder[Any]]] = {}  # by the number of kinds known


def _decoder() -> msgspec.json.Decoder[Any]:
    """A decoder of the union of all kinds, made anew when kinds were added (tests add some)."""
    decoder = _DECODERS.get(len(KINDS))
    if decoder is None:
        from typing import Union

        decoder = msgspec.json.Decoder(Union[tuple(KINDS.values())])
        _DECODERS.clear()
        _DECODERS[len(KINDS)] = decoder
    return decoder


def kind_named(word: str) -> type[Resource] | None:
    """The kind that a person means by `vm`, `VM` or `vms`."""
    by_word: Mapping[str, type[Resource]] = {
        name.lower(): kind for k, kind in KINDS.items() for name in (k, kind.PREFIX, kind.PLURAL)
    }
    return by_word.get(word.lower())
