"""First start: the admin token that is shown once, and the command line's context with it.

Always true    a first start that was killed midway begins anew with another token: the one that nobody saw is
               revoked. (Removing the file `initialised` from the data directory has the same effect: a way back in
               for an operator who lost the last admin token.)
Start here     first_token()
"""

import logging
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from corral.files import write_whole
from corral.model.token import Role, Token
from corral.proto.channel import join_address
from corral.server.config import ServerConfig
from corral.server.core import ServerCore
from corral.server.network import is_loopback, reached_at, split
from corral.server.services.asking import Asking
from corral.server.services.requests import CreateToken
from corral.store.interface import Remove

log = logging.getLogger("corral.server")
MARK: Final = "initialised"
ADMIN: Final = "admin"


class ContextFile(Struct, frozen=True, kw_only=True):
    """The command line's file, as client/contexts.py reads it."""

    current: str = ""
    contexts: dict[str, dict[str, str]] = {}


async def first_token(core: ServerCore, config: ServerConfig) -> str:
    """The admin token of a data directory that is used for the first time; "" for any other."""
    mark = config.data_dir / MARK
    if mark.exists():
        return ""
    unseen = [t for t in core.mirror.list(Token) if t.name == ADMIN]
    if unseen:
        removed = await core.store.commit([Remove(t.id) for t in unseen])
        await core.mirror.wait_for(max(r.revision for r in removed))
    _, text = await core.services.tokens.create(CreateToken(name=ADMIN, role=Role.ADMIN), Asking())
    write_context(config, text)
    write_whole(mark, b"")
    return text


def write_context(config: ServerConfig, token: str) -> None:
    """Let the command line on this machine find the server. Failing to is no reason not to start."""
    if not config.context:
        return
    path = context_path()
    context = {"url": url_of(config), "token": token}
    if context["url"].startswith("https:"):
        context["ca"] = str(config.data_dir / "ca" / "ca.pem")
    try:
        known = _read(path)
        known = ContextFile(current=config.context, contexts={**known.contexts, config.context: context})
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n")
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("the command line's context could not be written: %s", error, extra={"path": str(path)})


def context_path() -> Path:
    """Where client/contexts.py looks for it."""
    if os.environ.get("CORRAL_CONFIG"):
        return Path(os.environ["CORRAL_CONFIG"]).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "corral" / "config.json"


def url_of(config: ServerConfig) -> str:
    """Under which this machine reaches the API."""
    host, port = split(config.http)
    if is_loopback(host):
        return f"http://{join_address(host, port)}"
    return f"https://{join_address(reached_at(host, ()), port)}"


def _read(path: Path) -> ContextFile:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ContextFile)
    except FileNotFoundError:
        return ContextFile()
