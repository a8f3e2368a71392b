"""About: what a route says of itself, beside its code: who may, what goes in, what comes out.

In this room   About, the words; about(), which a route decorator takes
Next door      auth.py obeys `role` (and `public=True`, which stands in the decorator itself); openapi.py
               writes the rest down for readers
Start here     about()
"""

from typing import Any, Final

from msgspec import Struct

from corral.errors import CorralError
from corral.model.token import Role


class Parameter(Struct, frozen=True, kw_only=True):
    """A query parameter or header."""

    name: str
    text: str  # for people
    type: str = "string"  # JSON schema
    place: str = "query"
    many: bool = False  # may be given more than once
    example: str | int | bool | None = None


class About(Struct, frozen=True, kw_only=True):
    tag: str = ""
    role: Role | None = None  # that it takes; None: viewer to read, operator to change
    body: type[Struct] | None = None
    examples: dict[str, object] = {}  # bodies, by what they show
    upload: bool = False  # the body is a stream of bytes
    answers: Any = None  # type of the answer's body
    status: int = 200
    media_type: str = "application/json"
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[type[CorralError], ...] = ()
    stream: Any = None  # type of the events' data, where it can also stream
    hidden: bool = False  # not in the OpenAPI document
    ticket: bool = False  # a console ticket for the VM in the path does instead of a token


def about(tag: str, **words: Any) -> dict[str, Any]:
    """For a route decorator: `@post("/vms", **about("VMs", body=CreateVM))`."""
    return {"opt": {"about": About(tag=tag, **words)}}


DRY_RUN: Final = Parameter(
    name="dry_run",
    type="boolean",
    example=True,
    text="Check everything, change nothing; answers with what would be done.",
)
IF_MATCH: Final = Parameter(
    name="If-Match",
    place="header",
    example='"42"',
    text="Only if the resource is at this revision (its ETag).",
)
IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    example="4f1c9a70",
    text="A repeat of the request with the same key gets the first answer again, and changes nothing.",
)
CHANGING: Final = (DRY_RUN, IDEMPOTENCY_KEY)
CHANGING_ONE: Final = (DRY_RUN, IF_MATCH, IDEMPOTENCY_KEY)
CONSISTENT: Final = Parameter(
    name="consistent", type="boolean", text="Wait until everything that is committed by now can be seen."
)
PROJECT: Final = Parameter(
    name="project", text="Project in which a name is looked up; `default` if not given."
)
