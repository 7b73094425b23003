"""One database's helper connection: opened when somebody asks, closed when nobody does, and patient with its server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from interceptor.errors import HELPER_QUERY, SHUTTING_DOWN, BackendError
from interceptor.services import HelperQueries, Parameter, Row
from pooler.auth import BackendCredential, KeyCache
from pooler.config import PoolSettings
from pooler.helpers.connection import HelperConnection
from pooler.hosts.names import is_name, names
from pooler.login import log_in
from pooler.tasks import spawn

__all__ = ["Helper", "HelperSettings", "HelperState", "HelperStats"]

logger = logging.getLogger(__name__)

_FIRST_RETRY: Final = 0.5
"""Seconds after a failed login in which no other is tried; doubled each time, up to ``server_login_retry``."""

_ALLOWANCE: Final = 2.0
"""Seconds that a server has beyond statement_timeout before we no longer believe that it will answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperSettings:
    """How one helper behaves. Durations in seconds."""

    application_name: str = "interceptor helper"
    statement_timeout: float = 30.0
    """For each statement, and for each page of its rows."""
    idle_timeout: float = 60.0
    """The connection is closed when it was not used for so long."""
    read_only: bool = True
    search_path: str | None = None
    """None: the role's own."""


class HelperState(Enum):
    """Where the connection is."""

    CLOSED = "closed"
    CONNECTING = "connecting"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(slots=True)
class HelperStats:
    """What has happened since the helper was made."""

    logins: int = 0
    login_failures: int = 0
    queries: int = 0
    query_failures: int = 0


