"""Admission: which node is calling, and whether it still may.

In this room   admitted(), pure; Admission, which also notes that a renewed certificate is in use, and renews
Comes in       the certificate that TLS has verified as our CA's
Goes out       the node's id, or NodeRefused
Always true    a certificate alone proves nothing: the node must be in the mirror, and the serial number be the one
               in use or the one renewed to. Once the new one is used, the old one is worth nothing.
Next door      pki.py; grpc_link.py asks here at each call
Start here     Admission.admit()
"""

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct

from corral.clock import Clock
from corral.errors import Conflict, Unavailable
from corral.model.ids import NodeId
from corral.model.node import Node
from corral.proto.failures import NodeRefused
from corral.server.pki import Authority, Issued
from corral.store.interface import Put, Store
from corral.store.mirror import Mirror

RACES_MAX = 50


class Shown(Struct, frozen=True):
    """What a caller's certificate says."""

    node: NodeId
    serial: str  # hexadecimal


def shown_by(pem: bytes) -> Shown:
    """Raises NodeRefused"""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        name = str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    except (ValueError, IndexError):
        raise NodeRefused(
            "the call carries no certificate of a node", hint="Use `corral agent join` first."
        ) from None
    return Shown(NodeId(name), f"{certificate.serial_number:x}")


def admitted(mirror: Mirror, shown: Shown) -> Node:
    """The node whose certificate this is. raises NodeRefused"""
    node = mirror.get(shown.node)
    if not isinstance(node, Node):
        raise NodeRefused(
            f"{shown.node} does not belong here (any more)",
            hint="It was removed. To take it in again: `corral node join-token`, then `corral agent join --again`.",
            node=shown.node,
        )
    if shown.serial not in (node.status.certificate, node.status.next_certificate):
        raise NodeRefused(
            f"the certificate {shown.serial[:12]}… of {node.name} has been replaced by a newer one",
            hint="Was the agent's directory restored from a backup, or copied to another machine? Join it again.",
            node=shown.node,
        )
    return node


class Admission:
    """Lets nodes in, and keeps book of their certificates."""

    def __init__(
        self, store: Store, mirror: Mirror, clock: Clock, authority: Authority, *, life_s: float
    ) -> None:
        self.store, self.mirror, self.clock = store, mirror, clock
        self.authority, self.life_s = authority, life_s

    async def admit(self, pem: bytes) -> NodeId:
        """The calling node; from now on only this certificate of it, or a newer one, works. raises NodeRefused"""
        shown = shown_by(pem)
        node = admitted(self.mirror, shown)
        if shown.serial != node.status.certificate:
            await self._note(shown, {"certificate": shown.serial, "next_certificate": ""})
        return shown.node

    async def renew(self, pem: bytes, csr: bytes) -> Issued:
        """A new certificate; the one that asks goes on working until the new one is used.

        raises  NodeRefused, Invalid
        """
        shown = shown_by(pem)
        admitted(self.mirror, shown)
        issued = self.authority.sign_node(csr, shown.node, self.life_s)
        await self._note(shown, {"certificate": shown.serial, "next_certificate": issued.serial})
        return issued

    async def _note(self, shown: Shown, fields: dict[str, str]) -> None:
        for _ in range(RACES_MAX):
            node = admitted(self.mirror, shown)
            new = node.having(status=msgspec.structs.replace(node.status, **fields))
            try:
                (stored,) = await self.store.commit([Put(new)], expect={node.id: node.revision})
                await self.mirror.wait_for(stored.revision)
                return
            except Conflict:
                await self.clock.sleep(0.002)
        raise Unavailable(f"{shown.node} changes too often", hint="Try again.", node=shown.node)
