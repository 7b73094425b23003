"""Statements that need more than their text: something that runs first, values of a plugin's, another's description.

What runs first (``Rewrite.before``) goes in front of the statement, into the same batch of the extended protocol
(``prelude``). A Query that needs any of this is sent as such a batch, with a Sync of its own at the end, and its client
is shown what a Query would have been answered with.

Rows of a plugin (``CopyRows``) are pulled when the server is ready to take them, and as fast as it does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from interceptor.hooks.answers import Answer, Piece
from interceptor.hooks.decisions import Respond
from interceptor.protocol import messages
from interceptor.session.answers import CANCELED, encode_block
from interceptor.session.committing import TagGate
from interceptor.session.notes import Note, Noted
from interceptor.session.noting import note_effects, refuse_stale_value
from interceptor.session.prelude import close_passing, close_portal, execute_prelude, nowhere, parse_passing, prelude
from interceptor.session.splice import HOLD, Outcome, hold
from interceptor.session.statements import check_named, look_up_by_name
from interceptor.session.states import Request
from interceptor.session.substitutes import Bound, Fill, Staged, refuse
from interceptor.session.watching import watch_last
from interceptor.sql.effects import NONE

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.observed import Run

__all__ = ["Stage", "on_bound", "on_staged"]

_COPY_HEADER: Final = messages.encode_message(messages.COPY_DATA, b"PGCOPY\n\xff\r\n\0" + bytes(8))
_COPY_END: Final = messages.encode_message(messages.COPY_DATA, b"\xff\xff") + messages.encode_message(
    messages.COPY_DONE, b""
)
_COPY_FAIL: Final = messages.encode_message(messages.COPY_FAIL, b"the rows of a plugin failed\0")
_DESCRIBE_STATEMENT: Final = messages.encode_message(messages.DESCRIBE, b"S\0")
_DESCRIBE_PORTAL: Final = messages.encode_message(messages.DESCRIBE, b"P\0")
_CLOSE_PORTAL: Final = messages.encode_message(messages.CLOSE, b"P\0")
_EXECUTE: Final = messages.encode_message(messages.EXECUTE, bytes(5))

_FAIR_PIECES: Final = 4
"""Pieces of rows that are sent at a time; then it is the others' turn."""


