"""Issuing: a new resource whose secret is shown in the answer, and kept nowhere.

In this room   issue(), the same for API tokens and join tokens
Comes in       a function that makes the resource around a secret
Goes out       the resource, committed, and the secret
Always true    a repeat with the same Idempotency-Key gets the same resource and the same secret, although only its hash
               is stored: with a key the secret is no chance, but an HMAC of the request under the desk's own key
Next door      base.py does the same for requests that are followed by an Operation
Start here     issue()
"""

import hmac
from base64 import b32encode
from collections.abc import Callable
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from corral.clock import new_secret
from corral.errors import Conflict, NameTaken, Unavailable
from corral.model.resource import Resource
from corral.server.services.asking import Asking
from corral.server.services.base import RACES_MAX, Desk, record_id
from corral.store.interface import Put

R = TypeVar("R", bound=Resource)
SECRET_BYTES: Final = 24


async def issue(desk: Desk, asking: Asking, make: Callable[[str], R]) -> tuple[R, str]:
    """Commit what `make` returns for a new secret.

    returns  the resource as stored, and the secret; the resource alone and "" for a dry run
    raises   NameTaken, KeyReused, Unavailable, and whatever `make` raises
    """
    secret = _secret(desk, asking)
    for _ in range(RACES_MAX):
        new = make(secret)
        if asking.dry_run:
            return new, ""
        if (record := desk.record_of(asking)) is not None:
            first = msgspec.json.decode(record.spec.answer, type=type(new))
            now = desk.mirror.get(first.id)
            return now if isinstance(now, type(new)) else first, secret
        try:
            return await _commit(desk, asking, new), secret
        except (Conflict, NameTaken) as error:
            if isinstance(error, NameTaken) and error.context.get("kind") == type(new).__name__:
                raise
            await desk.catch_up()  # the same request came twice at once
    raise Unavailable("too many requests with this Idempotency-Key at once", hint="Try again.")


async def _commit(desk: Desk, asking: Asking, new: R) -> R:
    writes, expect = [Put(new)], {new.id: 0}
    if asking.idempotency_key:
        record = desk.record(new, asking, status=201)
        writes.append(Put(record))
        expect[record.id] = 0
    stored = await desk.store.commit(writes, expect=expect)
    await desk.mirror.wait_for(max(r.revision for r in stored))
    assert isinstance(stored[0], type(new))
    return stored[0]


def _secret(desk: Desk, asking: Asking) -> str:
    """192 bits in base 32."""
    if not asking.idempotency_key:
        return new_secret(desk.clock)
    text = f"{record_id(asking)}\n{asking.fingerprint}".encode()
    return b32encode(hmac.digest(desk.secret_key, text, sha256)[:SECRET_BYTES]).decode().rstrip("=").lower()
