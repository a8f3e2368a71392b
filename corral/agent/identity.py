"""Identity: how this host proves which node it is.

In this room   Identity, the files in the agent's directory; join(), which gets them; renewal
Comes in       a join token; later the present certificate
Goes out       key, certificate and CA for the link
Always true    the key is made here and never leaves; each file is whole or absent; config.json is written last, so
               that a host either has joined or has not. Nothing is sent to a server before its CA was found to have
               the fingerprint that the token names.
Next door      grpc_link.py dials with it; server/joining.py and server/admission.py are the other end
Start here     join()
"""

import asyncio
import shutil
import socket
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from corral.errors import CorralError
from corral.files import write_whole
from corral.model.ids import NodeId
from corral.proto import link_pb2, link_pb2_grpc
from corral.proto.channel import CLIENT_OPTIONS, SERVER_NAME, join_address
from corral.proto.failures import told
from corral.proto.jointoken import JoinString, parse_join_string

ANSWER_S: Final = 15.0  # for each step of joining


class JoinFailed(CorralError):
    """The server can't be reached, or is not the one that the token names."""

    code = "join.failed"
    status = 503
    retryable = True


class AlreadyJoined(CorralError):
    """This host is a node already."""

    code = "join.already"
    status = 409


class NotJoined(CorralError):
    """This host has not joined a server yet."""

    code = "join.not_yet"
    status = 409


class Known(Struct, frozen=True, kw_only=True):
    """config.json: what the host was told when it joined."""

    node: NodeId
    name: str
    servers: tuple[str, ...]  # HOST:PORT of node links


class Identity:
    """The files: key.pem, cert.pem, ca.pem, config.json."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            self.known = msgspec.json.decode((directory / "config.json").read_bytes(), type=Known)
        except FileNotFoundError:
            raise NotJoined(
                f"this host has not joined a server: {directory} has no config.json",
                hint="`corral node join-token` at the server prints what `corral agent join` needs.",
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise NotJoined(
                f"{directory}/config.json can't be read: {error}", hint="Join again with --again."
            ) from None

    @property
    def node(self) -> NodeId:
        return self.known.node

    def credentials(self) -> grpc.ChannelCredentials:
        """As of now: after a renewal, the next call has the new certificate. raises NotJoined"""
        try:
            key, certificate, ca = (
                (self.directory / name).read_bytes() for name in ("key.pem", "cert.pem", "ca.pem")
            )
        except OSError as error:
            raise NotJoined(
                f"the node's certificate can't be read: {error}", hint="Join again with --again."
            ) from None
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def csr(self) -> bytes:
        return make_csr(self.directory / "key.pem", self.known.name)

    def renew_in_s(self, now_s: float) -> float:
        """Seconds until a new certificate is due; 0 or less: now."""
        return renewal_due_s((self.directory / "cert.pem").read_bytes()) - now_s

    def take(self, answer: link_pb2.Certificate) -> None:
        """Keep a renewed certificate. The key stays: one file changes, so no crash can part the two."""
        if answer.ca:
            write_whole(self.directory / "ca.pem", answer.ca, mode=0o644)
        if answer.servers:
            self.known = msgspec.structs.replace(self.known, servers=tuple(answer.servers))
            write_whole(self.directory / "config.json", msgspec.json.encode(self.known))
        write_whole(self.directory / "cert.pem", answer.certificate, mode=0o644)


def renewal_due_s(certificate: bytes) -> float:
    """Unix time at which a third of the certificate's time is left."""
    parsed = x509.load_pem_x509_certificate(certificate)
    begin, end = parsed.not_valid_before_utc.timestamp(), parsed.not_valid_after_utc.timestamp()
    return end - (end - begin) / 3