@dataclass(slots=True)
class Stage:
    """What runs before one statement, step by step, and the statement at the end."""

    session: ClientSession
    backend: BackendSession
    interception: Interception
    items: deque[bytes | Fill]
    finish: Callable[[], bytes]
    """Notes what is owed for the statement itself, and returns its messages."""
    simple: bool
    note: Note | None = None
    """Of the COPY under way: its error takes the place of the server's."""
    answer: Answer | None = None
    """Its rows, while they are being pulled."""
    filling: bool = False
    failed: bool = False
    commits: bool = False
    """Plugins are asked before the Sync that commits it is sent."""
    waits: bool = False
    """For the answers of the server, until they are asked."""
    run: Run | None = None
    """The execution that the statement is, where somebody looks after it."""

    def _goes_on(self) -> bool:
        return not self.failed and self.backend.client is self.session

    def begin(self) -> bytes:
        """The next messages to be sent. ``Interception.stage`` is set while it goes on behind them."""
        self.interception.stage = None
        out = []
        while self.items:
            item = self.items.popleft()
            if isinstance(item, Fill):
                self.note = nowhere(item.sql)
                self.answer = Answer(
                    Respond(item.rows.columns, item.rows.rows),
                    item.hook,
                    self.interception.tables.waits,
                    formats=(1,),
                    style=self.interception.style,
                )
                out.append(execute_prelude(self.backend, item.sql, Noted(Request.FILL, self.note)))
                out.append(messages.FLUSH_MESSAGE)
                self.interception.stage = self
                return b"".join(out)
            out.append(prelude(self.backend, item))
        owed = len(self.backend.owed)
        out.append(self.finish())
        if self.run is not None:
            watch_last(self.backend, self.run, owed)
        if self.commits:
            out.append(messages.FLUSH_MESSAGE)
            self.waits = True
            self.interception.stage = self
        return b"".join(out)

    def commit(self) -> None:
        """All has been answered, and gone well: ask, and commit it if nobody minds."""
        self.waits = False
        self.interception.committing.begin(self._on_asked)

    def _on_asked(self, refusal: object) -> None:
        self.interception.stage = None
        backend = self.backend
        if backend.client is not self.session:
            return
        error = cast("bytes", refusal)
        if error:
            self.interception.executions.on_commit_failed(error[5:], "plugin")
        out = refuse(self.session, backend, error, simple=False) if error else b""
        backend.owed.append(self.interception.executions.owed_sync)
        backend.write(out + messages.SYNC_MESSAGE)
        self.session.on_answer_sent()

    def on_copy_in(self) -> None:
        """The server waits for rows."""
        self.filling = True
        self.interception.canceled = False
        self.session.host.wait_for(self._fill(), self._on_filled)

    def on_failed(self) -> None:
        """The server refused something of this, or what came before it, and skips the rest."""
        self.failed = True
        self.waits = False
        if self.run is not None:
            self.run.skip()
        if not self.filling:
            self._end_failed()

    async def _fill(self) -> None:
        answer, backend = self.answer, self.backend
        assert answer is not None
        try:
            backend.write(_COPY_HEADER)
            await self._pull(answer, backend)
        except BaseException:
            if not self.interception.canceled:
                raise
            self.interception.canceled = False
            self._give_up(CANCELED)
        finally:
            closing = answer.close()
            if closing is not None:
                await closing

    async def _pull(self, answer: Answer, backend: BackendSession) -> None:
        pieces = 0
        while self._goes_on():
            if backend.host.is_full:
                await backend.host.drain()
            pulled = answer.pull()
            piece = await pulled if isinstance(pulled, Awaitable) else pulled
            if not self._goes_on():
                return
            if piece.messages:
                backend.write(_as_copy_data(piece))
            if piece.block is not None:
                self._give_up(encode_block(piece.block, self.interception.style))
                return
            if piece.done:
                backend.write(_COPY_END)
                return
            pieces += 1
            if pieces % _FAIR_PIECES == 0:
                await self.interception.tables.waits.sleep(0)

    def _give_up(self, error: bytes) -> None:
        """Let the server fail the COPY, with this error for the client."""
        if self._goes_on() and self.note is not None:
            self.note.error = error
            self.backend.write(_COPY_FAIL)
            self.failed = True

    def _on_filled(self, _: object) -> None:
        self.filling = False
        if self.backend.client is not self.session:
            return
        if self.failed:
            self._end_failed()
        else:
            self.backend.write(close_portal(self.backend) + self.begin())
        if self.interception.stage is None:
            self.session.on_answer_sent()

    def _end_failed(self) -> None:
        self.interception.stage = None
        if self.simple:
            # No Sync of the client's will come.
            self.session.ignoring = False
            self.backend.owed.append(self.interception.executions.owed_sync)
            self.backend.write(messages.SYNC_MESSAGE)


def on_staged(
    session: ClientSession, backend: BackendSession, interception: Interception, staged: Staged, end: int
) -> Outcome:
    """Act on a Query that runs as a batch (a handler of ``requests``)."""
    if len(backend.owed) > len(backend.asked):
        # Whether it is skipped, because of an error before it, has to be known.
        session.wants_flush = True
        return hold(session)
    started = _note(session, backend, staged.body, staged.before, simple=True)
    if started is HOLD:
        return HOLD
    interception.substitutes.popleft()
    session.unnamed = b""
    backend.unnamed_ready = backend.unnamed_in_batch = False
    if session.named is not None:
        session.named.in_batch.clear()
    out, refused = started
    if refused:
        return out, end

    note = interception.known.journal[0]
    run = None if note is None else note.run
    if run is not None:
        run.commits = backend.status == messages.IDLE

    def finish() -> bytes:
        if backend.status == messages.IDLE:
            # The commit comes behind its CommandComplete, and may fail.
            TagGate(session)
        return _run_as_query(backend, interception, staged, run)

    stage = Stage(session, backend, interception, deque(staged.before), finish, simple=True, commits=staged.commits)
    return out + _start(stage), end


