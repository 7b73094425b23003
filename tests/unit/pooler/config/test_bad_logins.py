"""Wrong certificates, keys and rules are named, with file and line, before anything starts; and what does not go
together."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooler.config import ConfigErrors, load_config
from tests.support.certificates import Authority

DATABASE = '[databases.app]\nprimary = "postgresql://app:secret@h/app"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    authority = Authority()
    good = authority.issue("localhost", hosts=["localhost"])
    good.write(made, "server")
    authority.issue("other").write(made, "other")
    (made / "ca.crt").write_bytes(authority.certificate)
    broken = good.certificate.replace(b"\nMII", b"\nXXX", 1)
    (made / "broken.crt").write_bytes(authority.certificate + b"# the next one is broken\n" + broken)
    (made / "endless.crt").write_bytes(good.certificate[:200])
    (made / "empty.crt").write_bytes(b"")
    (made / "broken.key").write_bytes(good.key.replace(b"\nMIG", b"\nXXX", 1))
    (made / "encrypted.key").write_bytes(
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    (made / "bad.hba").write_text("local all all trust\nhost all all 10.0.0.1/8 trust\nhost all all all nothing\n")
    (made / "good.hba").write_text("hostssl all all all cert map=staff\n")
    (made / "bad.ident").write_text("staff one\n")
    (made / "good.ident").write_text("staff a b\n")
    return made


def problems(folder: Path, text: str) -> str:
    file = folder / "interceptor.toml"
    file.write_text(text)
    with pytest.raises(ConfigErrors) as raised:
        load_config(file)
    return str(raised.value).replace(f"{folder}/", "")


def tls(cert: str = "server.crt", key: str = "server.key", more: str = "") -> str:
    return (
        f'[server]\nclient_tls_sslmode = "require"\nclient_tls_cert_file = "{cert}"\n'
        f'client_tls_key_file = "{key}"\n{more}' + DATABASE
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (tls("nowhere.crt"), ":3: server.client_tls_cert_file: nowhere.crt can't be read: No such file or directory"),
        (tls("empty.crt"), ":3: server.client_tls_cert_file: empty.crt holds no certificate in PEM form"),
        (
            tls("endless.crt"),
            ":3: server.client_tls_cert_file: endless.crt:1: the certificate that begins here has no end",
        ),
        (
            tls("broken.crt"),
            "server.client_tls_cert_file: broken.crt:LINE: the certificate that begins here can't be read",
        ),
        (tls(key="nowhere.key"), ":4: server.client_tls_key_file: nowhere.key can't be read"),
        (tls(key="other.key"), ":4: server.client_tls_key_file: the key in other.key is not that of server.crt"),
        (tls(key="server.crt"), ":4: server.client_tls_key_file: server.crt holds no private key in PEM form"),
        (tls(key="broken.key"), ":4: server.client_tls_key_file: broken.key can't be used"),
        (tls(key="encrypted.key"), ":4: server.client_tls_key_file: encrypted.key:1: the key is encrypted"),
        (
            tls(more='client_tls_ca_file = "empty.crt"\n'),
            ":5: server.client_tls_ca_file: empty.crt holds no certificate",
        ),
        (
            tls(more='client_tls_ciphers = "nonsense"\n'),
            ":5: server.client_tls_ciphers: OpenSSL knows no cipher of this list",
        ),
        (tls(more='client_tls_protocols = "tlsv1.1"\n'), ":5: server.client_tls_protocols: TLS 1.0 and 1.1 are broken"),
        (tls(more='client_tls_protocols = "tls"\n'), ':5: server.client_tls_protocols: expected "secure"'),
        (
            f'[server]\nclient_tls_sslmode = "verify-ca"\n{DATABASE}',
            "server.client_tls_cert_file: TLS towards clients needs",
        ),
        (
            tls().replace("require", "verify-full"),
            'server.client_tls_ca_file: "verify-full" needs the authorities that sign clients\' certificates',
        ),
        (
            f'[server]\nclient_tls_key_file = "server.key"\n{DATABASE}',
            ":2: server.client_tls_key_file: has no effect: client_tls_",
        ),
        (f'[server]\nserver_tls_sslmode = "verify-ca"\n{DATABASE}', "server.server_tls_ca_file: "),
        (
            f'[server]\nserver_tls_ca_file = "empty.crt"\nserver_tls_sslmode = "require"\n{DATABASE}',
            ":2: server.server_tls_ca_file: empty.crt",
        ),
        (
            f'[server]\nserver_tls_cert_file = "server.crt"\n{DATABASE}',
            "server.server_tls_key_file: a certificate needs its key",
        ),
        (
            f'[server]\nserver_tls_key_file = "server.key"\n{DATABASE}',
            "server.server_tls_cert_file: a key needs its certificate",
        ),
        (
            DATABASE.replace('/app"', '/app?sslmode=verify-ca&sslrootcert=broken.crt"'),
            ":2: databases.app.primary: sslrootcert: broken.crt:LINE: the cert",
        ),
        (
            DATABASE.replace('/app"', '/app?sslcert=server.crt&sslkey=other.key"'),
            ":2: databases.app.primary: sslkey: the key in other.key",
        ),
        (
            DATABASE.replace('/app"', '/app?sslnegotiation=direct"'),
            ':2: databases.app.primary: sslnegotiation: "direct" needs sslmode=require',
        ),
        (f'[server]\nauth_type = "hba"\n{DATABASE}', ':2: server.auth_type: "hba" needs an auth_hba_file'),
        (
            f'[server]\nauth_type = "hba"\nauth_hba_file = "nowhere"\n{DATABASE}',
            "nowhere: the HBA file can't be read: No such file",
        ),
        (
            f'[server]\nauth_type = "hba"\nauth_hba_file = "bad.hba"\n{DATABASE}',
            "bad.hba:2: 10.0.0.1/8: the address has bits that the mask leaves out\nbad.hba:3: expected a method",
        ),
        (
            f'[server]\nauth_type = "hba"\nauth_hba_file = "good.hba"\nauth_ident_file = "bad.ident"\n{DATABASE}',
            "bad.ident:1: expected three words",
        ),
        (
            f'[server]\nauth_type = "hba"\nauth_hba_file = "good.hba"\nauth_ident_file = "good.ident"\n{DATABASE}',
            "server.client_tls_sslmode: a rule of auth_hba_file that looks at certificates needs TLS",
        ),
        (
            f'[server]\nauth_hba_file = "good.hba"\n{DATABASE}',
            ':2: server.auth_hba_file: has no effect: auth_type is "scram-sha-256"',
        ),
        (f'[server]\nauth_type = "cert"\n{DATABASE}', 'server.client_tls_sslmode: auth_type = "cert" needs TLS'),
        (f'[server]\nauth_query = "select 1"\n{DATABASE}', ":2: server.auth_query: it does not hold $1"),
        (
            f'[server]\nauth_user = "a"\nauth_dbname = "nowhere"\n{DATABASE}',
            ':3: server.auth_dbname: there is no database "nowhere" here',
        ),
        (f'{DATABASE}auth_dbname = "app"\n', ":3: databases.app.auth_dbname: has no effect: there is no auth_user"),
        (
            f'[server]\nproxy_protocol_from = ["10.0.0.1/8"]\n{DATABASE}',
            ":2: server.proxy_protocol_from: expected an array of addresses",
        ),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str, problem: str) -> None:
    authority = (folder / "ca.crt").read_text()
    assert problem.replace("LINE", str(authority.count("\n") + 2)) in problems(folder, text)
