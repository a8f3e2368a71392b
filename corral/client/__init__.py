"""Client: the Python SDK. `from corral.client import Client`.

In this room   Client, with one attribute a noun: vms, images, nodes, …; contexts.py, where to find a server
Comes in       URL and token, or the context that `corral context use` chose
Goes out       model structs; Operations that operations.wait() follows; CorralErrors as the server raised them
Always true    synchronous, on the standard library: importing it costs the command line little
Next door      corral/cli presents what this fetches
Start here     client.py
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corral.client.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Client, imported when it is asked for: contexts.py alone should stay cheap."""
    if name == "Client":
        from corral.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