def on_bound(
    session: ClientSession, backend: BackendSession, interception: Interception, bound: Bound, end: int
) -> Outcome:
    """Act on a Bind to a statement that the client did not name (a handler of ``requests``)."""
    started = _note(session, backend, bound.body, bound.before, simple=False)
    if started is HOLD:
        return HOLD
    checked = (b"", 0)
    if bound.named and not started[1]:
        checked = check_named(session, backend, bound.named)
        if checked is HOLD:
            return HOLD
    interception.substitutes.popleft()
    out, refused = started
    if refused:
        return out, end
    out += checked[0]
    if bound.before and bound.message[5] == 0:
        # The Bind will replace it, but what runs first must not find its tables in use.
        backend.owed.append(Request.PRELUDE)
        out += _CLOSE_PORTAL

    def finish() -> bytes:
        parse = parse_passing(backend, bound.body, bound.note)
        backend.owed.append(Noted(Request.BIND, bound.note))
        return parse + bound.message + close_passing(backend)

    stage = Stage(session, backend, interception, deque(bound.before), finish, simple=False)
    return out + _start(stage), end


def _start(stage: Stage) -> bytes:
    if not stage.items and not stage.commits:
        return stage.finish()
    out = stage.begin()
    interception = stage.interception
    if interception.stage is not None:
        stage.session.held = True
        note = interception.known.journal[0]
        if note is not None and not stage.waits:
            # Its statement is sent later, and looked after from then on.
            stage.run, note.run = note.run, None
    return out


def _note(
    session: ClientSession,
    backend: BackendSession,
    body: bytes,
    before: tuple[bytes | Fill, ...],
    *,
    simple: bool,
) -> tuple[bytes, int]:
    """Note what all this may do to the session. Returns what to send, and whether the statement is refused by it."""
    if not session.follows:
        return b"", False
    sql = body[: body.find(0)]
    effects = session.effects_of(sql)
    if effects is not NONE:
        if effects.reduces:
            effects = look_up_by_name(session, sql, effects)
        refusal = refuse_stale_value(session, backend, effects, 0, simple=simple)
        if refusal is HOLD:
            return HOLD
        if refusal is not None:
            return refusal[0], True
    splice = note_effects(session, backend, effects, 0, simple=simple) if effects is not NONE else None
    if splice is HOLD:
        return HOLD
    for item in before:
        first = session.effects_of(item.sql if isinstance(item, Fill) else item)
        if first is not NONE:
            session.belongings.note(first, backend)
    return (b"" if splice is None else splice[0]), False


def _run_as_query(backend: BackendSession, interception: Interception, staged: Staged, run: Run | None) -> bytes:
    owed = backend.owed
    out = []
    conditions = staged.conditions if backend.status != messages.FAILED_TRANSACTION else None
    if conditions is not None:
        out.append(prelude(backend, conditions.before))
    out.append(messages.encode_message(messages.PARSE, b"\0" + staged.body))
    out.append(staged.bind)
    owed += (Noted(Request.PRELUDE, staged.note), Noted(Request.PRELUDE, staged.note))
    if staged.described:
        # Behind the Bind, which plans, and may fail by that: as in a Query, before anything is told of rows.
        out.append(messages.encode_message(messages.PARSE, b"\0" + staged.described + b"\0\0\0"))
        out.append(_DESCRIBE_STATEMENT)
        owed += (Request.PRELUDE, Noted(Request.DESCRIBED_QUERY, Note(describes=run)))
    else:
        out.append(_DESCRIBE_PORTAL)
        owed.append(Noted(Request.DESCRIBED_QUERY, replace(staged.note, describes=run)))
    # As a Query, it leaves no portal behind, which in a transaction would hold on to its tables.
    out.append(_EXECUTE + _CLOSE_PORTAL)
    owed += (Noted(Request.EXECUTE, staged.note), Request.PRELUDE)
    if conditions is not None and backend.status != messages.IDLE:
        out.append(prelude(backend, conditions.after))
    if not staged.commits:
        out.append(messages.SYNC_MESSAGE)
        owed.append(interception.executions.owed_sync)
    return b"".join(out)


def _as_copy_data(piece: Piece) -> bytes:
    """Rows of an answer in binary as rows of a COPY in binary: what a DataRow says is what stands there for a row."""
    rows = bytearray(piece.messages)
    position = 0
    while position < len(rows):
        rows[position] = messages.COPY_DATA
        position += 1 + int.from_bytes(rows[position + 1 : position + 5], "big")
    return bytes(rows)
