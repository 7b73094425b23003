"""What plugins decide about a client's messages, before anything acts on them.

At the beginning of a batch (a Query, or all up to a Sync) its messages are looked at one by one, and chains of plugins
are run. What comes out is a batch again: messages as they came, rewritten ones, and substitutes for those that are
blocked or answered here. So the rest of the session knows nothing of plugins, and order, errors and transactions hold
for their answers as they do for the backend's.

A decision may have to be waited for: then this client's messages wait, and nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import NOT_JUDGED, QUERY_CANCELED, TOO_MANY_STATEMENTS, ClientError, ProtocolViolation
from interceptor.hooks.answers import Piece
from interceptor.hooks.chain import AtParse, Chain, Outcome
from interceptor.hooks.decisions import Block, Replay, Respond, Shape
from interceptor.hooks.parameters import NO_PARAMETERS, BoundValue, Parameters
from interceptor.hooks.statement import Execution
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle
from interceptor.session.answers import PORTAL_SUSPENDED, LocalPortal, encode_block, encode_shape
from interceptor.session.binding import decode_bind, encode_bind, map_types
from interceptor.session.bounds import LARGE_KINDS, MAX_JUDGED, SMALL_KINDS
from interceptor.session.states import Request
from interceptor.session.substitutes import (
    SUBSTITUTE,
    SUBSTITUTE_MESSAGE,
    Answered,
    Blocked,
    Bound,
    Reply,
    Substitute,
    make_passing,
)

if TYPE_CHECKING:
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.statement import Session
    from interceptor.session.client import ClientSession

PARSE_COMPLETE: Final = messages.PARSE_COMPLETE_MESSAGE
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = messages.CLOSE_COMPLETE_MESSAGE

_CANCELED: Final = encode_block(Block(QUERY_CANCELED.sqlstate, "canceling statement due to user request"))

_FAIR_PIECES: Final = 4
"""Pieces of an answer that are sent at a time; then it is the others' turn."""

MAX_TEXTS: Final = 20_000
"""Statements whose text is remembered for one client; its session refuses more than half as many."""

_EXTENDED: Final = frozenset(b"PBDEC")
COUNTED: Final = frozenset(b"QPBDECF") | {SUBSTITUTE}
"""Messages that are acted on only once they have been looked at."""

Pending = Generator[Awaitable[object], object, bytes]
"""Yields what has to be waited for, and returns the batch that takes the place of the one that came."""


@dataclass(frozen=True, slots=True)
class Known:
    """A statement that the client prepared, as it stands."""

    body: bytes
    """What followed the name in Parse: the text, its zero, the parameter types."""
    sent: bytes
    """What is prepared on a backend in its place; empty where nothing is."""
    shape: Shape | None = None

    @property
    def sql(self) -> bytes:
        """The client's text."""
        return self.body[: self.body.find(0)]


Change = tuple[bytes, Known | None]
"""The name of a statement, and what it stood for before."""


