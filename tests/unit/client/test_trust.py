"""Which certificates are believed."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from corral.client.client import Client
from corral.client.errors import Unreachable, Untrusted
from corral.errors import CorralError, Invalid
from tests.unit.client.fake_api import FakeApi, _handler, serving
from tests.unit.client.samples import a_vm


class Chain:
    """A CA, and a server certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ca_key, self.key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        self.ca = self._made(f"{name} CA", self.ca_key, f"{name} CA", ca=True)
        self.own = self._made(name, self.key, f"{name} CA", ca=False)
        self.ca_file, self.file = folder / f"{name}-ca.pem", folder / f"{name}.pem"
        pem = serialization.Encoding.PEM
        self.ca_file.write_bytes(self.ca.public_bytes(pem))
        key = self.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.file.write_bytes(key + self.own.public_bytes(pem) + self.ca.public_bytes(pem))

    def _made(
        self, subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, *, ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
        return builder.sign(self.ca_key, hashes.SHA256())

    @staticmethod
    def fingerprint(certificate: x509.Certificate) -> str:
        return sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Chain]:
    folder = tmp_path_factory.mktemp("chains")
    return {name: Chain(folder, name) for name in ("right", "other")}


@contextmanager
def https(chain: Chain) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(FakeApi().add(a_vm("web"))))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain.file)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


BELIEVED = [
    ("the CA's file", lambda c: str(c.ca_file)),
    ("the CA's fingerprint", lambda c: c.fingerprint(c.ca)),
    ("its own fingerprint", lambda c: "sha256:" + c.fingerprint(c.own).upper()),
    (
        "a fingerprint with colons",
        lambda c: ":".join(c.fingerprint(c.ca)[i : i + 2] for i in range(0, 64, 2)),
    ),
]


@pytest.mark.parametrize("ca", [pytest.param(row[1], id=row[0]) for row in BELIEVED])
def test_believed(chains: dict[str, Chain], ca) -> None:
    with https(chains["right"]) as url, Client(url, "t", ca(chains["right"])) as client:
        assert client.vms.get("web").name == "web"


@pytest.mark.parametrize("ca", [pytest.param(row[1], id=row[0]) for row in BELIEVED])
def test_not_believed(chains: dict[str, Chain], ca) -> None:
    with https(chains["other"]) as url, pytest.raises(Untrusted):
        Client(url, "t", ca(chains["right"])).vms.get("web")


def test_not_believed_without_any_ca(chains: dict[str, Chain]) -> None:
    with https(chains["right"]) as url, pytest.raises(Untrusted, match="not trusted") as caught:
        Client(url, "t").vms.get("web")
    assert "--ca" in caught.value.hint


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["no file", "no PEM"])
def test_ca_files_that_are_none(chains: dict[str, Chain], tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with https(chains["right"]) as url, pytest.raises(Invalid):
        Client(url, "t", str(path)).vms.get("web")


def test_https_to_a_server_without_it() -> None:
    with serving(FakeApi()) as api, pytest.raises(Unreachable, match="TLS"):
        Client(api.url.replace("http:", "https:"), "t").vms.get("web")


def test_http_to_a_server_with_tls(chains: dict[str, Chain]) -> None:
    with https(chains["right"]) as url, pytest.raises(CorralError) as caught:
        Client(url.replace("https:", "http:"), "t", retry_s=0.2).vms.get("web")
    assert caught.value.code == "client.unreachable"
