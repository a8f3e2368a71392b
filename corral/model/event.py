"""Event: something worth telling a person, about one resource."""

from typing import ClassVar

from msgspec import Struct

from corral.model.resource import Ref, Resource


class EventSpec(Struct, frozen=True, kw_only=True):
    about: Ref
    reason: str  # for programs: "placed", "started", "migrated", "node-lost"
    message: str  # for people
    level: str = "info"  # info, warning, error
    by: str = ""  # the token's name, or "corral"


class Event(Resource, frozen=True, kw_only=True, tag="Event"):
    """Something that happened. Kept for a while, then compacted."""

    PREFIX: ClassVar = "ev"
    PLURAL: ClassVar = "events"
    SUMMARY: ClassVar = "something that happened"

    spec: EventSpec
