"""TLS: whether guests can be migrated from and to this host by TLS.

In this room   a look at this host
Always true    yes means: the files are there, and libvirtd listens for TLS at the address that others use
Next door      server/peers.py issues the files; migration.py has the flags
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from corral.proto.peerfiles import CA, CERTIFICATE, KEY

PORT: Final = 16514  # libvirt's own
CONNECT_S: Final = 1.0


def takes_tls(directory: Path, address: str) -> bool:
    """Blocking."""
    if not address or not all((directory / name).exists() for name in (*CA, *CERTIFICATE, *KEY)):
        return False
    with suppress(OSError), socket.create_connection((address, PORT), CONNECT_S):
        return True
    return False
