"""One connection to a PostgreSQL server, from the end of its login to the end of its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_LOST, BACKEND_PROTOCOL, BackendError, ClientError, ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.session import BackendSession
from interceptor.session.probe import ask_for_all
from pooler.cancel import cancel_backend
from pooler.login import MAX_LOGIN_MESSAGE, LoggedIn
from pooler.metrics.counting import count_error
from pooler.numbering import next_number
from pooler.writing import direct_writer

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.pool import Pool
    from pooler.waiting import Profile

logger = logging.getLogger(__name__)


RETIRED: Final = -inf
"""As ``Backend.expires_at``: it has been asked to go."""


class BackendState(Enum):
    """Where a backend is. Each state is a container of its pool, and ``Pool.move`` is the only door between them."""

    IDLE = "idle"
    ACTIVE = "active"
    TESTED = "tested"
    """It runs server_check_query."""
    RESET = "reset"
    """It runs server_reset_query."""
    BEING_CANCELED = "being_canceled"
    """A cancel request that was meant for its last client may still be on the way."""
    CLOSING = "closing"
    """We said goodbye; the server has not hung up yet, so its connection still counts."""
    GONE = "gone"
    """The connection has ended. The only state that is no container: nobody counts these."""


class Backend(asyncio.Protocol):
    """A backend of a pool. Implements ``BackendHost`` for its session."""

    __slots__ = (
        "address",
        "began_at",
        "cancels",
        "client",
        "connected_at",
        "drained",
        "ended",
        "expires_at",
        "housekeeping",
        "housekeeping_rows",
        "is_full",
        "may_fail",
        "number",
        "pool",
        "process_id",
        "profile",
        "reported_at_login",
        "rest_seconds",
        "rested_at",
        "secret",
        "session",
        "since",
        "state",
        "stats",
        "transaction_since",
        "transport",
        "used",
        "watched",
        "watched_since",
        "watched_transactions",
        "worked_at",
        "write",
    )

    def __init__(self, pool: Pool, logged_in: LoggedIn, profile: Profile) -> None:
        self.pool = pool
        self.stats = pool.stats
        self.number = next_number()
        self.profile = profile
        self.address = logged_in.address
        self.reported_at_login = logged_in.welcome.reported
        self.process_id = logged_in.process_id
        self.secret = logged_in.secret
        self.transport = logged_in.transport
        self.write = direct_writer(logged_in.transport)
        self.session = BackendSession(
            self,
            logged_in.welcome.reported,
            pool.settings.max_prepared_statements or 1,
            pool.custom_names,
            pool.settings.target,
        )
        self.client: ClientConnection | None = None
        self.is_full = False
        """It does not read as fast as it is sent to."""
        self.drained: asyncio.Future[None] | None = None
        """What waits until it has."""
        self.housekeeping: FrameBuffer | None = None
        self.housekeeping_rows: list[bytes] | None = None
        """Those of a query of our own whose answer counts."""
        self.may_fail = False
        self.state = BackendState.IDLE
        self.used = False
        """It has had a client."""
        self.ended = False
        """The server has ended the connection."""
        self.cancels = 0
        """Cancel requests that are on the way to it."""

        # Seconds of the pool's clock
        self.expires_at = pool.clock.now + pool.settings.server_lifetime
        self.since = pool.clock.now
        """``since``: when it came into its state; not kept for ACTIVE, which it enters for each transaction."""
        self.transaction_since = self.since
        self.connected_at = self.began_at = self.since
        """``began_at``: when its last transaction began."""
        self.worked_at = self.since
        """Since when something was under way, last."""
        self.rested_at = 0.0
        """Since when its client keeps it with nothing under way; 0 while something is, or it has no client."""
        self.rest_seconds = 0.0
        """Of its transaction, as far as nothing was under way."""
        self.watched: tuple[int, bool] | None = None
        """What the janitor saw last: how many queries were answered, and whether one was running."""
        self.watched_transactions = 0
        self.watched_since = self.since

    def __str__(self) -> str:
        return f"backend {self.process_id} of {self.pool}"

    def log_fields(self) -> Mapping[str, str | int]:
        """As ``LogSubject``."""
        return {"backend": self.process_id, **self.pool.log_fields()}

    # --- asyncio -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is not None:
            self.stats.sent += len(data)
            try:
                self.session.feed(data)
            except ClientError as error:
                # What waited for this answer can't be acted on.
                client.on_failed(error)
            if self.client is client and not self.session.owed:
                self._rest()
        else:
            self._on_data_without_client(data)

    def pause_writing(self) -> None:
        self.is_full = True
        if self.client is not None:
            self.client.on_backend_full()

    def resume_writing(self) -> None:
        self._end_drain()
        if self.client is not None:
            self.client.on_backend_drained()

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_drain()
        self.pool.on_backend_lost(self, exc)

    def _end_drain(self) -> None:
        self.is_full = False
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    # --- BackendHost ---------------------------------------------------------------------------------------------

    def cancel(self, on_done: Callable[[bool], None]) -> None:
        cancel_backend(self, on_done)

    async def drain(self) -> None:
        while self.is_full:
            self.drained = asyncio.get_running_loop().create_future()
            await self.drained
        self.drained = None

    def release(self) -> None:
        self._forget_client()
        self.pool.release(self)

    def on_failed(self, error: BackendError) -> None:
        client = self.client
        logger.error("%s: %s", self, error)
        self.close()
        if client is not None:
            client.on_backend_failed(error, told=self.session.streaming > 0)

    def on_error(self, sqlstate: bytes) -> None:
        count_error(self.pool.errors, sqlstate.decode("ascii", "replace"))

    # --- Life ----------------------------------------------------------------------------------------------------

    def link(self, client: ClientConnection) -> BackendSession:
        """Work for this client. The caller moves the backend to ACTIVE."""
        self.client = client
        client.backend = self
        self.used = True
        self.transaction_since = self.pool.clock.now
        self.began_at = self.worked_at = monotonic()
        self.rested_at = 0.0
        self.stats.assignments += 1
        self.watched = None
        if client.slow:
            self.transport.pause_reading()
        self.session.link(client.session)
        return self.session

    def _rest(self) -> None:
        """Its client keeps it, and nothing is under way."""
        if not self.rested_at:
            self.rested_at = now = monotonic()
            if self.session.reusable:
                self.stats.transaction_seconds += now - self.began_at
                self.note_times(now)
            elif self.pool.times is not None:
                self.pool.times.queries.observe(now - self.worked_at)

    def on_request(self) -> None:
        """The client that keeps it says something again, perhaps after it has rested."""
        if self.rested_at:
            self.worked_at = now = monotonic()
            if self.session.reusable:
                self.began_at = now
            else:
                self.rest_seconds += now - self.rested_at
            self.rested_at = 0.0

    def note_times(self, now: float) -> None:
        """A transaction is over, which counts already: how long it took, and how much of that was rest."""
        times = self.pool.times
        if times is not None:
            times.transactions.observe(now - self.began_at)
            times.queries.observe(now - self.worked_at)
        if self.rest_seconds:
            self.stats.rest_seconds += self.rest_seconds
            self.rest_seconds = 0.0

    def unlink(self) -> None:
        """Work for nobody."""
        if self.client is not None:
            self._forget_client()
        self.session.unlink()

    def _forget_client(self) -> None:
        client = self.client
        assert client is not None
        self.client = None
        if client.slow and not self.transport.is_closing():
            self.transport.resume_reading()
        client.on_backend_unlinked()

    @property
    def close_needed(self) -> bool:
        """It is closed as soon as its client gives it back."""
        return self.expires_at == RETIRED

    def retire(self) -> None:
        """Close it now, or as soon as nobody uses it."""
        if self.state is BackendState.IDLE:
            self.close()
        else:
            self.expires_at = RETIRED

    def look_around(self) -> None:
        """Find out what its session has after connect_query; ``on_backend_ready`` follows."""
        self.housekeeping_rows = []
        self.housekeeping = FrameBuffer(MAX_LOGIN_MESSAGE)
        self.write(ask_for_all((), self.session.login_role, statements=False, base_role=True))

    def run_housekeeping(self, sql: str, state: BackendState, *, may_fail: bool = False) -> None:
        """Run a query of our own; the pool hears of its end. Its rows are dropped.

        An error is logged, and closes the backend unless it ``may_fail``.
        """
        assert self.client is None
        self.pool.move(self, state)
        self.may_fail = may_fail
        self.since = self.pool.clock.now
        self.housekeeping = FrameBuffer(MAX_LOGIN_MESSAGE)
        self.write(messages.encode_query(sql))

    def close(self) -> None:
        """Say goodbye. The connection counts until the server has hung up, for only then is its place free."""
        if self.state in (BackendState.CLOSING, BackendState.GONE):
            return
        self.unlink()
        self.housekeeping = None
        self.pool.move(self, BackendState.CLOSING)
        self.since = self.pool.clock.now
        if not self.transport.is_closing():
            self.transport.resume_reading()
            if not self.session.broken_off:
                self.write(messages.TERMINATE_MESSAGE)
            # Behind half a message a Terminate would be read as its other half, and perhaps make it whole: there the
            # end of the stream has to do alone.
            self.transport.write_eof()

    def lost_error(self, exc: Exception | None) -> BackendError:
        """What the client is told whose backend went away."""
        return BackendError(
            BACKEND_LOST,
            f'the connection to the server of database "{self.pool.settings.database}" at {self.address} was lost'
            f"{f' ({exc})' if exc else ''} while it worked for this client",
            detail="What was under way may or may not have been done; an open transaction is rolled back.",
            hint="Connect again.",
        )

    def _on_data_without_client(self, data: bytes) -> None:
        if self.state is BackendState.CLOSING:
            return
        if self.housekeeping is None:
            # A setting that changed, a shutdown, or an answer too many: in each case it is not what the next client
            # expects.
            logger.info("%s spoke unasked and is closed", self)
            self.close()
            return
        self.housekeeping.feed(data)
        try:
            while (frame := self.housekeeping.next_frame()) is not None:
                if not self._on_housekeeping_frame(*frame):
                    return
        except ProtocolViolation as error:
            self.on_failed(BackendError(BACKEND_PROTOCOL, error.message))

    def _on_housekeeping_frame(self, kind: int, body: bytes) -> bool:
        """False once the query has ended."""
        if kind == messages.ERROR_RESPONSE:
            text = messages.decode_error_fields(body).get("M", "")
            query = self.state.value
            logger.warning("%s failed its %s query: %s", self, query, text)
            if not self.may_fail:
                self.close()
            return self.may_fail
        if kind == messages.COMMAND_COMPLETE:
            self.session.on_own_tag(body)
        elif kind == messages.READY_FOR_QUERY:
            assert self.housekeeping is not None
            said_more = self.housekeeping.size > 0
            self.housekeeping = None
            if body == b"I" and not said_more:
                if self.housekeeping_rows is not None:
                    self.session.on_prepared_for_clients(self.housekeeping_rows)
                    self.housekeeping_rows = None
                elif self.may_fail:
                    self.may_fail = False
                    self.look_around()
                    return False
                if self.state is BackendState.RESET:
                    query = self.pool.settings.server_reset_query
                    self.session.on_reset(everything=query.strip(" ;").upper() == "DISCARD ALL")
                self.pool.on_backend_ready(self)
            else:
                self.close()
            return False
        if kind == messages.DATA_ROW and self.housekeeping_rows is not None:
            self.housekeeping_rows.append(body)
        elif kind == messages.PARAMETER_STATUS:
            name, position = messages.decode_cstring(body, 0)
            self.session.reported = self.session.reported.changed(name, messages.decode_cstring(body, position)[0])
        return True
