"""What plugins decide about a client's messages, before anything acts on them.

At the beginning of a batch (a Query, or all up to a Sync) its messages are looked at one by one, and chains of plugins
are run. What comes out is a batch again: messages as they came, rewritten ones, and substitutes for those that are
blocked or answered here. So the rest of the session knows nothing of plugins, and order, errors and transactions hold
for their answers as they do for the backend's.

A decision may have to be waited for: then this client's messages wait, and nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Final, cast

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle
from interceptor.session.answers import LocalPortal
from interceptor.session.bounds import LARGE_KINDS, SMALL_KINDS
from interceptor.session.committing import Control, control_of
from interceptor.session.deciding import COUNTED, decide_batch
from interceptor.session.executions import Executions
from interceptor.session.known import NO_NAMES
from interceptor.session.lacking import nothing, own
from interceptor.session.lookup import Pending
from interceptor.session.notes import Note
from interceptor.session.occupied import Occupied
from interceptor.session.outdated import Looked
from interceptor.session.positions import Rewriting
from interceptor.session.substitutes import SUBSTITUTE, SUBSTITUTE_MESSAGE, Answered, Described, Substitute

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.statement import Session
    from interceptor.session.client import ClientSession
    from interceptor.session.observed import Run
    from interceptor.session.retrying import Retrying
    from interceptor.sql.facts import MessageFacts


_NONE_OPEN: Final[frozenset[LocalPortal]] = frozenset()
_NO_SUBSTITUTES: Final[deque[Substitute]] = deque()
"""Never changed: another one is put in its place. Even an empty one takes 600 bytes."""


class Interception(Occupied):
    """One client's side of the plugins.

    There is one for each client, so an idle one owns next to nothing: what it needs for a batch is made for it, and
    given up when its transaction is over.
    """

    __slots__ = (
        "canceled",
        "control_portals",
        "described",
        "executed_here",
        "executions",
        "looked",
        "note",
        "passing",
        "portals",
        "redoes",
        "retrying",
        "revived",
        "rewritten_portals",
        "routed",
        "settling",
        "sight",
        "standing",
        "substitutes",
        "target",
        "unclosed",
    )

    def __init__(
        self,
        session: ClientSession,
        tables: PlanTables,
        facts: Session,
        sight: Callable[[], Awaitable[object] | None] | None = None,
    ) -> None:
        """``facts`` is what plugins know of the session. ``sight`` gives what to wait for, and not for long, until it
        is known what texts do to a session; None where it is known."""
        super().__init__(session, tables, facts)
        self.sight: Callable[[], Awaitable[object] | None] = sight or _all_seen
        self.substitutes = _NO_SUBSTITUTES
        self.portals: dict[bytes, LocalPortal] = nothing()
        self.unclosed: frozenset[LocalPortal] = _NONE_OPEN
        """All answers whose source may have to be told that nobody wants more of it."""
        """Answers of plugins by the names of their portals, as they will be when all that was looked at is acted on."""
        self.standing: dict[bytes, LocalPortal] = nothing()
        """Those that have been bound."""
        self.executed_here = False
        """An Execute of the batch under way was answered by a plugin, and the server knows of none."""
        self.revived = False
        """The batch that is looked at may have ended the failure of its transaction."""
        self.rewritten_portals: dict[bytes, Rewriting] = nothing()
        """Portals at the backend that run another text than the client's."""
        self.described: dict[bytes, Described] = nothing()
        """Those of them that are described as if it was the client's."""
        self.control_portals: dict[bytes, Control] = nothing()
        """Portals at the backend that begin or end a transaction."""
        self.routed: Outcome | None = None
        """The execution of the batch that is looked at which may be run once more elsewhere."""
        self.retrying: Retrying | None = None
        """The batch under way, while it may be run once more on another target."""
        self.redoes = False
        """It is about to be: nothing has ended."""
        self.canceled = False
        """The client asked to cancel what plugins take their time for; the wait for it is about to be broken off."""
        self.looked: Looked | None = None
        """What was decided about while there was no backend."""
        self.settling = False
        """Other processes are being told what is about to be taken away."""
        self.note: Note | None = None
        """About the message that is being looked at."""
        self.executions = Executions(self)
        self.passing: Run | None = None
        """The execution of the batch that was let pass last (``observing``), while nobody has acted on that."""
        self.target: str | None = None
        """Where the batch that was looked at last is to run; None where the session's own backend is meant."""

    @property
    def planned(self) -> bool:
        """Whether what is to be acted on begins with messages that have been looked at; only ``COUNTED`` ones count."""
        return bool(self.known.journal)

    @property
    def begins_transaction(self) -> bool:
        """What has been looked at begins a transaction, and nobody has acted on it yet."""
        transaction = self.facts.transaction
        return bool(self.known.journal) and transaction.implicit and transaction.status == "idle"

    # --- Looking ---------------------------------------------------------------------------------------------------

    def look_at(self, data: bytes, position: int) -> bytes | None:
        """The data from ``position`` on, with its first batch as plugins decided; None if that has to be waited for.

        In the latter case the caller keeps the data, and ``ClientSession.on_decided`` is called.
        """
        end = self._end_of_batch(data, position)
        self.canceled = False
        self.stirred = True
        table = self.tables.table_of(self.facts)
        epoch = table.epoch

        def keep(decided: bytes) -> bytes:
            if self.session.backend is None:
                self.looked = Looked(data[position:end], decided, table, epoch)
            return decided + data[end:]

        pending = decide_batch(self, data, position, end)
        try:
            waits = next(pending)
        except StopIteration as done:
            return keep(cast("bytes", done.value))
        self.session.host.wait_for(
            self._finish(pending, waits), lambda decided: self.session.on_decided(keep(cast("bytes", decided)))
        )
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

    def put_back(self, substitutes: Iterable[Substitute]) -> None:
        """These are acted on after those that there are."""
        if self.substitutes is _NO_SUBSTITUTES:
            self.substitutes = deque()
        self.substitutes.extend(substitutes)

    def put(self, substitute: Substitute) -> bytes:
        self.put_back((substitute,))
        return SUBSTITUTE_MESSAGE

    def open_portal(self, outcome: Outcome, formats: Sequence[int] = ()) -> LocalPortal:
        """An answer to be given. Raises ValueError for result formats that don't go with its columns."""
        portal = LocalPortal(outcome, self.tables.waits, formats, self.style)
        self.unclosed |= {portal}
        return portal

    def _close_portals(self, wanted: Container[LocalPortal | None]) -> None:
        """Close the sources of all answers but those ``wanted``. Nobody waits for that."""
        for portal in [one for one in self.unclosed if one not in wanted]:
            self.unclosed = (self.unclosed - {portal}) or _NONE_OPEN
            closing = portal.close()
            if closing is not None:
                self.tables.waits.start(closing)

    def on_gone(self) -> None:
        """The client is gone. What was waited for on its behalf is being broken off, and sees to its own answer."""
        self._close_portals((None if self.delivery is None else self.delivery.portal,))

    @property
    def style(self) -> TextStyle:
        """How values look as text in this session."""
        reported = self.session.belongings.told
        try:
            return reported.text_style
        except ValueError:
            return DEFAULT_STYLE

    def cancel(self) -> bool:
        """The client asks to cancel what it runs. True if that is up to plugins: then break off what is waited for."""
        filling = self.stage is not None and self.stage.filling
        delivers = self.delivery is not None and self.delivery.busy
        asks = self._committing is not None and self._committing.asking
        takes_time = delivers or filling or self.session.deciding or asks
        if self.canceled or self.settling or not takes_time:
            return False
        self.canceled = True
        return True

    # --- What the session tells ------------------------------------------------------------------------------------

    def skip(self, kind: int) -> None:
        """A message is dropped because of an error before it."""
        if self.passing is not None:
            run, self.passing = self.passing, None
            self.executions.skip(run)
        elif self.known.journal and kind in COUNTED:
            note = self.done()
            if note is not None:
                self.executions.skip(note.run)
            change = None if note is None else note.change
            if change is not None and change[0] not in self.known.undone:
                # One that was undone before is of an earlier message, or of one that came before that.
                self.known.undo(change)
            if kind == SUBSTITUTE:
                substitute = self.substitutes.popleft()
                if isinstance(substitute, Answered):
                    self.executions.skip(substitute.portal.run)

    def noted(self) -> Note:
        """The note of the message that is being looked at."""
        if self.note is None:
            self.note = Note()
        return self.note

    def note_retry(self, outcome: Outcome) -> None:
        """The message that is being looked at runs this."""
        if outcome.retry is not None and not outcome.settings:
            self.routed = outcome
            self.noted().may_fail = True

    def note_control(self, sql: bytes, known: MessageFacts | None = None) -> Control:
        """The message that is being looked at runs this text. Returns what that does to its transaction."""
        control = control_of(self, sql, known)
        if control and control != "several":
            self.noted().control = control
        return control

    def take_routed(self) -> Outcome | None:
        """What was noted so last in the batch that has been looked at."""
        routed, self.routed = self.routed, None
        return routed

    def note_rewriting(self, rewriting: Rewriting | None) -> None:
        """The message that is being looked at is, or runs, another text than the client's."""
        if rewriting is not None:
            self.noted().rewriting = rewriting

    def note_rewritten_portal(self, portal: bytes, rewriting: Rewriting) -> None:
        """What is looked at binds a portal, at the backend, to another text than the client's."""
        self.rewritten_portals = own(self.rewritten_portals)
        self.rewritten_portals[portal] = rewriting

    def note_standing(self, name: bytes, portal: LocalPortal) -> None:
        """A portal that is answered here has been bound."""
        self.standing = own(self.standing)
        self.standing[name] = portal

    def done(self) -> Note | None:
        """The first of the ``planned`` messages has been acted on. Returns what there is to know about it."""
        return self.known.journal.popleft()

    def plan_again(self, data: bytes, position: int) -> None:
        """A batch comes once more that was looked at: from ``position`` to the end of the data."""
        count = 0
        while position < len(data):
            kind, length = unpack_header(data, position)
            count += kind in COUNTED
            position += 1 + length
        self.known.begin([None] * (count - len(self.known.again)))
        self.known.journal.extend(self.known.again)
        self.known.again = ()

    def close_portal(self, name: bytes) -> LocalPortal | None:
        """The message that is looked at closes, or replaces, this portal. Returns the answer that it was, if any."""
        portal = self.portals.pop(name, None)
        self.executions.close_portal(name, portal)
        return portal

    def take_target(self) -> str | None:
        """Where the batch that comes now is to run."""
        target, self.target = self.target, None
        return target

    @property
    def failed(self) -> bool:
        """The transaction has failed, so that the server refuses what is looked at."""
        return self.facts.transaction.status == "failed" and not self.revived

    @property
    def in_batch(self) -> bool:
        """A batch goes on, whose beginning has been looked at."""
        return self.facts.transaction.implicit

    def on_ready(self, status: int) -> None:
        """A ReadyForQuery, with this transaction status, has been sent, and nothing is owed."""
        if status != messages.IDLE:
            self.stirred = True
        elif not self.stirred and (self._committing is None or not self._committing.skipped):
            # All of it passed by, and there was no transaction block.
            return
        self.executed_here = False
        self.executions.on_end(status)
        if self._committing is not None or status != messages.IDLE:
            self.committing.on_ready(status)
        self.known.undone = NO_NAMES
        lexing = self.session.belongings.told.standard_lexing
        if self.facts.reads_alike is not lexing:
            self.on_lexing()
        if status == messages.IDLE:
            self.looked = None
            self.stirred = self.session.deciding or self.busy
            if not self.stirred:
                self._committing = None
            self.known.end()
            if not self.substitutes:
                self.substitutes = _NO_SUBSTITUTES
            self.settle_names()
            self.rewritten_portals = nothing()
            self.control_portals = nothing()
            self.described = nothing()
            if not self.stirred:
                self.portals = nothing()
                self.standing = nothing()
        if self.unclosed and not self.session.deciding:
            self._close_portals(self.standing.values())


def _all_seen() -> None:
    """Where there is no judge, there is nothing to wait for."""
