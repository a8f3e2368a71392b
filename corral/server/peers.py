"""Peers: certificates with which the libvirts of two nodes trust each other.

In this room   write_peer_files(), which issues one certificate and lays it out as libvirt and QEMU look for it
Always true    the key is made here and readable by its owner only; the certificate names the node's address and nothing
               else, so it can't pass for the server
Next door      pki.py signs; hypervisor/libvirt/tls.py looks for the files on a node
"""

from collections.abc import Sequence
from pathlib import Path

from corral.files import write_whole
from corral.proto.peerfiles import CA, CERTIFICATE, KEY
from corral.server.pki import Authority


def write_peer_files(authority: Authority, addresses: Sequence[str], directory: Path) -> None:
    """For the node that others reach at these addresses."""
    identity = authority.peer_identity(addresses)
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in CA:
        write_whole(directory / name, authority.pem, mode=0o644)
    for name in CERTIFICATE:
        write_whole(directory / name, identity.chain, mode=0o644)
    for name in KEY:
        write_whole(directory / name, identity.key)
