"""RequestRecord: the answer to a request with an Idempotency-Key, kept so that a repeat gets it again."""

from typing import ClassVar

from msgspec import Struct

from corral.model.resource import Resource


class RequestSpec(Struct, frozen=True, kw_only=True):
    sha256: str  # of method, path and body: the same key with another request is refused
    status: int  # HTTP status of the answer
    answer: str  # JSON


class RequestRecord(Resource, frozen=True, kw_only=True, tag="RequestRecord"):
    """Committed together with what the request changed. Its name is made from token and key."""

    PREFIX: ClassVar = "req"
    PLURAL: ClassVar = "requests"
    SUMMARY: ClassVar = "an answered request"

    spec: RequestSpec
