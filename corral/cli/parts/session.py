"""Session: the client that a command talks through."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corral.client.client import Client


def connect() -> "Client":
    """A client for the chosen context; imported here, because help and completion do without."""
    from corral.client.client import Client

    return Client.of_context(os.environ.get("CORRAL_CONTEXT", ""))
