"""Contexts: which server the SDK and the command line talk to, and as whom.

In this room   Context; Contexts, the file ~/.config/corral/config.json
Comes in       the file; CORRAL_CONFIG (its path), CORRAL_CONTEXT, CORRAL_URL, CORRAL_TOKEN, CORRAL_CA override it
Goes out       one Context to connect with
Always true    the file holds tokens: it is written whole or not at all, and only its owner may read it
Start here     Contexts.load(), Contexts.chosen()
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from corral.errors import CorralError, Invalid

DEFAULT_URL: Final = "http://127.0.0.1:8440"


class NoContext(CorralError):
    """No such context, or none at all."""

    code = "client.no_context"
    status = 404


@dataclass(frozen=True)
class Context:
    """A server and a token for it."""

    url: str
    token: str = field(default="", repr=False)
    ca: str = ""  # PEM file or SHA-256 fingerprint; empty: the system's CAs


@dataclass(frozen=True)
class Contexts:
    """What the file says."""

    path: Path
    current: str = ""
    by_name: Mapping[str, Context] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None = None, env: Mapping[str, str] = os.environ) -> "Contexts":
        """Raises  Invalid: the file is there and is no such file"""
        path = path or config_path(env)
        try:
            text = path.read_text()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise NoContext(
                f"{path} can't be read: {error.strerror}", hint="Check its owner and mode."
            ) from None
        try:
            document = json.loads(text)
            contexts = {
                name: Context(url=str(c["url"]), token=str(c.get("token") or ""), ca=str(c.get("ca") or ""))
                for name, c in document.get("contexts", {}).items()
            }
            return cls(path, str(document.get("current") or ""), contexts)
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise Invalid(
                "config", path, "a file of contexts", hint=f"{error}. Move it away to start anew."
            ) from None

    def chosen(self, name: str = "", env: Mapping[str, str] = os.environ) -> Context:
        """The context to use: by name, by CORRAL_URL, or the current one; without any, the local server.

        raises  NoContext: the named one does not exist
        """
        name = name or env.get("CORRAL_CONTEXT", "")
        if not name and env.get("CORRAL_URL"):
            # The file's token belongs to the file's server: it is not shown to another one.
            return Context(env["CORRAL_URL"], env.get("CORRAL_TOKEN", ""), env.get("CORRAL_CA", ""))
        found = self.named(name) if name else self.by_name.get(self.current, Context(DEFAULT_URL))
        return Context(found.url, env.get("CORRAL_TOKEN", found.token), env.get("CORRAL_CA", found.ca))

    def named(self, name: str) -> Context:
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.by_name)) or "none yet; `corral context add` makes one"
            raise NoContext(f"no context is called {name}", hint=f"Contexts: {known}.", name=name) from None

    def having(self, name: str, context: Context, *, current: bool = False) -> "Contexts":
        """With this context added or replaced. The first one becomes the current one."""
        now = name if current or not self.current else self.current
        return Contexts(self.path, now, {**self.by_name, name: context})

    def without(self, name: str) -> "Contexts":
        self.named(name)
        rest = {n: c for n, c in self.by_name.items() if n != name}
        return Contexts(self.path, self.current if self.current in rest else "", rest)

    def using(self, name: str) -> "Contexts":
        self.named(name)
        return Contexts(self.path, name, self.by_name)

    def save(self) -> None:
        """Write the file: complete, or as it was."""
        contexts = {n: {k: v for k, v in asdict(c).items() if v} for n, c in sorted(self.by_name.items())}
        text = json.dumps({"current": self.current, "contexts": contexts}, indent=2) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


def config_path(env: Mapping[str, str] = os.environ) -> Path:
    """Where the file is, or would be."""
    if env.get("CORRAL_CONFIG"):
        return Path(env["CORRAL_CONFIG"]).expanduser()
    base = Path(env["XDG_CONFIG_HOME"]) if env.get("XDG_CONFIG_HOME") else Path.home() / ".config"
    return base / "corral" / "config.json"
