"""Log: moved to corral/log.py, where the agent has it too."""

from corral.log import REQUEST_ID, JsonFormatter, TextFormatter, configure, fields_of

__all__ = ["REQUEST_ID", "JsonFormatter", "TextFormatter", "configure", "fields_of"]