class Interception:
    """One client's side of the plugins."""

    def __init__(self, session: ClientSession, tables: PlanTables, facts: Session) -> None:
        """``facts`` is what plugins know of the session."""
        self.session = session
        self.tables = tables
        self.facts = facts
        self.search_path = facts.search_path
        """That of a session as after login."""
        self.substitutes: deque[Substitute] = deque()
        self.planned = 0
        """Messages at the front of what is to be acted on that have been looked at; only ``COUNTED`` ones count."""
        self.statements: dict[bytes, Known] = {}
        """Those that the client has, when all that was looked at has been answered: by name, ``b""`` the unnamed."""
        self.journal: deque[Change | None] = deque()
        """What each of the ``planned`` messages changed in ``statements``."""
        self.undone: set[bytes] = set()
        """Names whose changes were taken back since an error, up to the Sync that ends it."""
        self.unnamed: list[Known] = []
        """Those of which one is the unnamed statement."""
        self.portals: dict[bytes, LocalPortal] = {}
        self.portals_elsewhere: set[bytes] = set()
        """Named portals that the backend may have."""
        self.busy = False
        """Rows of an answer are being sent."""
        self.canceled = False
        """The client asked to cancel what plugins take their time for; the wait for it is about to be broken off."""
        self.target: str | None = None
        """Where the batch that was looked at last is to run; None where the session's own backend is meant."""

    # --- Looking ---------------------------------------------------------------------------------------------------

    def look_at(self, data: bytes, position: int) -> bytes | None:
        """The data from ``position`` on, with its first batch as plugins decided; None if that has to be waited for.

        In the latter case the caller keeps the data, and ``ClientSession.on_decided`` is called.
        """
        end = self._end_of_batch(data, position)
        self.canceled = False
        pending = self._plan(data, position, end)
        try:
            waits = next(pending)
        except StopIteration as done:
            return cast("bytes", done.value) + data[end:]
        self.session.host.wait_for(self._finish(pending, waits), self._on_decided(data[end:]))
        return None

    async def _finish(self, pending: Pending, waits: Awaitable[object]) -> bytes:
        while True:
            try:
                answer = await waits
            except BaseException as error:
                try:
                    waits = pending.throw(error)
                except StopIteration as done:
                    return cast("bytes", done.value)
                continue
            try:
                waits = pending.send(answer)
            except StopIteration as done:
                return cast("bytes", done.value)

    def _on_decided(self, rest: bytes) -> Callable[[object], None]:
        return lambda batch: self.session.on_decided(cast("bytes", batch) + rest)

    def _end_of_batch(self, data: bytes, position: int) -> int:
        """Where the first batch in the data ends, or the last whole message of it."""
        size = len(data)
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if end > size or length < 4 or (kind not in LARGE_KINDS and kind not in SMALL_KINDS):
                break
            position = end
            if kind in (messages.SYNC, messages.QUERY, messages.FUNCTION_CALL):
                break
        return position

    def _plan(self, data: bytes, position: int, end: int) -> Pending:
        out: list[bytes] = []
        self.planned = 0
        self.journal.clear()
        self._settle_unnamed()
        self.target = None
        targets: set[str | None] = set()
        was_open = self.facts.transaction.open
        first = True
        before: Change | None = None
        while position < end:
            kind, length = unpack_header(data, position)
            after = position + 1 + length
            message = data[position:after]
            if kind in _EXTENDED:
                before = self._what_changes(kind, message)
            elif kind == messages.QUERY and not first:
                # It goes on with the transaction of the batch that it breaks into.
                self.facts.transaction.implicit = True
            if kind in COUNTED:
                try:
                    message = yield from self._on_message(kind, message, targets)
                except BaseException:
                    if not self.canceled:
                        raise
                    self.canceled = False
                    message = self._put(Blocked(_CANCELED, simple=kind not in _EXTENDED))
            elif kind == messages.SYNC and not self.facts.transaction.open:
                self.portals.clear()
            if message[0] in COUNTED:
                self.planned += 1
                self.journal.append(before)
            before = None
            out.append(message)
            position = after
            first = False
        if first:
            raise ClientError(
                NOT_JUDGED,
                f"a message of more than {MAX_JUDGED} bytes, which plugins would have to see whole",
                hint="Send large values in several statements, or by COPY.",
            )
        self.facts.transaction.implicit = True
        if len(targets) == 1 and not was_open:
            self.target = targets.pop()
        return b"".join(out)

    def _what_changes(self, kind: int, message: bytes) -> Change | None:
        """What a message is about to change; the unnamed statement is known otherwise (``_settle_unnamed``)."""
        if kind == messages.PARSE:
            name = message[5 : message.find(0, 5)]
        elif kind == messages.CLOSE and message[5:6] == b"S":
            name = message[6:-1]
        else:
            return None
        return (name, self.statements.get(name)) if name else None

    def _settle_unnamed(self) -> None:
        """See which statement the unnamed one is, now that all before has been answered."""
        session = self.session
        if session.reused is not None and session.backend is not None and session.backend.unnamed_in_batch:
            return
        body = session.unnamed[6:]
        self.statements.pop(b"", None)
        if not body:
            self.unnamed.clear()
            return
        found = next((one for one in self.unnamed if (one.sent or one.body) == body), None)
        self.unnamed = [found or Known(body, body)]
        self.statements[b""] = self.unnamed[0]

    def done(self) -> Change | None:
        """The first of the ``planned`` messages has been acted on. Returns what it changed."""
        self.planned -= 1
        return self.journal.popleft()

    def undo(self, change: Change) -> None:
        """A message that was sent is skipped because of an error. Called in the reverse order of the messages."""
        name, known = change
        self.undone.add(name)
        if known is None:
            self.statements.pop(name, None)
        else:
            self.statements[name] = known

    def _lookup(self, sql: bytes) -> Generator[Awaitable[object], object, Chain | None]:
        facts = self.facts
        table = facts.table
        found = None if table is None or table.stale else table.get(sql)
        if found is None:
            answer = self.tables.lookup(facts, sql)
            if answer is False or isinstance(answer, Chain):
                return answer or None
            return cast("Chain | None", (yield cast("Awaitable[object]", answer)) or None)
        return found or None

    def _decide(self, chain: Chain, execution: Execution) -> Generator[Awaitable[object], object, Outcome]:
        answer = chain.run(execution)
        if isinstance(answer, Outcome):
            return answer
        return cast("Outcome", (yield answer))

    def _on_message(self, kind: int, message: bytes, targets: set[str | None]) -> Pending:
        if kind == messages.QUERY:
            return (yield from self._on_query(message, targets))
        if kind == messages.FUNCTION_CALL:
            return (yield from self._on_function_call(message))
        return (yield from self._on_extended(kind, message, targets))

    # --- Query -----------------------------------------------------------------------------------------------------

    def _on_query(self, message: bytes, targets: set[str | None]) -> Pending:
        sql = message[5:-1]
        self.statements.pop(b"", None)
        chain = yield from self._lookup(sql)
        if chain is None:
            targets.add(None)
            return message
        outcome = yield from self._decide(chain, Execution(chain.statement, self.facts, NO_PARAMETERS))
        action = outcome.action
        if isinstance(action, Block):
            return self._put(Blocked(encode_block(action, self.style), simple=True))
        if isinstance(action, (Respond, Replay)) and self.facts.transaction.status != "failed":
            return self._put(Answered(LocalPortal(outcome, self.tables.waits, (), self.style), 0, simple=True))
        targets.add(outcome.target)
        statement = outcome.execution.statement
        if statement is chain.statement:
            return message
        return messages.encode_message(messages.QUERY, statement.sql + b"\0")

    def _on_function_call(self, message: bytes) -> Pending:
        chain_or = self.tables.lookup_function(self.facts, int.from_bytes(message[5:9], "big"))
        if not (chain_or is False or isinstance(chain_or, Chain)):
            chain_or = cast("Chain | bool", (yield chain_or))  # type: ignore[assignment]
        if not isinstance(chain_or, Chain):
            return message
        execution = Execution(chain_or.statement, self.facts, NO_PARAMETERS, protocol="function call")
        outcome = yield from self._decide(chain_or, execution)
        if isinstance(outcome.action, Block):
            return self._put(Blocked(encode_block(outcome.action, self.style), simple=True))
        return message

    # --- The extended protocol -------------------------------------------------------------------------------------

    def _on_extended(self, kind: int, message: bytes, targets: set[str | None]) -> Pending:
        if kind == messages.PARSE:
            return (yield from self._on_parse(message))
        if kind == messages.BIND:
            return (yield from self._on_bind(message, targets))
        if kind == messages.EXECUTE:
            return self._on_execute(message)
        return self._on_describe(message) if kind == messages.DESCRIBE else self._on_close(message)

    def _on_parse(self, message: bytes) -> Pending:
        name_end = message.find(0, 5)
        name, body = message[5:name_end], message[name_end + 1 :]
        sql = body[: body.find(0)]
        known = Known(body, body)
        chain = yield from self._lookup(sql)
        if chain is not None:
            found = chain.at_parse(self.facts)
            at_parse = found if isinstance(found, AtParse) else cast("AtParse", (yield found))
            if at_parse.block is not None:
                return self._put(Blocked(encode_block(at_parse.block, self.style), simple=False))
            if at_parse.shape is not None:
                known = replace(known, sent=b"", shape=at_parse.shape)
            elif at_parse.statement is not chain.statement:
                types = map_types(body, at_parse.parameters)
                known = replace(known, sent=at_parse.statement.sql + b"\0" + types)
        there = self._statement(name) if name else None
        if there is not None and there.shape is not None:
            error = Block("42P05", f'prepared statement "{name.decode("utf-8", "replace")}" already exists')
            return self._put(Blocked(encode_block(error, self.style), simple=False))
        if there is not None:
            # PostgreSQL refuses it, or knows that SQL took the older one: then this one counts.
            known = Known(body, body)
        if len(self.statements) >= MAX_TEXTS:
            raise ClientError(TOO_MANY_STATEMENTS, f"this client has {MAX_TEXTS} prepared statements")
        self.statements[name] = known
        if not name:
            self.unnamed.append(known)
        if known.shape is not None:
            return self._put(Reply(PARSE_COMPLETE, None if name else message))
        if known.sent is body:
            return message
        return messages.encode_message(messages.PARSE, name + b"\0" + known.sent)

    def _on_bind(self, message: bytes, targets: set[str | None]) -> Pending:
        try:
            bind = decode_bind(message)
        except ProtocolViolation:
            # PostgreSQL refuses at least as much, and says best what is wrong.
            targets.add(None)
            return message
        if bind.portal and bind.portal in self.portals:
            error = Block("42P03", f'cursor "{bind.portal.decode("utf-8", "replace")}" already exists')
            return self._put(Blocked(encode_block(error, self.style), simple=False))
        self.portals.pop(bind.portal, None)
        known = self._statement(bind.statement)
        if known is None:
            targets.add(None)
            return message
        chain = yield from self._lookup(known.sql)
        if chain is None and known.shape is None:
            targets.add(None)
            return message if known.sent is known.body else self._bind_elsewhere(bind.portal, known, message)
        if chain is None:
            # The plugin that answered Parse does not want it any more, as after a reload.
            return self._bind_elsewhere(bind.portal, known, message)
        types = map_types(known.body, None)
        parameters = Parameters(
            [BoundValue(_oid(types, number), code, value) for number, (code, value) in enumerate(bind.values())]
        )
        execution = Execution(
            chain.statement, self.facts, parameters, protocol="extended", result_formats=bind.result_formats
        )
        outcome = yield from self._decide(chain, execution)
        action = outcome.action
        if isinstance(action, Block):
            return self._put(Blocked(encode_block(action, self.style), simple=False))
        answers = isinstance(action, (Respond, Replay)) and self.facts.transaction.status != "failed"
        if answers and bind.portal not in self.portals_elsewhere:
            try:
                portal = LocalPortal(outcome, self.tables.waits, bind.result_formats, self.style)
            except ValueError as error:
                return self._put(Blocked(encode_block(Block("08P01", str(error)), self.style), simple=False))
            self.portals[bind.portal] = portal
            return self._put(Reply(BIND_COMPLETE))
        targets.add(outcome.target)
        if bind.portal:
            self.portals_elsewhere.add(bind.portal)
        statement = outcome.execution.statement
        if statement is chain.statement and outcome.mapping is None and known.sent is known.body:
            return message
        rewritten = statement.sql + b"\0" + map_types(known.body, outcome.mapping)
        again = message
        if outcome.mapping is not None:
            bound = outcome.execution.parameters
            again = encode_bind(bind.portal, bind.statement, list(bound), bind.result_formats)
        if rewritten == known.sent:
            return again
        return self._bind_elsewhere(bind.portal, replace(known, sent=rewritten), again)

    def _bind_elsewhere(self, portal: bytes, known: Known, message: bytes) -> bytes:
        """A Bind to a statement that the client did not name: one that is prepared when it is needed."""
        session = self.session
        body = known.sent or known.body
        effects = session.effects_of(body[: body.find(0)])
        if session.registry is None or session.named is None:
            prepared = make_passing(body, effects)
        else:
            prepared = session.registry.unshared(body, effects)
        rest = message[message.find(0, 5 + len(portal) + 1) + 1 :]
        bound = messages.encode_message(messages.BIND, portal + b"\0" + prepared.name + b"\0" + rest)
        return self._put(Bound(prepared, bound))

    def _on_describe(self, message: bytes) -> bytes:
        name = message[6:-1]
        if message[5:6] == b"S":
            known = self._statement(name)
            if known is None or known.shape is None:
                return message
            return self._put(Reply(encode_shape(known.shape, self.style)))
        answer = self.portals.get(name)
        return message if answer is None else self._put(Reply(answer.description))

    def _on_execute(self, message: bytes) -> bytes:
        portal_end = message.find(0, 5)
        answer = self.portals.get(message[5:portal_end])
        if answer is None:
            return message
        return self._put(
            Answered(answer, int.from_bytes(message[portal_end + 1 : portal_end + 5], "big"), simple=False)
        )

    def _on_close(self, message: bytes) -> bytes:
        name = message[6:-1]
        if message[5:6] == b"S":
            known = self.statements.pop(name, None)
            if known is not None and known.shape is not None:
                return self._put(Reply(CLOSE_COMPLETE, None if name else b""))
        elif self.portals.pop(name, None) is not None:
            return self._put(Reply(CLOSE_COMPLETE))
        else:
            self.portals_elsewhere.discard(name)
        return message

    def _statement(self, name: bytes) -> Known | None:
        """What a name stands for; None if the client has no such statement, or made it by SQL."""
        known = self.statements.get(name)
        if known is None or known.shape is not None or not name:
            return known
        named = self.session.named
        in_batch = any(one is not None and one[0] == name for one in self.journal)
        if named is not None and name not in named.by_name and not in_batch:
            # DEALLOCATE took it.
            del self.statements[name]
            return None
        return known

    def _put(self, substitute: Substitute) -> bytes:
        self.substitutes.append(substitute)
        return SUBSTITUTE_MESSAGE

    # --- Answering -------------------------------------------------------------------------------------------------

    @property
    def style(self) -> TextStyle:
        """How values look as text in this session."""
        reported = self.session.belongings.told
        try:
            return reported.text_style
        except ValueError:
            return DEFAULT_STYLE

    def answer(self, answered: Answered, ready: bytes) -> None:
        """Send the rows of an answer, and what ends them. ``busy`` is set while that goes on."""
        if answered.simple:
            self.session.write(answered.portal.description)
        self.busy = True
        self.canceled = False
        course = self._send(answered, ready)
        waits = next(course, None)
        if waits is not None:
            self.session.host.wait_for(self._go_on(course, waits, answered), self._on_sent)

    def _send(self, answered: Answered, ready: bytes) -> Generator[Awaitable[object], object, None]:
        """Pull and write, as fast as the client reads. Yields what has to be waited for."""
        portal = answered.portal
        host = self.session.host
        left = answered.max_rows
        portal.count = pieces = 0
        while True:
            if host.is_full:
                yield host.drain()
            pulled = portal.pull(left)
            piece = pulled if isinstance(pulled, Piece) else cast("Piece", (yield pulled))
            portal.count += piece.rows
            if piece.messages:
                self.session.write(piece.messages)
            if piece.block is not None:
                end = encode_block(piece.block, self.style)
                break
            if piece.done:
                end = portal.complete()
                break
            pieces += 1
            if pieces % _FAIR_PIECES == 0:
                yield self.tables.waits.sleep(0)
            if answered.max_rows:
                left -= piece.rows
                if left <= 0:
                    end = PORTAL_SUSPENDED
                    break
        if end is not PORTAL_SUSPENDED:
            closing = portal.close()
            if closing is not None:
                yield closing
        self.busy = False
        if end[0] == messages.ERROR_RESPONSE:
            self.session.fail(end, simple=answered.simple)
        elif answered.simple:
            self._end_query(end, ready)
        else:
            self.session.write(end)

    def _end_query(self, end: bytes, ready: bytes) -> None:
        """A Query has been answered here: as any, it ends the batch that it broke into."""
        backend = self.session.backend
        if backend is None or backend.ready:
            self.session.write(end + ready)
            self.on_ready(ready[5])
        else:
            self.session.write(end)
            backend.owed.append(Request.SYNC)
            backend.write(messages.SYNC_MESSAGE)

    async def _go_on(
        self, course: Generator[Awaitable[object], object, None], waits: Awaitable[object], answered: Answered
    ) -> None:
        try:
            while True:
                try:
                    waits = course.send(await waits)
                except StopIteration:
                    return
        except BaseException:
            course.close()
            closing = answered.portal.close()
            if closing is not None:
                await closing
            if not self.canceled:
                raise
            self.canceled = self.busy = False
            self.session.fail(_CANCELED, simple=answered.simple)

    def cancel(self) -> bool:
        """The client asks to cancel what it runs. True if that is up to plugins: then break off what is waited for."""
        if self.canceled or not (self.busy or self.session.deciding):
            return False
        self.canceled = True
        return True

    def _on_sent(self, _: object) -> None:
        self.session.on_answer_sent()

    # --- What the session tells ------------------------------------------------------------------------------------

    def has_no_interest_in(self, data: bytes, position: int) -> bool:
        """Whether nobody wants anything of the batch that begins here, as far as that is known without waiting.

        Then it counts as looked at.
        """
        table = self.facts.table
        if table is None or table.stale or self.session.belongings.doubt is not None:
            return False
        end = self._end_of_batch(data, position)
        count = 0
        while position < end:
            kind, length = unpack_header(data, position)
            after = position + 1 + length
            if kind == messages.QUERY:
                if table.get(data[position + 5 : after - 1]) is not False:
                    return False
                count += 1
            elif kind != messages.SYNC and kind != messages.FLUSH:
                return False
            position = after
        self.planned = count
        self.journal.clear()
        self.journal.extend([None] * count)
        return count > 0

    def skip(self, kind: int) -> None:
        """A message is dropped because of an error before it."""
        if self.planned and kind in COUNTED:
            change = self.done()
            if change is not None and change[0] not in self.undone:
                # One that was undone before is of an earlier message, or of one that came before that.
                self.undo(change)
            if kind == SUBSTITUTE:
                self.substitutes.popleft()

    def plan_again(self, data: bytes, position: int) -> None:
        """A batch comes once more that was looked at: from ``position`` to the end of the data."""
        self.planned = 0
        self.journal.clear()
        while position < len(data):
            kind, length = unpack_header(data, position)
            if kind in COUNTED:
                self.planned += 1
                self.journal.append(None)
            position += 1 + length

    def take_target(self) -> str | None:
        """Where the batch that comes now is to run."""
        target, self.target = self.target, None
        return target

    @property
    def in_batch(self) -> bool:
        """A batch goes on, whose beginning has been looked at."""
        return self.facts.transaction.implicit

    def on_ready(self, status: int) -> None:
        """A ReadyForQuery, with this transaction status, and nothing is owed."""
        transaction = self.facts.transaction
        transaction.implicit = False
        self.undone.clear()
        if status == messages.IDLE:
            self.portals_elsewhere.clear()
            was_failed = transaction.status == "failed"
            for callback in transaction.end():
                callback(not was_failed)
            self.portals.clear()
        else:
            transaction.status = "open" if status == messages.IN_TRANSACTION else "failed"

    def on_settings(self, settings: Mapping[str, bytes] | None) -> None:
        """The session has these settings now, beside those after login; None: nobody knows."""
        facts = self.facts
        facts.table = None
        facts.reads_alike = self.session.belongings.told.standard_lexing
        if settings is None:
            facts.role = facts.search_path = facts.application_name = None
            facts.settings_unknown = True
            return
        known = {name: value.decode("utf-8", "replace") for name, value in settings.items()}
        facts.settings_unknown = False
        facts.settings = dict(known)
        facts.role = known.get("role") or known.get("session_authorization") or facts.backend_user
        facts.application_name = known.get("application_name", facts.startup.get("application_name", ""))
        facts.search_path = known.get("search_path", self.search_path)


def _oid(types: bytes, number: int) -> int:
    """The OID of a parameter in the tail of a Parse message; 0 where it is not said."""
    count = int.from_bytes(types[:2], "big")
    return int.from_bytes(types[2 + 4 * number : 6 + 4 * number], "big") if number < count else 0
