"""Tokens: keys to the API. The secret is shown once and kept nowhere."""

from hashlib import sha256

from corral.clock import new_id
from corral.errors import Forbidden
from corral.model.operation import Operation, Verb
from corral.model.token import Role, Token, TokenSpec
from corral.server.services.asking import Asking
from corral.server.services.base import Change, Desk, check_name
from corral.server.services.issuing import issue
from corral.server.services.requests import CreateToken
from corral.store.interface import Remove


class Tokens:
    """Requests about API tokens."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mirror, self.clock = desk, desk.mirror, desk.clock

    async def create(self, ask: CreateToken, asking: Asking) -> tuple[Token, str]:
        """The token, and the string that a request proves itself with."""
        if asking.role is not Role.ADMIN:
            raise Forbidden("only an admin makes tokens")
        check_name(ask.name)
        token, secret = await issue(self.desk, asking, lambda secret: self._new(ask, secret))
        return token, token_string(token, secret) if secret else ""

    def _new(self, ask: CreateToken, secret: str) -> Token:
        now_s = self.clock.now_s()
        spec = TokenSpec(
            role=ask.role,
            sha256=sha256(secret.encode()).hexdigest(),
            expires_at=now_s + ask.ttl_s if ask.ttl_s else None,
        )
        return Token(id=new_id("tok", self.clock), name=ask.name, created_at=now_s, spec=spec)

    async def delete(self, token: str, asking: Asking) -> Operation:
        return await self.desk.submit(asking, lambda: self._delete(self.mirror.find(Token, token)))

    def _delete(self, token: Token) -> Change:
        return Change(
            target=token,
            writes=(Remove(token.id),),
            expect={token.id: token.revision},
            verb=Verb.DELETE,
            done=True,
        )


def token_string(token: Token, secret: str) -> str:
    return f"corral_{token.id}_{secret}"
