"""Connecting to a server with TLS, as libpq does (fe-connect.c, fe-secure-openssl.c)."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import BACKEND_TLS, BackendError
from interceptor.protocol.startup import SSL_REQUEST_PACKET
from pooler.config.tls import ServerTls, SslNegotiation
from pooler.tls.contexts import ALPN, TlsProblem, server_contexts
from pooler.tls.transport import HandshakeFailed, TlsTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["connect_with_tls"]

_ACCEPTED: Final = b"S"
_REFUSED: Final = b"N"


async def connect_with_tls(
    connect: Callable[[asyncio.Protocol], Awaitable[asyncio.Transport]],
    host: str,
    tls: ServerTls,
    protocol: asyncio.Protocol,
) -> asyncio.Transport:
    """Connect, and give ``protocol`` a transport with TLS, or one without if the server has none and ``tls`` allows it.

    ``connect`` makes the connection itself. Raises OSError, and BackendError if there is no TLS as it is asked for;
    then nothing is left open.
    """
    try:
        context = server_contexts.get(tls)
    except TlsProblem as problem:
        raise BackendError(BACKEND_TLS, f"there can be no TLS: {problem.message}") from None
    answer = _Answer()
    raw: asyncio.Transport | None = None
    try:
        raw = await connect(answer)
        if tls.negotiation is SslNegotiation.POSTGRES:
            raw.write(SSL_REQUEST_PACKET)
            if not await _accepts(answer, tls):
                raw.set_protocol(protocol)
                protocol.connection_made(raw)
                return raw
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_done(failure: HandshakeFailed | None) -> None:
            if done.done():
                return
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        transport = TlsTransport(raw, protocol, context, on_done, server_hostname=_server_name(host))
        transport.start()
        await done
        if tls.negotiation is SslNegotiation.DIRECT and not transport.is_lost:
            if transport.ssl.selected_alpn_protocol() != ALPN:
                raise HandshakeFailed("the server did not choose the protocol postgresql, which direct TLS needs")
        protocol.connection_made(transport)
        return transport
    except HandshakeFailed as failure:
        assert raw is not None
        raw.close()  # and not cut, or the server would not hear why
        raise BackendError(
            BACKEND_TLS,
            f"the TLS handshake failed: {failure}",
            hint="Compare sslmode, sslrootcert, sslcert and the host of the connection string with the server's.",
        ) from None
    except BaseException:
        if raw is not None:
            raw.abort()
        raise


async def _accepts(answer: _Answer, tls: ServerTls) -> bool:
    """Whether the server will have TLS. Raises BackendError if it won't and has to, or if it says anything else."""
    said = await answer.wait()
    if said == _ACCEPTED:
        return True
    if said[:1] == _ACCEPTED:
        # What came with it would be taken for the server's own word (CVE-2021-23222).
        raise BackendError(
            BACKEND_TLS,
            "the server sent unencrypted data after it agreed to TLS",
            detail="This is a bug of the server, or somebody between it and us.",
        )
    if said == _REFUSED:
        if not tls.mode.required:
            return False
        raise BackendError(
            BACKEND_TLS,
            f'the server has no TLS, and sslmode is "{tls.mode.value}"',
            hint="Turn TLS on at the server (ssl = on), or choose another sslmode.",
        )
    if not said:
        raise BackendError(BACKEND_TLS, "the server closed the connection when it was asked for TLS")
    raise BackendError(BACKEND_TLS, "the server answered the question for TLS with something else")


def _server_name(host: str) -> str:
    """A host name without the dot at its end, which no certificate has; an address without its zone."""
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return host.removesuffix(".")


class _Answer(asyncio.Protocol):
    """What a server says to an SSLRequest."""

    def __init__(self) -> None:
        self._said = b""
        self._ended = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an asyncio.Transport by inheritance where uvloop made it, but one in all it does.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._said += data[:2]
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wake()

    def _wake(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> bytes:
        """The first byte, and more if more came with it; nothing if the server has hung up."""
        await self._waiter
        return self._said
