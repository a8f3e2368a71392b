"""Joining: how a machine becomes a node, with a token that works once.

In this room   JoinTokens: mint() for an admin, join() for a machine
Comes in       a join token's secret, a certificate request, the name that the node wants
Goes out       the Node, committed, and its first certificate
Always true    node and used-up token are one commit: of two machines with one token, one joins. The secret is
               kept nowhere, only its hash. A machine whose answer was lost gets it when it asks again with the
               same key, for as long as it has not linked.
Next door      grpc_link.py serves join() on a port of its own; pki.py signs
Start here     JoinTokens.join()
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Final

import msgspec

from corral.clock import new_id
from corral.errors import Conflict, Forbidden, Invalid, Unavailable
from corral.model.ids import NodeId
from corral.model.node import Node, NodePhase, NodeStatus
from corral.model.resource import Resource
from corral.model.token import JoinToken, JoinTokenSpec, Role
from corral.proto.failures import TokenExpired, TokenUnknown, TokenUsed
from corral.proto.jointoken import JoinString
from corral.server.pki import Authority, Issued, key_digest
from corral.server.services.asking import Asking
from corral.server.services.base import Desk, check_name
from corral.server.services.issuing import issue
from corral.store.interface import Put, Remove, Write

log = logging.getLogger("corral.joining")
RACES_MAX: Final = 20
TTL_MAX_S: Final = 30 * 86_400.0
KEEP_S: Final = (
    7 * 86_400.0
)  # how long a token is kept after its time, to say "expired" rather than "unknown"


class JoinTokens:
    """Rights to join, and their use.

    address   HOST and PORT under which new nodes reach join()
    """

    def __init__(
        self,
        desk: Desk,
        authority: Authority,
        *,
        address: Callable[[], tuple[str, int]],
        life_s: float,
    ) -> None:
        self.desk, self.store, self.mirror, self.clock = desk, desk.store, desk.mirror, desk.clock
        self.authority, self.address, self.life_s = authority, address, life_s

    async def mint(self, ttl_s: float, asking: Asking) -> tuple[JoinToken, str]:
        """A new token, and the string that `corral agent join` takes. raises Forbidden, Invalid"""
        if asking.role is not Role.ADMIN:
            raise Forbidden("only an admin lets nodes join")
        if not 1 <= ttl_s <= TTL_MAX_S:
            raise Invalid("ttl_s", ttl_s, f"from 1 to {TTL_MAX_S:.0f} seconds")
        token, secret = await issue(self.desk, asking, lambda secret: self._new(ttl_s, secret))
        if not secret:
            return token, ""
        await self._sweep(self.clock.now_s())
        host, port = self.address()
        text = JoinString(host=host, port=port, secret=secret, fingerprint=self.authority.fingerprint)
        return token, str(text)

    def _new(self, ttl_s: float, secret: str) -> JoinToken:
        id, now_s = new_id("join", self.clock), self.clock.now_s()
        spec = JoinTokenSpec(sha256=_hash(secret), expires_at=now_s + ttl_s)
        return JoinToken(id=id, name=id, created_at=now_s, spec=spec)

    async def join(self, secret: str, csr: bytes, name: str) -> tuple[Node, Issued]:
        """Make the machine a node.

        raises  TokenUnknown, TokenUsed, TokenExpired, NameTaken, Invalid
        """
        key = key_digest(csr)
        for _ in range(RACES_MAX):
            token = self._token(secret)
            if again := self._earlier(token, key):
                node, issued = self._reissue(again, csr)
                changed: list[Resource] = [node]
            else:
                check_token(token, self.clock.now_s())
                node, issued = self._new_node(csr, name)
                spec = msgspec.structs.replace(token.spec, used_by=node.id, key_sha256=key)
                changed = [node, token.having(spec=spec, generation=token.generation + 1)]
            try:
                stored = await self._commit([Put(r) for r in changed], {r.id: r.revision for r in changed})
            except Conflict:
                await self.clock.sleep(0.002)  # the mirror is about to see who was faster
                continue
            log.info("node joined", extra={"node": node.id, "node_name": node.name})
            return node.having(revision=stored[0].revision), issued
        raise Unavailable("too many nodes join at once", hint="Try again.")

    def _token(self, secret: str) -> JoinToken:
        hashed = _hash(secret)
        for token in self.mirror.list(JoinToken):
            if token.spec.sha256 == hashed:
                return token
        raise TokenUnknown

    def _earlier(self, token: JoinToken, key: str) -> Node | None:
        """The node that the same machine became with this token, if its answer may have been lost."""
        if not token.spec.used_by or token.spec.key_sha256 != key:
            return None
        node = self.mirror.get(token.spec.used_by)
        return node if isinstance(node, Node) and node.status.phase is NodePhase.JOINING else None

    def _new_node(self, csr: bytes, name: str) -> tuple[Node, Issued]:
        check_name(name)
        id, now_s = NodeId(new_id("node", self.clock)), self.clock.now_s()
        issued = self.authority.sign_node(csr, id, self.life_s)
        status = NodeStatus(phase=NodePhase.JOINING, since=now_s, certificate=issued.serial)
        return Node(id=id, name=name, created_at=now_s, status=status), issued

    def _reissue(self, node: Node, csr: bytes) -> tuple[Node, Issued]:
        issued = self.authority.sign_node(csr, NodeId(node.id), self.life_s)
        return node.having(status=msgspec.structs.replace(node.status, certificate=issued.serial)), issued

    async def _sweep(self, now_s: float) -> None:
        stale = [t for t in self.mirror.list(JoinToken) if t.spec.expires_at + KEEP_S < now_s]
        with suppress(Conflict):  # someone else sweeps at the same time
            if stale:
                await self._commit([Remove(t.id) for t in stale], {})

    async def _commit(self, writes: Sequence[Write], expect: Mapping[str, int]) -> tuple[Resource, ...]:
        stored = await self.store.commit(writes, expect=expect)
        await self.mirror.wait_for(max(r.revision for r in stored))
        return stored


def check_token(token: JoinToken, now_s: float) -> None:
    """Raises TokenUsed, TokenExpired"""
    if token.spec.used_by:
        raise TokenUsed(token.spec.used_by)
    if now_s >= token.spec.expires_at:
        raise TokenExpired(now_s - token.spec.expires_at)


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
