"""Cancel requests to servers.

A cancel request names a connection, not a query. It is a connection of its own, which the server closes once it has
signalled the backend, so a backend that has one on the way is given to no other client until then: what the signal
hits is what this client runs, or nothing.

Source: PostgreSQL documentation, "Canceling Requests in Progress"; postmaster's SendCancelRequest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from interceptor.protocol.messages import encode_cancel_request
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.backend import Backend
    from pooler.login import BackendAddress

logger = logging.getLogger(__name__)

MAX_CANCELS: Final = 4
"""Cancel requests on the way to one backend. A client that asks more often than that gains nothing by it."""


def cancel_backend(backend: Backend, on_done: Callable[[bool], None] | None = None) -> None:
    """Ask the server to cancel what this backend runs.

    ``on_done`` is called when the server has dealt with that, with whether that is certain.
    """
    if backend.cancels < MAX_CANCELS:
        backend.cancels += 1
        spawn(_cancel(backend, on_done), name=f"cancel {backend.pool}")
    elif on_done is not None:
        on_done(False)


async def send_cancel(address: BackendAddress, process_id: int, secret: bytes, timeout: float) -> bool:
    """Send a cancel request, and wait until the server has dealt with it. False if that is not certain.

    ``timeout`` in seconds, 0 for none.
    """
    hung_up = asyncio.get_running_loop().create_future()
    connection = _CancelConnection(hung_up)
    try:
        async with asyncio.timeout(timeout or None):
            transport = await address.connect(connection)
            transport.write(encode_cancel_request(process_id, secret))
            await hung_up
        return True
    except OSError as error:  # a time-out is one too
        logger.warning("cancel request to %s failed: %s", address, str(error) or "no answer")
        return False
    finally:
        connection.abort()


async def _cancel(backend: Backend, on_done: Callable[[bool], None] | None) -> None:
    certain = False
    try:
        timeout = backend.pool.settings.cancel_wait_timeout
        certain = await send_cancel(backend.address, backend.process_id, backend.secret, timeout)
    finally:
        backend.cancels -= 1
        backend.pool.on_cancel_ended(backend, certain=certain)
        if on_done is not None:
            on_done(certain)


class _CancelConnection(asyncio.Protocol):
    def __init__(self, hung_up: asyncio.Future[None]) -> None:
        self._hung_up = hung_up
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an asyncio.Transport by inheritance where uvloop made it, but one in all it does.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._hung_up.done():
            self._hung_up.set_result(None)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
