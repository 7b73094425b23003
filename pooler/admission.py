"""The end of a login: the client is who it says, and is let in once its server has said what it says at login."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from interceptor.errors import BackendError
from interceptor.hooks.statement import Session
from interceptor.protocol import messages
from interceptor.protocol.rows import encode_error_fields
from interceptor.protocol.startup import PROTOCOL_3_2
from interceptor.session import ClientSession, PoolMode
from interceptor.session.interception import Interception
from pooler.client_socket import ClientState
from pooler.plugins import SessionRefused
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.config import PoolSettings
    from pooler.login import Welcome
    from pooler.pool import Pool
    from pooler.waiting import Profile

logger = logging.getLogger(__name__)


SECRET_BYTES: Final = {False: 4, True: 32}
"""Length of a client's cancel key: before protocol 3.2, and from it on (PostgreSQL 18's MAX_CANCEL_KEY_LENGTH)."""


def on_authenticated(
    client: ClientConnection, pool: Pool, settings: PoolSettings, profile: Profile, protocol: int
) -> None:
    """The client is who it says; what is missing is what its server says at login."""
    client.pool = client.asked = pool
    client.stats = pool.stats
    client.settings = settings
    client.profile = profile
    client.secret = secrets.token_bytes(SECRET_BYTES[protocol >= PROTOCOL_3_2])
    client.state = ClientState.WELCOME
    pool.clients.add(client)
    try:
        welcome = pool.await_welcome(client)
    except BackendError as error:
        client.on_backend_failed(error)
        return
    if welcome is not None:
        admit(client, welcome)


def admit(client: ClientConnection, welcome: Welcome) -> None:
    """Let in the client for whom this is what its server says at login, unless a plugin refuses it."""
    if not client.server.has_sessions:
        _let_in(client, welcome)
        return
    assert client.login is not None
    try:
        session = client.server.open_plugin_session(client, welcome)
    except SessionRefused as refused:
        refuse(client, refused)
        return
    if isinstance(session, Session):
        _let_in(client, welcome)
    else:
        client.login.hold(spawn(_await_session(client, session, welcome), name=f"admission of {client.peer}"))


async def _await_session(client: ClientConnection, pending: Awaitable[Session], welcome: Welcome) -> None:
    try:
        await pending
    except SessionRefused as refused:
        refuse(client, refused)
    else:
        _let_in(client, welcome)


def refuse(client: ClientConnection, refused: SessionRefused) -> None:
    """A plugin doesn't let the client in: tell it, and hang up."""
    if client.server.config.server.log_pooler_errors:
        logger.warning("%s: refused by a plugin: %s", client, refused)
    block = refused.block
    fields = [("S", "FATAL"), ("V", "FATAL"), ("C", block.sqlstate), ("M", block.message)]
    client.write(encode_error_fields([*fields, ("D", block.detail), ("H", block.hint)]))
    client.close()


def _let_in(client: ClientConnection, welcome: Welcome) -> None:
    login = client.login
    assert login is not None
    client.server.on_client_ready(client)
    client.state = ClientState.READY
    client.stats.client_logins += 1
    client.session = _session(client, welcome)
    client.login = None
    client.write(
        messages.AUTHENTICATION_OK
        + welcome.messages
        + messages.encode_backend_key_data(client.process_id, client.secret)
        + messages.READY[messages.IDLE]
    )
    rest = login.take_rest()
    if rest:
        client.data_received(rest)


def _session(client: ClientConnection, welcome: Welcome) -> ClientSession:
    """The session that a client begins; with plugins, if one has opened a session of its own."""
    server, settings = client.server, client.settings
    registry = server.prepared if settings.max_prepared_statements else None
    judged = settings.pool_mode is not PoolMode.SESSION or client.plugin_session is not None
    judge = server.judges.get(settings, client.pool.credential) if judged else None
    texts = server.statements if judge is None else judge.judge.texts
    session = ClientSession(
        client,
        settings.pool_mode,
        server.statements.effects if judge is None else judge.effects,
        welcome.reported,
        registry,
        reuses=settings.reuse_unnamed_statements,
        texts=texts,
    )
    tables = server.plan_tables
    if tables is not None and client.plugin_session is not None:
        sight = None if judge is None else judge.wait_for_sight
        session.intercept(Interception(session, tables, client.plugin_session, sight))
    return session
