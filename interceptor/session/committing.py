"""What plugins want to do before a transaction is committed (``Transaction.before_commit``), and what that holds back.

What commits is held back until all before it has been answered, and gone well; then the callbacks run. That is the
Sync of an implicit transaction, a COMMIT or PREPARE TRANSACTION, and a Query of its own: the server is then sent a
batch without its Sync, and the client its CommandComplete when the commit has succeeded, as from PostgreSQL.

A Block fails the transaction on the server as well, and is what the client is told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final, Literal, cast

from interceptor.errors import PLUGIN_FAILED
from interceptor.hooks.decisions import Block, Blocked
from interceptor.hooks.waits import DeadlineExceeded
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.answers import CANCELED, encode_block
from interceptor.session.prelude import prelude
from interceptor.session.states import Request
from interceptor.session.substitutes import SUBSTITUTE, refuse
from interceptor.sql.facts import Group, MessageFacts

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.notes import Note

__all__ = ["Committing", "Control", "TagGate", "control_of"]

logger = logging.getLogger("interceptor.plugins")

DEADLINE: Final = 5.0
"""Seconds that a callback may take for what it returns."""

Control = Literal["", "begin", "commit", "commit and chain", "rollback", "several"]
"""What a text does to its transaction. "several": it has several statements, of which one does something to it."""

_COMMITS: Final = frozenset(["commit", "commit and chain"])
_IN_BLOCK: Final = frozenset(["begin", "commit and chain"])
_NO_END: Final = frozenset(["two-phase", "to savepoint"])
_ROLLBACK: Final = messages.encode_query("ROLLBACK")


def control_of(interception: Interception, sql: bytes, known: MessageFacts | None = None) -> Control:
    """Whether a text begins or ends a transaction. ``known``: its facts, where somebody has them."""
    if not interception.session.effects_of(sql).transaction_control:
        return ""
    facts = known or interception.tables.analyst.facts(sql, interception.facts.reads_alike)
    if not isinstance(facts, MessageFacts):
        if isinstance(facts, Coroutine):
            facts.close()
        return "several"
    if len(facts.statements) != 1:
        return "several" if facts.statements else ""
    statement = facts.statements[0]
    chains = "chain" in statement.words
    if statement.group is not Group.TRANSACTION:
        return ""
    if statement.kind == "begin":
        return "begin"
    if statement.kind == "prepare":
        return "commit"
    if not _NO_END.isdisjoint(statement.words):
        return ""
    if statement.kind == "commit":
        return "commit and chain" if chains else "commit"
    if statement.kind == "rollback":
        return "begin" if chains else "rollback"
    return ""


class Committing:
    """One client's commits."""

    __slots__ = ("asking", "in_block", "interception", "refusal", "skipped")

    def __init__(self, interception: Interception) -> None:
        self.interception = interception
        self.asking = False
        """Callbacks are run."""
        self.in_block = False
        """What was sent last runs in a transaction that was begun by BEGIN, if all goes well."""
        self.skipped = False
        """The batch under way has failed: its Sync commits nothing."""
        self.refusal = b""
        """Why the commit that is held back must not be: an ErrorResponse."""

    @property
    def wanted(self) -> bool:
        """Somebody wants to be asked before the transaction is committed."""
        return self.interception.facts.transaction.has_before_commit

    def on_ready(self, status: int) -> None:
        """A ReadyForQuery with this transaction status."""
        self.in_block = status != messages.IDLE
        self.skipped = False

    # --- Holding back ------------------------------------------------------------------------------------------------

    def holds_sync(self, backend: BackendSession | None) -> bool:
        """Whether the Sync that comes now has to wait. It is to be kept, and comes again."""
        if self.skipped or self.in_block or not self.wanted:
            return False
        self._hold(backend)
        return True

    def holds(self, backend: BackendSession, note: Note) -> bool:
        """Whether a message that has this note has to wait, for it commits."""
        if note.control not in _COMMITS or not self.wanted or backend.status == messages.FAILED_TRANSACTION:
            return False
        self._hold(backend)
        return True

    def pass_on(self, backend: BackendSession, note: Note) -> None:
        """A message with this note is acted on."""
        if note.control:
            self.in_block = note.control in _IN_BLOCK
            if note.control == "rollback" or backend.status == messages.FAILED_TRANSACTION:
                # What was to happen before a commit is not to happen any more.
                self.interception.facts.transaction.take_before_commit()
            if self.interception.executions.tells_end and note.control != "begin":
                self.interception.executions.on_control("ROLLBACK" if note.control == "rollback" else "COMMIT")

    def _hold(self, backend: BackendSession | None) -> None:
        session = self.interception.session
        session.held = True
        if backend is not None and backend.owed:
            session.wants_flush = True
            return
        self.begin(self._on_asked)

    def begin(self, on_asked: Callable[[object], None]) -> None:
        """Run the callbacks, and then ``on_asked`` with an ErrorResponse, or nothing."""
        self.asking = True
        self.interception.canceled = False
        self.interception.session.host.wait_for(self._ask(), on_asked)

    async def _ask(self) -> bytes:
        try:
            return await self.ask()
        except BaseException:
            if not self.interception.canceled:
                raise
            self.interception.canceled = False
            return CANCELED
        finally:
            self.asking = False

    async def ask(self) -> bytes:
        """Run the callbacks in their order. Returns the first one's ErrorResponse that says no, or nothing."""
        for callback in self.interception.facts.transaction.take_before_commit():
            block: object
            try:
                block = callback()
                if isinstance(block, Awaitable):
                    block = await self.interception.tables.waits.within(block, DEADLINE)
            except Blocked as blocked:
                block = blocked.block
            except DeadlineExceeded as late:
                block = _failed(callback, f"it did not answer within {late.seconds:g} s")
            except Exception as error:
                block = _failed(callback, f"it raised {type(error).__name__}", error)
            if block is not None and not isinstance(block, Block):
                block = _failed(
                    callback, f"it answered with a {type(block).__name__}, which is neither None nor a Block"
                )
            if isinstance(block, Block):
                return encode_block(block, self.interception.style)
        return b""

    def _on_asked(self, refusal: object) -> None:
        session = self.interception.session
        self.refusal = cast("bytes", refusal)
        backend = session.backend
        kind, _ = unpack_header(session.rest)
        if self.refusal and kind == messages.SYNC:
            refusal, self.refusal = self.refusal, b""
            if backend is None:
                session.write(refusal)
                self.interception.executions.on_error()
                self.skipped = True
            else:
                backend.write(refuse(session, backend, refusal, simple=False))
        session.on_answer_sent()

    # --- Refusing ----------------------------------------------------------------------------------------------------

    def refuse(self, session: ClientSession, backend: BackendSession, kind: int) -> bytes:
        """What is sent in the place of a COMMIT that must not be."""
        interception = self.interception
        if kind == SUBSTITUTE:
            interception.substitutes.popleft()
        error, self.refusal = self.refusal, b""
        interception.executions.on_error()
        if kind == messages.EXECUTE:
            return prelude(backend, b"ROLLBACK") + refuse(session, backend, error, simple=False)
        session.unnamed = b""
        backend.blocks.append(error)
        backend.owed.append(Request.REFUSED_COMMIT)
        return _ROLLBACK


