"""Logins against real servers and by real clients.

The listener here is no more than the login: what a client sends after it is not answered, except for its farewell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from struct import unpack
from typing import cast

import asyncpg
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from interceptor.errors import BackendError, ClientError
from interceptor.protocol.messages import (
    AUTHENTICATION_OK,
    ERROR_RESPONSE,
    PARAMETER_STATUS,
    READY,
    decode_error_fields,
    encode_backend_key_data,
    encode_failure,
    encode_message,
    encode_startup,
)
from interceptor.protocol.scram_keys import decode_verifier, derive_keys
from interceptor.testing.postgres import PostgresServer
from pooler.auth import (
    Accepted,
    AuthType,
    BackendCredential,
    BackendLogin,
    ClientLogin,
    KeyCache,
    LoginSettings,
    Md5Hash,
    PlainPassword,
    ScramKeys,
    Send,
    UserList,
    Work,
)

PASSWORD = 'päss "word" \u2168'
METHODS = {"user_password": "password", "user_md5": "md5", "user_scram": "scram-sha-256"}


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server that asks each of three users for its password in another way."""
    hba = [f"host all {user} 127.0.0.1/32 {method}" for user, method in METHODS.items()]
    with PostgresServer.start(request.param, hba=hba) as started:
        with psycopg.connect(started.dsn(), autocommit=True) as connection:
            for user, method in METHODS.items():
                connection.execute(f"set password_encryption = '{'md5' if method == 'md5' else 'scram-sha-256'}'")
                connection.execute(
                    sql.SQL("create role {} login password {}").format(sql.Identifier(user), sql.Literal(PASSWORD))
                )
            connection.execute("create role user_trust login")
        yield started


def stored_password(server: PostgresServer, user: str) -> bytes:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute("select rolpassword from pg_authid where rolname = %s", [user]).fetchone()
    assert row is not None
    return cast(str, row[0]).encode()


# --- our login to a real server --------------------------------------------------------------------------------------


async def read_message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind, length = unpack("!BI", await reader.readexactly(5))
    return kind, await reader.readexactly(length - 4)


async def log_in_to(
    server: PostgresServer, user: str, credential: BackendCredential | None, keys: KeyCache | None = None
) -> None:
    """Log in with BackendLogin alone. Raises BackendError, and ConnectionRefusedError with the server's words."""
    login = BackendLogin(user, credential, KeyCache() if keys is None else keys)
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        writer.write(encode_startup({"user": user, "database": "postgres"}))
        while not login.done:
            kind, body = await read_message(reader)
            if kind == ERROR_RESPONSE:
                raise ConnectionRefusedError(decode_error_fields(body)["M"])
            step = login.receive(body)
            if isinstance(step, Work):
                step = login.resume(await asyncio.to_thread(step.function))
            if isinstance(step, Send):
                writer.write(step.data)
        while kind != ord("Z"):
            kind, body = await read_message(reader)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("user", [*METHODS, "user_trust"])
async def test_the_password_logs_in_whatever_the_server_asks_for(server: PostgresServer, user: str) -> None:
    await log_in_to(server, user, PlainPassword(PASSWORD.encode()))


async def test_a_second_login_needs_no_derivation(server: PostgresServer) -> None:
    keys = KeyCache()
    for _ in range(2):
        await log_in_to(server, "user_scram", PlainPassword(PASSWORD.encode()), keys)
    assert len(keys) == 1


async def test_a_stored_md5_hash_logs_in(server: PostgresServer) -> None:
    await log_in_to(server, "user_md5", Md5Hash(stored_password(server, "user_md5")))


@pytest.mark.parametrize("user", METHODS)
async def test_a_wrong_password_is_the_servers_to_refuse(server: PostgresServer, user: str) -> None:
    with pytest.raises(ConnectionRefusedError, match=f'password authentication failed for user "{user}"'):
        await log_in_to(server, user, PlainPassword(b"wrong"))


async def test_without_a_password_nothing_is_tried(server: PostgresServer) -> None:
    with pytest.raises(BackendError, match="no password is known for this user"):
        await log_in_to(server, "user_scram", None)


# --- SASLprep and the verifier, against the server's own -------------------------------------------------------------


@pytest.fixture(scope="module")
def administrator(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("set scram_iterations = 2")
        yield connection


@settings(max_examples=150, deadline=None)
@given(
    password=st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
        # Where SASLprep has work to do: mapped, composed, prohibited, right to left, unassigned in Unicode 3.2.
        st.text("a \u00a0\u00ad\u0340e\u0301\u2168\u0627\u0628\u0221\ufb2f\ue000\U0001f600", min_size=1, max_size=6),
    )
)
def test_postgresql_derives_the_same_keys_from_any_password(administrator: psycopg.Connection, password: str) -> None:
    administrator.execute(sql.SQL("alter role user_trust password {}").format(sql.Literal(password)))
    row = administrator.execute("select rolpassword from pg_authid where rolname = 'user_trust'").fetchone()
    assert row is not None
    verifier = decode_verifier(row[0].encode())
    keys = derive_keys(password.encode(), verifier.salt, verifier.iterations)
    assert (keys.stored_key, keys.server_key) == (verifier.stored_key, verifier.server_key)


# --- real clients log in to us ---------------------------------------------------------------------------------------