class Helper:
    """Implements ``HelperQueries`` over one connection. Who asks waits for those who asked before."""

    def __init__(
        self,
        settings: PoolSettings,
        credential: Callable[[], BackendCredential | None],
        keys: KeyCache,
        helper: HelperSettings | None = None,
    ) -> None:
        """``settings``: where, and as whom. ``credential`` is asked at each login."""
        self.settings = settings
        self.helper = helper or HelperSettings()
        self.stats = HelperStats()
        self.state = HelperState.CLOSED
        self.last_error: BackendError | None = None
        """Why the last login failed; None once one has succeeded."""
        self._credential = credential
        self._keys = keys
        self._connection: HelperConnection | None = None
        self._moved = False
        """Its connection is to another server than it is to ask."""
        self._closing: set[HelperConnection] = set()
        self._turn = asyncio.Lock()
        self._closed = False
        self._retry_at = 0.0
        self._retry_after = _FIRST_RETRY
        self._idle_timer: asyncio.TimerHandle | None = None

    def __str__(self) -> str:
        return f"{self.helper.application_name} of {self.settings.database}/{self.settings.user}"

    @property
    def size(self) -> int:
        """Connections to the server: from the start of the login until the server has hung up."""
        connecting = self.state is HelperState.CONNECTING
        return connecting + (self._connection is not None) + len(self._closing)

    @property
    def connection_lost(self) -> bool:
        """The connection has ended by itself, and nobody has asked since."""
        return self._connection is not None and self._connection.closed

    # --- HelperQueries -----------------------------------------------------------------------------------------------

    async def query(self, sql: str, *parameters: Parameter) -> list[Row]:
        async with self._use() as connection:
            return await self._run(connection, sql, parameters)

    async def pages(self, sql: str, *parameters: Parameter, size: int = 500) -> AsyncGenerator[list[Row], None]:
        async with self._use() as connection, aclosing(self._run_pages(connection, sql, parameters, size)) as pages:
            async for page in pages:
                yield page

    def snapshot(self) -> AbstractAsyncContextManager[HelperQueries]:
        return self._snapshot()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[HelperQueries]:
        async with self._use() as connection:
            await self._run(connection, "begin isolation level repeatable read, read only", ())
            try:
                yield _Inside(self, connection)
            finally:
                # Whether it went well or not: nothing was written.
                if not connection.closed:
                    await self._run(connection, "rollback", ())

    def move_to(self, settings: PoolSettings) -> None:
        """Ask another server from now on. What runs is ended there."""
        self.settings = settings
        self.last_error = None
        self._retry_at = 0.0
        self._moved = True
        if not self._turn.locked():
            self._close_connection()

    # --- Life --------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connection, for good, and wait until the server has hung up. Whoever asks now gets an error."""
        self._closed = True
        if self._turn.locked() and self._connection is not None:
            self._connection.abort()
        async with self._turn:
            self._close_connection()
        while self._closing:
            await next(iter(self._closing)).wait_closed()
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _use(self) -> AsyncIterator[HelperConnection]:
        async with self._turn:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            connection = await self._connected()
            self.state = HelperState.BUSY
            try:
                yield connection
            finally:
                if connection.closed or connection.in_transaction:
                    self._close_connection()
                else:
                    self.state = HelperState.IDLE
                    loop = asyncio.get_running_loop()
                    self._idle_timer = loop.call_later(self.helper.idle_timeout, self._on_idle)

    async def _run(self, connection: HelperConnection, sql: str, parameters: tuple[Parameter, ...]) -> list[Row]:
        rows: list[Row] = []
        async with aclosing(self._run_pages(connection, sql, parameters, 0)) as pages:
            async for page in pages:
                rows += page
        return rows

    async def _run_pages(
        self, connection: HelperConnection, sql: str, parameters: tuple[Parameter, ...], size: int
    ) -> AsyncGenerator[list[Row], None]:
        self.stats.queries += 1
        timeout = self.helper.statement_timeout + _ALLOWANCE if self.helper.statement_timeout else 0.0
        try:
            async with aclosing(connection.pages(sql, parameters, size, timeout)) as pages:
                async for page in pages:
                    yield page
        except BackendError as error:
            self.stats.query_failures += 1
            if error.failure is not HELPER_QUERY:
                logger.warning("%s: %s", self, error)
            raise

    async def _connected(self) -> HelperConnection:
        if self._connection is not None and not self._connection.closed and not self._moved and not self._has_left():
            return self._connection
        self._moved = False
        self._close_connection()
        if self._closed:
            raise BackendError(SHUTTING_DOWN, f"the {self} is closed")
        loop = asyncio.get_running_loop()
        if self.last_error is not None and loop.time() < self._retry_at:
            raise self.last_error
        self.state = HelperState.CONNECTING
        try:
            logged_in = await log_in(self.settings, self._parameters(), self._credential(), self._keys)
        except BackendError as error:
            self.stats.login_failures += 1
            self.last_error = error
            self._retry_at = loop.time() + self._retry_after
            self._retry_after = min(2 * self._retry_after, max(self.settings.server_login_retry, _FIRST_RETRY))
            logger.warning("login of %s failed: %s", self, error)
            raise
        finally:
            self.state = HelperState.CLOSED
        self.stats.logins += 1
        self.last_error = None
        self._retry_after = _FIRST_RETRY
        self._connection = HelperConnection(logged_in)
        return self._connection

    def _has_left(self) -> bool:
        """Whether the name of its host has other addresses by now. Has it looked up again where that is due."""
        assert self._connection is not None
        address = self._connection.address
        if not is_name(address.host):
            return False
        names.refresh(address.host, self.settings.dns_max_ttl, self.settings.dns_nxdomain_ttl)
        return names.has_left(address.host, address.ip)

    def _parameters(self) -> dict[str, str]:
        helper = self.helper
        milliseconds = str(int(helper.statement_timeout * 1000))
        parameters = {
            **dict(self.settings.parameters),
            "application_name": helper.application_name,
            "client_encoding": "UTF8",
            "DateStyle": "ISO",
            "IntervalStyle": "postgres",
            "bytea_output": "hex",
            "extra_float_digits": "1",
            "statement_timeout": milliseconds,
            # Should we stop in the middle of a transaction, the server need not keep old rows for us for long.
            "idle_in_transaction_session_timeout": milliseconds,
            "default_transaction_read_only": "on" if helper.read_only else "off",
        }
        if helper.search_path is not None:
            parameters["search_path"] = helper.search_path
        return parameters

    def _on_idle(self) -> None:
        self._idle_timer = None
        if not self._turn.locked():
            self._close_connection()

    def _close_connection(self) -> None:
        connection = self._connection
        self._connection = None
        self.state = HelperState.CLOSED
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if connection is not None:
            connection.close()
            self._closing.add(connection)
            spawn(self._await_end(connection), name=f"end of {self}")

    async def _await_end(self, connection: HelperConnection) -> None:
        try:
            await connection.wait_closed()
        finally:
            self._closing.discard(connection)


class _Inside:
    """``HelperQueries`` within a transaction: its caller has the turn already."""

    def __init__(self, helper: Helper, connection: HelperConnection) -> None:
        self._helper = helper
        self._connection = connection

    async def query(self, sql: str, *parameters: Parameter) -> list[Row]:
        return await self._helper._run(self._connection, sql, parameters)

    def pages(self, sql: str, *parameters: Parameter, size: int = 500) -> AsyncGenerator[list[Row], None]:
        return self._helper._run_pages(self._connection, sql, parameters, size)

    def snapshot(self) -> AbstractAsyncContextManager[HelperQueries]:
        raise AssertionError("snapshot() inside of snapshot()")
