"""Every hook. docs/reference/hooks.md says of each when it is called, what it gets and returns, and what it costs.

The first six are plan hooks: plain functions, called once for each text and class of sessions, in this order of phases.
Names that are verbs may change what happens; names in the past tense observe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Iterable
from typing import TYPE_CHECKING

from interceptor.hooks.declare import hookspec

if TYPE_CHECKING:
    from interceptor.hooks.decisions import Block, Planned
    from interceptor.hooks.observing import Observer
    from interceptor.hooks.statement import Session, SessionClass, Statement
    from interceptor.services import Backend, ConsoleCommand, HttpRoute, Trial

__all__ = [
    "admit",
    "backend_closed",
    "backend_connected",
    "cache",
    "catalogue_changed",
    "check",
    "classify_session",
    "connection_closed",
    "connection_opened",
    "console_commands",
    "guard",
    "http_routes",
    "observe",
    "rewrite",
    "route",
    "session_changed",
    "start_node",
    "start_worker",
    "stop_node",
    "stop_worker",
    "targets_changed",
    "transaction_ended",
    "virtual",
]

# --- Plan hooks, in the order of phases --------------------------------------------------------------------------


@hookspec
def guard(statement: Statement, session: SessionClass) -> Planned:
    """Refuse a statement, delay it, or let it pass under conditions."""


@hookspec
def virtual(statement: Statement, session: SessionClass) -> Planned:
    """Answer a statement from somewhere that is no table, or rewrite it so that PostgreSQL can."""


@hookspec
def rewrite(statement: Statement, session: SessionClass) -> Planned:
    """Put another statement in its place."""


@hookspec
def cache(statement: Statement, session: SessionClass) -> Planned:
    """Answer a statement with what PostgreSQL answered before."""


@hookspec
def route(statement: Statement, session: SessionClass) -> Planned:
    """Choose the target that runs a statement."""


@hookspec
def observe(statement: Statement, session: SessionClass) -> Observer | None:
    """Name an observer for the executions of a statement."""


# --- Sessions ----------------------------------------------------------------------------------------------------


@hookspec
def admit(session: Session) -> Block | Awaitable[Block | None] | None:
    """Refuse a session after its login, or after a setting changed on which reading SQL rests."""


@hookspec
def classify_session(session: Session) -> Hashable:
    """Boil a session down to a small value that plans may rest on."""


@hookspec
def connection_opened(session: Session) -> None:
    """A client has logged in and was admitted."""


@hookspec
def connection_closed(session: Session, seconds: float) -> None:
    """A client that had been admitted is gone. Once for each ``connection_opened``."""


@hookspec
def session_changed(session: Session) -> None:
    """The role, the search_path or another tracked setting of a session is different, or not known any more."""


@hookspec
def transaction_ended(session: Session, committed: bool) -> None:
    """A transaction has ended, explicit or implicit; the client has not been told yet."""


# --- Servers -----------------------------------------------------------------------------------------------------


@hookspec
def backend_connected(backend: Backend) -> None:
    """A connection to a server is ready for its first client."""


@hookspec
def backend_closed(backend: Backend) -> None:
    """A connection to a server is gone. Once for each ``backend_connected``."""


@hookspec
def targets_changed(database: str) -> None:
    """The targets of a database are others than before, or one of them is up, down, or the primary."""


@hookspec
def catalogue_changed(database: str, version: int) -> None:
    """Names of a database may mean something else. Its plans have been forgotten already."""


# --- Life of the plugin ------------------------------------------------------------------------------------------


@hookspec
def start_node() -> Awaitable[None] | None:
    """Start what exists once per node. Runs in the control process, before clients are let in."""


@hookspec
def stop_node() -> Awaitable[None] | None:
    """End what ``start_node`` started."""


@hookspec
def start_worker() -> Awaitable[None] | None:
    """Start what exists in each worker. All plugins are made; no client is let in yet."""


@hookspec
def stop_worker() -> Awaitable[None] | None:
    """End what ``start_worker`` started. No statement of this instance's plans runs any more."""


# --- What a plugin adds to the server ------------------------------------------------------------------------------


@hookspec
def console_commands() -> Iterable[ConsoleCommand]:  # type: ignore[empty-body]
    """Name commands for the admin console."""


@hookspec
def http_routes() -> Iterable[HttpRoute]:  # type: ignore[empty-body]
    """Name routes for the HTTP server."""


@hookspec
def check(trial: Trial) -> Iterable[str]:  # type: ignore[empty-body]
    """Look for what is wrong with the plugin's own files, for ``interceptor check``."""
