"""Found domains: what ran on a host before Corral came, or was defined there behind its back.

In this room   FoundDomain, and FoundReport, in which its node tells of it
Comes in       -
Goes out       types for agents (report them), services (adopt them), people
Always true    a found domain is never touched. Its XML carries no secrets: libvirt leaves passwords out of it.
Next door      domain.py has the model of its XML; server/services/adopting.py takes domains over
Start here     FoundDomain
"""

from hashlib import blake2b
from typing import ClassVar

from msgspec import Struct

from corral.model.domain import DomainModel, Refusal
from corral.model.ids import NodeId
from corral.model.resource import Resource
from corral.model.vm import DomainState


class FoundReport(Struct, frozen=True, kw_only=True):
    """A domain that is not Corral's, as its node sees it."""

    name: str
    state: DomainState
    persistent: bool = True
    autostart: bool = False  # libvirtd starts it with the host
    model: DomainModel | None = None  # None: it can't be read; refusal says why
    refusal: Refusal | None = None
    xml: str = ""  # its definition


class FoundAll(Struct, frozen=True, kw_only=True):
    """All found domains of a node: those that it does not name are there no more."""

    uuids: tuple[str, ...] = ()  # sorted


class FoundSpec(Struct, frozen=True, kw_only=True):
    node: NodeId
    uuid: str


class FoundDomain(Resource, frozen=True, kw_only=True, tag="FoundDomain"):
    """A domain on a node that Corral does not manage. Named NODE.UUID; there for as long as the domain is."""

    PREFIX: ClassVar = "found"
    PLURAL: ClassVar = "found-domains"
    SUMMARY: ClassVar = "a domain on a node that Corral does not manage"

    spec: FoundSpec
    status: FoundReport


def found_id(node: NodeId, uuid: str) -> str:
    """The id of a node's found domain: the same whenever it is reported."""
    return f"found-{blake2b(f'{node}/{uuid}'.encode(), digest_size=13).hexdigest()}"