@dataclass
class Listener:
    """A loopback server that speaks the login and no more."""

    settings: LoginSettings
    users: UserList
    port: int = 0
    credentials: list[BackendCredential | None] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._log_in(reader, writer)
        except ClientError as error:
            writer.write(encode_failure(error))
        except asyncio.IncompleteReadError:
            pass  # a client that has no password hangs up
        finally:
            writer.close()

    async def _log_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parameters = await self._read_startup(reader, writer)
        login = ClientLogin(parameters["user"], self.users.get(parameters["user"]), self.settings)
        step = login.start()
        while not isinstance(step, Accepted):
            if isinstance(step, Work):
                step = login.resume(await asyncio.to_thread(step.function))
            else:
                writer.write(step.data)
                step = login.receive(*await read_message(reader))
        self.credentials.append(step.backend_credential)
        writer.write(step.data + AUTHENTICATION_OK + encode_message(PARAMETER_STATUS, b"server_version\x0018.0\0"))
        writer.write(encode_message(PARAMETER_STATUS, b"client_encoding\0UTF8\0"))
        writer.write(encode_backend_key_data(1, b"1234"))
        writer.write(READY[ord("I")])
        await reader.read()

    async def _read_startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, str]:
        while True:
            length, code = unpack("!II", await reader.readexactly(8))
            if code >> 16 == 3:
                words = (await reader.readexactly(length - 8)).decode().split("\0")
                return dict(zip(words[:-2:2], words[1:-2:2], strict=True))
            writer.write(b"N")


@asynccontextmanager
async def listening(auth_type: AuthType, users: UserList) -> AsyncIterator[Listener]:
    listener = Listener(LoginSettings(auth_type, b"a secret for testing", users.shapes), users)
    async with await asyncio.start_server(listener.serve, "127.0.0.1", 0) as tcp_server:
        listener.port = tcp_server.sockets[0].getsockname()[1]
        yield listener


async def connect_by_libpq(port: int, user: str, password: str) -> None:
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname="postgres"
    )
    await connection.close()


async def connect_by_asyncpg(port: int, user: str, password: str) -> None:
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user=user, password=password, database="postgres")
    connection.terminate()


Connect = Callable[[int, str, str], Awaitable[None]]
REFUSALS = (psycopg.OperationalError, asyncpg.InvalidPasswordError)


def user_file(server: PostgresServer) -> UserList:
    """A plain entry for ``user_password`` and the server's own secrets for the others."""
    entries = {"user_password": PASSWORD.encode()}
    entries |= {user: stored_password(server, user) for user in ("user_md5", "user_scram")}
    quoted = {user: secret.replace(b'"', b'""') for user, secret in entries.items()}
    return UserList.parse(b"".join(b'"%b" "%b"\n' % (user.encode(), secret) for user, secret in quoted.items()), "")


@pytest.fixture(params=[connect_by_libpq, connect_by_asyncpg], ids=["libpq", "asyncpg"])
def connect(request: pytest.FixtureRequest) -> Connect:
    return cast(Connect, request.param)


@pytest.mark.parametrize(
    ("auth_type", "user", "kind"),
    [
        ("trust", "user_password", PlainPassword),
        ("trust", "user_scram", type(None)),
        ("trust", "nobody", type(None)),
        ("password", "user_password", PlainPassword),
        ("password", "user_md5", PlainPassword),
        ("password", "user_scram", PlainPassword),
        ("md5", "user_password", PlainPassword),
        ("md5", "user_md5", Md5Hash),
        ("md5", "user_scram", ScramKeys),
        ("scram-sha-256", "user_password", PlainPassword),
        ("scram-sha-256", "user_scram", ScramKeys),
    ],
)
async def test_a_client_logs_in_and_so_do_we_with_what_it_gave(
    server: PostgresServer, connect: Connect, auth_type: AuthType, user: str, kind: type[object]
) -> None:
    async with listening(auth_type, user_file(server)) as listener:
        await connect(listener.port, user, PASSWORD)
    (credential,) = listener.credentials
    assert isinstance(credential, kind)
    if credential is not None:
        await log_in_to(server, user, credential)


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
@pytest.mark.parametrize("user", [*METHODS, "nobody"])
async def test_a_wrong_password_is_refused_in_postgresqls_words(
    server: PostgresServer, connect: Connect, auth_type: AuthType, user: str
) -> None:
    async with listening(auth_type, user_file(server)) as listener:
        with pytest.raises(REFUSALS, match=f'password authentication failed for user "{user}"'):
            await connect(listener.port, user, "wrong")
    assert listener.credentials == []


async def test_libpq_finds_that_we_are_the_server_that_it_wants(server: PostgresServer) -> None:
    """It checks our signature: a server that only says yes is refused."""
    users = user_file(server)
    verifier = decode_verifier(stored_password(server, "user_scram"))
    impostor = UserList(
        {"user_scram": type(verifier)(verifier.salt, verifier.iterations, verifier.stored_key, bytes(32))}
    )
    assert users.get("user_scram") == verifier
    async with listening("scram-sha-256", impostor) as listener:
        with pytest.raises(psycopg.OperationalError, match="server signature"):
            await connect_by_libpq(listener.port, "user_scram", PASSWORD)


async def test_keys_of_a_changed_password_are_refused(server: PostgresServer) -> None:
    keys = derive_keys(PASSWORD.encode(), b"a salt of long ago", 4096)
    with pytest.raises(BackendError, match="not the server's own"):
        await log_in_to(server, "user_scram", keys)
