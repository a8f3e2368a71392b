"""PKI: the server's own certificate authority.

In this room   Authority: the CA on disk; certificates for this server and for nodes
Comes in       a directory; names of the server; a node's certificate request
Goes out       PEM, and the serial numbers by which a certificate is known later
Always true    the CA's key is readable by its owner only and never leaves the directory. Every certificate begins
               BACKDATE_S in the past: a node whose clock is off by hours can still join and link. A CA that is
               missing or broken is an error once it has been in use: a new one would lock out every node.
Next door      joining.py signs with it; admission.py decides who of the signed may still come in
Start here     Authority.open()
"""

import datetime
import os
import shutil
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from corral.clock import Clock
from corral.errors import CorralError, Invalid
from corral.files import sync_directory, write_whole
from corral.model.ids import NodeId
from corral.proto.channel import SERVER_NAME

DAY_S: Final = 86_400.0
BACKDATE_S: Final = DAY_S  # clocks in a wrong time zone are off by up to 14 hours
CA_LIFE_S: Final = 20 * 365 * DAY_S
SERVER_LIFE_S: Final = 820 * DAY_S  # some TLS clients refuse more than 825 days
CSR_BYTES_MAX: Final = 16 * 1024


class CaBroken(CorralError):
    """The CA's directory is missing or can't be read."""

    code = "pki.ca_broken"


class Issued(Struct, frozen=True):
    """A certificate that was just signed."""

    pem: bytes
    serial: str  # hexadecimal


class Identity(Struct, frozen=True):
    """What a TLS server shows: its key, and its certificate followed by the CA's (PEM)."""

    key: bytes
    chain: bytes


class Authority:
    """Signs certificates of servers and nodes."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, clock: Clock) -> None:
        self.key, self.certificate, self.clock = key, certificate, clock
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA's certificate, hexadecimal: what a join token pins."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def secret_for(self, purpose: str) -> bytes:
        """32 bytes that follow from the CA's key: the same on each server that has it, and told by nothing it signs."""
        number = self.key.private_numbers().private_value.to_bytes(32, "big")
        return HKDF(hashes.SHA256(), 32, salt=None, info=f"corral {purpose}".encode()).derive(number)

    @classmethod
    def open(cls, directory: Path, clock: Clock, *, create: bool = True) -> "Authority":
        """The CA in this directory; made now if there is none and `create`. raises CaBroken"""
        if not directory.exists():
            if not create:
                raise CaBroken(
                    f"{directory} is missing, though this server has been in use",
                    hint="Restore it from a backup: with a new CA every node would have to join again.",
                )
            _create(directory, clock)
        try:
            key = serialization.load_pem_private_key((directory / "key.pem").read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
        except (OSError, ValueError) as error:
            raise CaBroken(
                f"the CA in {directory} can't be read: {error}", hint="Restore it from a backup."
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise CaBroken(f"key.pem and ca.pem in {directory} do not belong together", hint="Restore both.")
        return cls(key, certificate, clock)

    def server_identity(self, names: Sequence[str]) -> Identity:
        """A new key and certificate for a server that is reached under these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName(
            [_general_name(n) for n in dict.fromkeys((SERVER_NAME, *names))]
        )
        certificate = (
            self._builder(SERVER_NAME, key.public_key(), SERVER_LIFE_S, BACKDATE_S)
            .add_extension(alternatives, critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Identity(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM) + self.pem)

    def peer_identity(self, names: Sequence[str]) -> Identity:
        """A new key and certificate for a node's libvirt, that other nodes reach under these names and addresses."""
        if SERVER_NAME in names or not names:
            raise Invalid("name", SERVER_NAME if names else "", "a name or address of a node")
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(f"libvirt of {names[0]}"[:64], key.public_key(), SERVER_LIFE_S, BACKDATE_S)
            .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Identity(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))

    def sign_node(self, csr: bytes, node: NodeId, life_s: float, *, backdate_s: float = BACKDATE_S) -> Issued:
        """A certificate that says `node`, whatever the request says of its subject.

        raises  Invalid: no certificate request, or not signed with its own key
        """
        public_key = read_csr(csr)
        certificate = (
            self._builder(node, public_key, life_s, backdate_s)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), f"{certificate.serial_number:x}")

    def _builder(
        self, name: str, public_key: ec.EllipticCurvePublicKey, life_s: float, backdate_s: float
    ) -> x509.CertificateBuilder:
        now = _utc(self.clock.now_s())
        return (
            _subject(name, public_key)
            .issuer_name(self.certificate.subject)
            .not_valid_before(now - datetime.timedelta(seconds=backdate_s))
            .not_valid_after(
                min(now + datetime.timedelta(seconds=life_s), self.certificate.not_valid_after_utc)
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )


def read_csr(csr: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a certificate request is for. raises Invalid"""
    try:
        if len(csr) > CSR_BYTES_MAX:
            raise ValueError("too long")
        request = x509.load_pem_x509_csr(csr)
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("its key is not on curve P-256")
        if not request.is_signature_valid:
            raise ValueError("its signature is wrong")
    except (ValueError, TypeError, InvalidSignature) as error:
        raise Invalid("csr", f"{len(csr)} bytes", "a certificate request", hint=str(error)) from None
    return key


def key_digest(csr: bytes) -> str:
    """SHA-256 of the public key in a certificate request: tells whether the same node asks again."""
    from hashlib import sha256

    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return sha256(read_csr(csr).public_bytes(encoding, form)).hexdigest()


def covers(chain: bytes, ca: bytes, names: Sequence[str], now_s: float) -> bool:
    """Whether a server certificate is this CA's, names all these, and has a third of its life left."""
    try:
        certificate = x509.load_pem_x509_certificate(chain)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
        has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - _utc(now_s)
    wanted = [_general_name(n) for n in (SERVER_NAME, *names)]
    return left.total_seconds() > SERVER_LIFE_S / 3 and all(name in list(has) for name in wanted)


def _create(directory: Path, clock: Clock) -> None:
    """Make the CA, whole or not at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = _utc(clock.now_s())
    certificate = (
        _subject("Corral CA", key.public_key())
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corral CA")]))
        .not_valid_before(now - datetime.timedelta(seconds=2 * BACKDATE_S))
        .not_valid_after(now + datetime.timedelta(seconds=CA_LIFE_S))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_usage(), critical=True)
        .sign(key, hashes.SHA256())
    )
    draft = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    write_whole(draft / "key.pem", _key_pem(key))
    write_whole(draft / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    draft.rename(directory)
    sync_directory(directory.parent)


def _subject(name: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _ca_usage() -> x509.KeyUsage:
    rest = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **rest)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
