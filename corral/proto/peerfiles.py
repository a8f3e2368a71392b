"""Peer files: how the certificates between the libvirts of two nodes are named, by libvirt and by QEMU.

Next door      server/peers.py writes them, hypervisor/libvirt/tls.py looks for them
"""

from typing import Final

CA: Final = ("cacert.pem", "ca-cert.pem")  # libvirt's name, QEMU's name
CERTIFICATE: Final = ("clientcert.pem", "servercert.pem", "client-cert.pem", "server-cert.pem")
KEY: Final = ("clientkey.pem", "serverkey.pem", "client-key.pem", "server-key.pem")
