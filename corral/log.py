"""Log: one JSON object a line on standard error, each with the request it belongs to.

In this room   the formatter, and the request id that goes with a task and all it starts
Comes in       records of the standard library's logging; `extra=` becomes fields
Goes out       {"at", "level", "logger", "message", "request_id"?, …extra, "error"?}
Always true    a line is one line; what JSON can't carry is written as text
Next door      server/http/edge.py sets the request id
Start here     configure()
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The record's own fields and what `extra` added, in the order in which they are written."""
    fields: dict[str, object] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    if request_id := REQUEST_ID.get():
        fields["request_id"] = request_id
    fields |= {
        key: value for key, value in vars(record).items() if key not in _STANDARD and key not in fields
    }
    return fields


class JsonFormatter(logging.Formatter):
    """For programs."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        try:
            return _ENCODER.encode(fields).decode()
        except (TypeError, ValueError, UnicodeEncodeError):  # a key that is no text, a lone surrogate
            return _ENCODER.encode({key: ascii(value) for key, value in fields.items()}).decode()


class TextFormatter(logging.Formatter):
    """For people at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        at, level, _, message = (str(fields.pop(key)) for key in ("at", "level", "logger", "message"))
        line = f"{at[11:23]} {level:<7} {message}"
        if fields:
            line += "  " + " ".join(f"{key}={value}" for key, value in fields.items())
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def configure(level: str = "info", *, json: bool = True, stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (standard error), replacing what was set before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for chatty in ("uvicorn", "uvicorn.error", "asyncio", "websockets", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
