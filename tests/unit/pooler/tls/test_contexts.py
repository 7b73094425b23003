"""What the settings make of a handshake: versions, ciphers, certificates of clients, and no tickets."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from pooler.config.tls import ClientTls, ServerTls, SslMode
from pooler.tls.contexts import ClientContext, ServerContexts, TlsProblem
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With certificates of a server, of a client, and of a client that nobody knows."""
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    authority.issue("localhost", hosts=["localhost"]).write(folder, "server")
    authority.issue("alice").write(folder, "alice")
    Authority("Somebody Else").issue("alice").write(folder, "stranger")
    return folder


@pytest.fixture
def settings(folder: Path) -> ClientTls:
    return ClientTls(mode=SslMode.PREFER, cert_file=folder / "server.crt", key_file=folder / "server.key")


def a_client(folder: Path, certificate: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    if certificate:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    return context


def shake_hands(settings: ClientTls, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends, the client's first, after a handshake and a word in each direction. Raises SSLError."""
    context = ClientContext(settings).context
    assert context is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        context.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    for writer, reader in (ends, ends[::-1]):
        writer.write(b"hello")
        assert reader.read() == b"hello"
    return ends


@pytest.mark.parametrize(
    ("protocols", "version"),
    [("secure", "TLSv1.3"), ("tlsv1.2,tlsv1.3", "TLSv1.3"), ("TLSv1.3", "TLSv1.3"), ("tlsv1.2", "TLSv1.2")],
)
def test_the_version_that_is_spoken(folder: Path, settings: ClientTls, protocols: str, version: str) -> None:
    client, _ = shake_hands(replace(settings, protocols=protocols), a_client(folder))
    assert client.version() == version


@pytest.mark.parametrize(
    ("offered", "spoken"), [("tlsv1.3", ssl.TLSVersion.TLSv1_2), ("tlsv1.2", ssl.TLSVersion.TLSv1_3)]
)
def test_another_version_is_refused(folder: Path, settings: ClientTls, offered: str, spoken: ssl.TLSVersion) -> None:
    client = a_client(folder)
    client.minimum_version = client.maximum_version = spoken
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        shake_hands(replace(settings, protocols=offered), client)


def test_the_ciphers_of_the_settings_are_those_that_there_are(folder: Path, settings: ClientTls) -> None:
    only = replace(settings, protocols="tlsv1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    client, _ = shake_hands(only, a_client(folder))
    cipher = client.cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    other = a_client(folder)
    other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with pytest.raises(ssl.SSLError, match=r"(?i)shared cipher|handshake failure"):
        shake_hands(only, other)


@pytest.mark.parametrize("protocols", ["tlsv1.2", "tlsv1.3"])
def test_clients_are_given_no_tickets(folder: Path, settings: ClientTls, protocols: str) -> None:
    client, _ = shake_hands(replace(settings, protocols=protocols), a_client(folder))
    assert client.session is None or not client.session.has_ticket


@pytest.mark.parametrize("mode", [SslMode.PREFER, SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
def test_certificates_of_clients(folder: Path, settings: ClientTls, mode: SslMode) -> None:
    settings = replace(settings, mode=mode, ca_file=folder / "ca.crt")
    _, server = shake_hands(settings, a_client(folder, "alice"))
    assert server.getpeercert()
    with pytest.raises(ssl.SSLError, match="unable to get local issuer"):
        shake_hands(settings, a_client(folder, "stranger"))
    if mode.verifies:
        with pytest.raises(ssl.SSLError, match=r"(?i)did not return a certificate"):
            shake_hands(settings, a_client(folder))
    else:
        shake_hands(settings, a_client(folder))


def test_without_an_authority_nobody_is_asked_for_a_certificate(folder: Path, settings: ClientTls) -> None:
    _, server = shake_hands(settings, a_client(folder, "stranger"))
    assert not server.getpeercert()


def test_servers_are_reached_by_contexts_that_were_made_before(folder: Path, tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_bytes((folder / "ca.crt").read_bytes())
    settings = ServerTls(mode=SslMode.VERIFY_CA, ca_file=authority)
    contexts = ServerContexts()
    made = contexts.get(settings)
    authority.unlink()
    assert contexts.get(replace(settings, require_auth=frozenset({"md5"}))) is made, "what is no matter of TLS"
    contexts.use({})
    with pytest.raises(TlsProblem, match="can't be read"):
        contexts.get(settings)
