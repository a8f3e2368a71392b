"""Sessions: a browser that signed in once, without a token that its scripts could read.

In this room   Sessions: begin, recognise and end them; Tries, who failed to sign in lately
Comes in       the id of a token whose holder proved that they have it; later the cookie
Goes out       Session: which token it stands for, until when
Always true    the cookie carries no token: its token's id, its end and a number of its own, signed with a key that follows
               from the installation's. It is worth nothing once its token is, wherever it is shown. What was ended here
               is remembered by this server until it would have ended anyway.
Next door      auth.py takes a cookie where there is no token; routes/session.py. Whoever else may vouch for people later
               (accounts, OIDC) calls begin(), too.
Start here     Sessions.begin()
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from corral.clock import Clock, new_secret
from corral.errors import CorralError, Unauthenticated

COOKIE: Final = "corral_session"
LIFE_S: Final = 12 * 3600.0
TRIES_MAX: Final = 10  # failures of one address within TRIES_S
TRIES_S: Final = 60.0
REMEMBERED_MAX: Final = 10_000  # addresses, and sessions that were ended


class TooManyTries(CorralError):
    """So many sign-ins from this address have failed that it has to wait."""

    code = "auth.too_many_tries"
    status = 429
    retryable = True


class Session(Struct, frozen=True, array_like=True):
    """What a cookie says."""

    token: str  # id of the token that it stands for
    ends_at: float  # Unix time, seconds
    number: str  # of its own


class Sessions:
    """Sessions of the installation; those that were ended, of this server."""

    def __init__(self, secret_key: bytes, clock: Clock) -> None:
        """`secret_key` is the desk's: the same on each server."""
        self.clock = clock
        self._key = hmac.digest(secret_key, b"corral console session", sha256)
        self._ended: dict[str, float] = {}  # when it would have ended by itself, by number
        self.tries = Tries(clock)

    def begin(self, token: str, expires_at: float | None) -> tuple[Session, str]:
        """A new session and its cookie. It ends with the token, or after LIFE_S."""
        ends_at = self.clock.now_s() + LIFE_S
        if expires_at is not None:
            ends_at = min(ends_at, expires_at)
        session = Session(token, ends_at, new_secret(self.clock, bits=80))
        words = msgspec.json.encode(session)
        return session, f"{_text(words)}.{_text(self._sign(words))}"

    def read(self, cookie: str) -> Session:
        """The session of a cookie. raises Unauthenticated: it is none, or over"""
        words, _, signature = cookie.partition(".")
        try:
            plain = _bytes(words)
            if not hmac.compare_digest(self._sign(plain), _bytes(signature)):
                raise ValueError("signed by somebody else")
            session = msgspec.json.decode(plain, type=Session)
        except (ValueError, msgspec.DecodeError):
            raise _over("is not valid") from None
        if session.number in self._ended or self.clock.now_s() >= session.ends_at:
            raise _over("has ended")
        return session

    def end(self, session: Session) -> None:
        """The cookie is worth nothing any more on this server."""
        now_s = self.clock.now_s()
        if len(self._ended) >= REMEMBERED_MAX:
            self._ended = {number: at for number, at in self._ended.items() if at > now_s}
        self._ended[session.number] = session.ends_at

    def ended(self, number: str) -> bool:
        return number in self._ended

    def _sign(self, words: bytes) -> bytes:
        return hmac.digest(self._key, words, sha256)


class Tries:
    """Failures to sign in, by address: secrets can't be guessed, and nobody shall keep the server busy with it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._failed: dict[str, tuple[float, int]] = {}  # when the first was (monotonic), and how many

    def check(self, address: str) -> None:
        """Raises  TooManyTries"""
        since_s, count = self._failed.get(address, (0.0, 0))
        left_s = since_s + TRIES_S - self.clock.monotonic_s()
        if count >= TRIES_MAX and left_s > 0:
            raise TooManyTries(
                f"{count} sign-ins from this address have failed within a minute",
                hint=f"Try again in {left_s:.0f} s, with a token that `corral token create` showed.",
            )

    def note_failure(self, address: str) -> None:
        now_s = self.clock.monotonic_s()
        since_s, count = self._failed.pop(address, (now_s, 0))
        self._failed[address] = (since_s, count + 1) if now_s < since_s + TRIES_S else (now_s, 1)
        if len(self._failed) > REMEMBERED_MAX:
            del self._failed[next(iter(self._failed))]


def cookie_header(value: str, life_s: float, *, tls: bool) -> tuple[str, str]:
    """`Set-Cookie`; with an empty value it clears the cookie."""
    words = [
        f"{COOKIE}={value}",
        f"Max-Age={max(0, int(life_s))}",
        "Path=/",
        "HttpOnly",
        "SameSite=Strict",
        *(["Secure"] if tls else []),
    ]
    return "set-cookie", "; ".join(words)


def _over(why: str) -> Unauthenticated:
    return Unauthenticated(f"the session {why}", hint="Sign in again.")


def _text(words: bytes) -> str:
    return urlsafe_b64encode(words).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    """Raises  ValueError"""
    return urlsafe_b64decode((text + "=" * (-len(text) % 4)).encode("ascii"))
