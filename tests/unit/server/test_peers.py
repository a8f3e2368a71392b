"""Certificates between the libvirts of two nodes: what they say, and where a node looks for them."""

import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from corral.clock import SystemClock
from corral.errors import Invalid
from corral.hypervisor.libvirt import tls
from corral.proto.channel import SERVER_NAME
from corral.server.peers import write_peer_files
from corral.server.pki import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca", SystemClock())


def test_it_names_the_node_and_serves_both_ways(authority: Authority, tmp_path: Path) -> None:
    write_peer_files(authority, ["10.0.0.7", "node7"], tmp_path / "pki")
    certificate = x509.load_pem_x509_certificate((tmp_path / "pki/server-cert.pem").read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(n) for n in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
    assert names.get_values_for_type(x509.DNSName) == ["node7"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    keys = [tmp_path / "pki" / name for name in ("clientkey.pem", "server-key.pem")]
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys), "keys are their owner's only"


@pytest.mark.parametrize("names", [[], [SERVER_NAME], ["10.0.0.7", SERVER_NAME]])
def test_it_never_passes_for_the_server(authority: Authority, names: list[str], tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        write_peer_files(authority, names, tmp_path / "pki")
    assert not (tmp_path / "pki").exists()


def test_a_node_takes_tls_when_files_and_libvirtd_are_there(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as libvirtd:
        monkeypatch.setattr(tls, "PORT", libvirtd.getsockname()[1])
        assert not tls.takes_tls(tmp_path / "pki", "127.0.0.1"), "no files"
        write_peer_files(authority, ["127.0.0.1"], tmp_path / "pki")
        assert tls.takes_tls(tmp_path / "pki", "127.0.0.1")
        assert not tls.takes_tls(tmp_path / "pki", ""), "no address"
    assert not tls.takes_tls(tmp_path / "pki", "127.0.0.1"), "nobody listens"
