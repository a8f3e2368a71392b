"""Envelopes: the messages of model/link.py as they travel over gRPC.

In this room   pack and unpack, one pair a direction; pure
Always true    what is a document travels as the JSON of the model: there is no second definition of it to keep
               in step. Only facts, which come every second or two from every node, are packed.
Next door      link.proto; docs/decisions/0002-link-documents.md says why
Start here     pack_agent(), unpack_agent()
"""

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import MsgspecError

from corral.errors import CorralError
from corral.model.ids import VmId
from corral.model.link import (
    Ack,
    AgentMessage,
    Assign,
    Facts,
    Hello,
    OpenConsole,
    Report,
    SendDisk,
    ServerMessage,
    TakeScreenshot,
    Welcome,
    decode_agent_message,
    decode_server_message,
    encode_message,
)
from corral.proto.link_pb2 import AgentEnvelope, ServerEnvelope
from corral.proto.link_pb2 import Facts as PackedFacts

M = TypeVar("M")
AGENT_FIELDS: Final[dict[type, str]] = {Hello: "hello", Report: "report"}
SERVER_FIELDS: Final[dict[type, str]] = {
    Welcome: "welcome",
    Assign: "assign",
    Ack: "ack",
    OpenConsole: "open_console",
    TakeScreenshot: "take_screenshot",
    SendDisk: "send_disk",
}


class BadEnvelope(CorralError):
    """A message that this version does not understand."""

    code = "link.bad_message"
    status = 400


def pack_agent(message: AgentMessage) -> AgentEnvelope:
    if isinstance(message, Facts):
        return AgentEnvelope(facts=_pack_facts(message))
    return AgentEnvelope(**{AGENT_FIELDS[type(message)]: encode_message(message)})


def unpack_agent(envelope: AgentEnvelope) -> AgentMessage:
    """Raises  BadEnvelope"""
    if envelope.WhichOneof("message") == "facts":
        return _unpack_facts(envelope.facts)
    return _unpack(envelope, decode_agent_message)


def pack_server(message: ServerMessage) -> ServerEnvelope:
    return ServerEnvelope(**{SERVER_FIELDS[type(message)]: encode_message(message)})


def unpack_server(envelope: ServerEnvelope) -> ServerMessage:
    """Raises  BadEnvelope"""
    return _unpack(envelope, decode_server_message)


def _unpack(envelope: AgentEnvelope | ServerEnvelope, decode: Callable[[bytes], M]) -> M:
    field = envelope.WhichOneof("message")
    if field is None:
        raise BadEnvelope(
            "a message of a kind that is not known", hint="Server and agent differ too much in version."
        )
    try:
        return decode(getattr(envelope, field))
    except MsgspecError as error:
        raise BadEnvelope(
            f"a {field} that can't be read: {error}", hint="Server and agent differ too much in version."
        ) from None


def _pack_facts(facts: Facts) -> PackedFacts:
    return PackedFacts(
        at=facts.at, node=facts.node, vm_ids=facts.vm_ids, vms=[figure for row in facts.vms for figure in row]
    )


def _unpack_facts(packed: PackedFacts) -> Facts:
    """Raises  BadEnvelope: rows of different lengths"""
    count, figures = len(packed.vm_ids), tuple(packed.vms)
    width = len(figures) // count if count else 0
    if count * width != len(figures):
        raise BadEnvelope(f"{len(figures)} figures for {count} VMs")
    rows = (
        tuple(figures[start : start + width] for start in range(0, count * width, width))
        if width
        else ((),) * count
    )
    return Facts(
        at=packed.at, node=tuple(packed.node), vm_ids=tuple(VmId(v) for v in packed.vm_ids), vms=rows
    )