async def join(directory: Path, token: str, *, name: str = "", again: bool = False) -> Known:
    """Make this host a node of the server that the token names.

    name    of the node; empty: the host's name
    again   give up what it was before: other key, other node
    raises  Invalid, AlreadyJoined, JoinFailed, and what server/joining.py refuses: join.unknown, join.used,
            join.expired, resource.name_taken
    """
    wanted = parse_join_string(token)
    if (directory / "config.json").exists():
        if not again:
            raise AlreadyJoined(
                f"this host has joined: {Identity(directory).node}",
                hint="`--again` makes it a new node instead.",
            )
        forget(directory)
    make_key(directory / "key.pem")
    ca = await asyncio.to_thread(ca_of, wanted)
    name = name or socket.gethostname().split(".")[0].lower()
    answer = await _ask(wanted, ca, make_csr(directory / "key.pem", name), name)
    servers = (join_address(wanted.host, answer.link_port), *answer.servers)
    known = Known(node=NodeId(answer.node), name=name, servers=tuple(dict.fromkeys(servers)))
    write_whole(directory / "ca.pem", ca, mode=0o644)
    write_whole(directory / "cert.pem", answer.certificate, mode=0o644)
    write_whole(directory / "config.json", msgspec.json.encode(known))
    return known


def forget(directory: Path) -> None:
    """Give up being a node: first the file that says so, then the rest."""
    for name in ("config.json", "cert.pem", "key.pem", "ca.pem"):
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / "state", ignore_errors=True)


def ca_of(wanted: JoinString) -> bytes:
    """The CA's certificate (PEM) with the fingerprint that the token names, as the server shows it.

    raises  JoinFailed: nobody answers, or someone else does
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # the fingerprint decides; nothing is sent
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((wanted.host, wanted.port), ANSWER_S) as raw,
            context.wrap_socket(raw, server_hostname=SERVER_NAME) as tls,
        ):
            chain = _shown(tls)
    except OSError as error:
        raise _unreachable(wanted, str(error)) from None
    for der in chain:
        if sha256(der).hexdigest() == wanted.fingerprint:
            return ssl.DER_cert_to_PEM_cert(der).encode()
    raise JoinFailed(
        f"who answers at {wanted.host}:{wanted.port} has another certificate authority than the token names",
        hint="Someone else may answer there, or the server was set up anew: make a new token.",
        fingerprint=wanted.fingerprint,
    )


def _shown(tls: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the other side shows, DER, its own first."""
    public: Any = getattr(tls, "get_unverified_chain", None)  # since Python 3.13
    if public is not None:
        return [bytes(der) for der in public()]
    inner: Any = getattr(tls, "_sslobj")  # noqa: B009 - the same, before it had a public name
    return [ssl.PEM_cert_to_DER_cert(c.public_bytes()) for c in inner.get_unverified_chain() or ()]


async def _ask(wanted: JoinString, ca: bytes, csr: bytes, name: str) -> link_pb2.JoinAnswer:
    options = (*CLIENT_OPTIONS, ("grpc.ssl_target_name_override", SERVER_NAME))
    address = join_address(wanted.host, wanted.port)
    async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca), options) as channel:
        request = link_pb2.JoinRequest(secret=wanted.secret, csr=csr, name=name)
        try:
            return await link_pb2_grpc.JoiningStub(channel).Join(request, timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            raise told(error) or _unreachable(wanted, error.details() or str(error.code())) from None


def _unreachable(wanted: JoinString, why: str) -> JoinFailed:
    return JoinFailed(
        f"no answer from {wanted.host}:{wanted.port}: {why}",
        hint=f"Is the server running, and port {wanted.port} open between here and there?",
        host=wanted.host,
        port=wanted.port,
    )


def make_key(path: Path) -> None:
    """Make the key unless there is one: a join that is tried again asks with the same key."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_whole(path, key.private_bytes(serialization.Encoding.PEM, form, plain))


def make_csr(key_path: Path, name: str) -> bytes:
    """A certificate request (PEM), signed with the key."""
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "node")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)
