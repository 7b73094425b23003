"""Which servers we take for the one that is meant: by name and address, authority and time, and with direct TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from interceptor.errors import BackendError
from pooler.config.tls import ServerTls, SslMode, SslNegotiation
from pooler.tls.connecting import connect_with_tls
from pooler.tls.contexts import ALPN
from tests.support.certificates import Authority, Identity


@dataclass(frozen=True)
class World:
    """An authority, and the settings that trust it alone."""

    folder: Path
    authority: Authority

    def settings(self, mode: SslMode, negotiation: SslNegotiation = SslNegotiation.POSTGRES) -> ServerTls:
        return ServerTls(mode=mode, ca_file=self.folder / "ca.crt", negotiation=negotiation)

    def server_context(self, identity: Identity) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*identity.write(self.folder, "server"))
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    (folder / "ca.crt").write_bytes(authority.certificate)
    return World(folder, authority)


@asynccontextmanager
async def listening(context: ssl.SSLContext, *, direct: bool = False) -> AsyncIterator[int]:
    """The port of a server with this context, after an SSLRequest or from the first byte on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not direct:
                await reader.readexactly(8)
                writer.write(b"S")
                await writer.start_tls(context)
            await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context if direct else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def protocol_of(port: int, host: str, settings: ServerTls) -> str | None:
    """The protocol that was agreed on inside TLS, with a server that is taken for this host. Raises BackendError."""

    async def connect(protocol: asyncio.Protocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: protocol, "127.0.0.1", port))[0]

    transport = await connect_with_tls(connect, host, settings, asyncio.Protocol())
    chosen = cast("ssl.SSLObject", transport.get_extra_info("ssl_object")).selected_alpn_protocol()
    transport.abort()
    return chosen


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (["db.example"], "db.example"),
        (["db.example"], "DB.Example."),
        (["other.example", "db.example"], "db.example"),
        (["*.corp.example"], "db.corp.example"),
        (["127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
        (["fe80::1"], "fe80::1%eth0"),
        (["db.example", "10.0.0.1"], "10.0.0.1"),
        ([], "common.example"),
    ],
)
async def test_a_server_that_is_meant(world: World, hosts: list[str], host: str) -> None:
    identity = world.authority.issue("common.example", hosts=hosts)
    async with listening(world.server_context(identity)) as port:
        await protocol_of(port, host, world.settings(SslMode.VERIFY_FULL))


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        (["db.example"], "other.example"),
        (["db.example"], "db.example.evil"),
        (["*.corp.example"], "a.db.corp.example"),
        (["*.corp.example"], "corp.example"),
        (["d*.corp.example"], "db.corp.example"),
        (["*.example"], "db.example"),
        (["127.0.0.2"], "127.0.0.1"),
        (["db.example"], "127.0.0.1"),
        (["db.example"], "common.example"),
        ([], "other.example"),
    ],
)
async def test_a_server_that_is_not(world: World, hosts: list[str], host: str) -> None:
    """Of a certificate that names hosts, the common name is none, as in libpq."""
    identity = world.authority.issue("common.example", hosts=hosts)
    async with listening(world.server_context(identity)) as port:
        with pytest.raises(BackendError, match=r"ostname mismatch|IP address mismatch"):
            await protocol_of(port, host, world.settings(SslMode.VERIFY_FULL))
        await protocol_of(port, host, world.settings(SslMode.VERIFY_CA))


@pytest.mark.parametrize("mode", [SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL])
async def test_a_certificate_whose_time_is_over(world: World, mode: SslMode) -> None:
    """``require`` with an authority checks it too, as in libpq; without one nothing is checked."""
    identity = world.authority.issue("db.example", hosts=["db.example"], days=-1)
    async with listening(world.server_context(identity)) as port:
        with pytest.raises(BackendError, match="certificate has expired"):
            await protocol_of(port, "db.example", world.settings(mode))
        await protocol_of(port, "db.example", replace(world.settings(SslMode.REQUIRE), ca_file=None))


async def test_direct_tls_is_for_one_protocol(world: World) -> None:
    """A server that has not heard of it might be any other one, and be made to answer for the wrong one (ALPACA)."""
    identity = world.authority.issue("db.example", hosts=["db.example"])
    settings = world.settings(SslMode.VERIFY_FULL, SslNegotiation.DIRECT)
    context = world.server_context(identity)
    async with listening(context, direct=True) as port:
        with pytest.raises(BackendError, match="did not choose the protocol postgresql"):
            await protocol_of(port, "db.example", settings)
    context.set_alpn_protocols(["h2", ALPN])
    async with listening(context, direct=True) as port:
        assert await protocol_of(port, "db.example", settings) == ALPN
        with pytest.raises(BackendError, match="mismatch"):
            await protocol_of(port, "other.example", settings)