class TagGate:
    """Holds a CommandComplete back until a Query that runs as a batch is committed (``ClientSession.write``)."""

    __slots__ = ("_behind", "_incomplete", "_left", "_session", "_tag", "_write")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._write = session.write
        self._tag = b""
        self._behind = b""
        """What came after it."""
        self._incomplete = b""
        self._left = 0
        """Bytes still to come of a message that is passed on in pieces."""
        session.write = self.take

    def take(self, data: bytes) -> None:
        """What would be sent to the client."""
        data = self._incomplete + data
        self._incomplete = b""
        out = []
        position = min(self._left, len(data))
        if position:
            self._left -= position
            out.append(data[:position])
        while position < len(data):
            if len(data) - position < 5:
                self._incomplete = data[position:]
                break
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if kind in _SMALL or self._tag:
                if end > len(data):
                    self._incomplete = data[position:]
                    break
                if kind == messages.ERROR_RESPONSE:
                    out.append(self._behind)
                    self._tag = self._behind = b""
                elif kind == messages.READY_FOR_QUERY:
                    self._session.write = self._write
                    self._write(b"".join(out) + self._tag + self._behind + data[position:])
                    return
                else:
                    if self._tag:
                        self._behind += data[position:end]
                    else:
                        self._tag = data[position:end]
                    position = end
                    continue
            out.append(data[position:end])
            self._left = max(0, end - len(data))
            position = end
        if out:
            self._write(b"".join(out))


_SMALL: Final = frozenset(b"CIEZ")


def _failed(callback: object, reason: str, error: BaseException | None = None) -> Block:
    name = f"{getattr(callback, '__module__', '')}.{getattr(callback, '__qualname__', callback)}"
    logger.error("a callback before a commit, %s, failed: %s", name, reason, exc_info=error)
    return Block(
        PLUGIN_FAILED.sqlstate,
        f"({PLUGIN_FAILED.code}) a plugin failed before the commit, so the transaction was rolled back",
    )
