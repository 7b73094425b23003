"""What plugins decide about a client's messages, before anything acts on them.

At the beginning of a batch (a Query, or all up to a Sync) its messages are looked at one by one, and chains of plugins
are run. What comes out is a batch again: messages as they came, rewritten ones, and substitutes for those that are
blocked or answered here. So the rest of the session knows nothing of plugins, and order, errors and transactions hold
for their answers as they do for the backend's.

A decision may have to be waited for: then this client's messages wait, and nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import SESSION_REFUSED, ClientError, Failure
from interceptor.hooks.decisions import Block
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle
from interceptor.session.answers import LocalPortal
from interceptor.session.bounds import LARGE_KINDS, SMALL_KINDS
from interceptor.session.committing import Committing, Control, control_of
from interceptor.session.deciding import COUNTED, decide_batch
from interceptor.session.delivery import Delivery
from interceptor.session.executions import Executions
from interceptor.session.known import KnownStatements
from interceptor.session.lookup import Pending
from interceptor.session.notes import Note
from interceptor.session.positions import Rewriting
from interceptor.session.substitutes import SUBSTITUTE, SUBSTITUTE_MESSAGE, Answered, Described, Substitute
from interceptor.sql.effects import NONE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.statement import Session
    from interceptor.session.client import ClientSession
    from interceptor.session.retrying import Retrying
    from interceptor.session.staging import Stage


_NO_SUBSTITUTES: Final[deque[Substitute]] = deque()
"""Never changed: another one is put in its place. Even an empty one takes 600 bytes."""
_NOTHING_SAID: Final[Mapping[str, bytes]] = {}


class Interception:
    """One client's side of the plugins.

    There is one for each client, so an idle one owns next to nothing: what it needs for a batch is made for it, and
    given up when its transaction is over.
    """

    __slots__ = (
        "_admitted",
        "_defines",
        "_doubtful",
        "_named",
        "_renamed_for_good",
        "canceled",
        "committing",
        "control_portals",
        "delivery",
        "described",
        "executions",
        "facts",
        "known",
        "note",
        "portals",
        "portals_elsewhere",
        "redoes",
        "retrying",
        "rewritten_portals",
        "role",
        "routed",
        "search_path",
        "session",
        "sight",
        "stage",
        "stirred",
        "substitutes",
        "tables",
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
        self.sight: Callable[[], Awaitable[object] | None] = sight or _all_seen
        self.session = session
        self.tables = tables
        self.facts = facts
        self.role = facts.role
        self.search_path = facts.search_path
        """Those of a session as after login."""
        self._admitted = facts.reads_alike
        """How SQL read when plugins admitted the session last."""
        self._doubtful = False
        """Settings may be others since the transaction began."""
        self._renamed_for_good = False
        """And so may the role or the search_path, for longer than it lasts."""
        self._named: Mapping[str, bytes] | None = _NOTHING_SAID
        """In session mode what was said last of the settings that decide about names. None: nobody knows any more."""
        self._defines = False
        """The transaction may have created or altered what others will use."""
        self.stirred = False
        """Something was decided or noted since the last transaction ended: its end has to be seen to."""
        self.substitutes = _NO_SUBSTITUTES
        self.known = KnownStatements(session)
        self.portals: dict[bytes, LocalPortal] = {}
        self.unclosed: frozenset[LocalPortal] = frozenset()
        """All answers whose source may have to be told that nobody wants more of it."""
        self.portals_elsewhere: frozenset[bytes] = frozenset()
        """Named portals that the backend may have."""
        self.rewritten_portals: dict[bytes, Rewriting] = {}
        """Portals at the backend that run another text than the client's."""
        self.described: dict[bytes, Described] = {}
        """Those of them that are described as if it was the client's."""
        self.delivery = Delivery(session, self, tables.waits)
        self.committing = Committing(self)
        self.control_portals: dict[bytes, Control] = {}
        """Portals at the backend that begin or end a transaction."""
        self.stage: Stage | None = None
        """What runs before a statement, while it waits for the server or for rows of a plugin."""
        self.routed: Outcome | None = None
        """The execution of the batch that is looked at which may be run once more elsewhere."""
        self.retrying: Retrying | None = None
        """The batch under way, while it may be run once more on another target."""
        self.redoes = False
        """It is about to be: nothing has ended."""
        self.canceled = False
        """The client asked to cancel what plugins take their time for; the wait for it is about to be broken off."""
        self.note: Note | None = None
        """About the message that is being looked at."""
        self.executions = Executions(self)
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

    @property
    def busy(self) -> bool:
        """Rows of a plugin are being sent, to the client or before a statement."""
        return self.delivery.busy or self.stage is not None or self.committing.asking

    # --- Looking ---------------------------------------------------------------------------------------------------

    def look_at(self, data: bytes, position: int) -> bytes | None:
        """The data from ``position`` on, with its first batch as plugins decided; None if that has to be waited for.

        In the latter case the caller keeps the data, and ``ClientSession.on_decided`` is called.
        """
        end = self._end_of_batch(data, position)
        self.canceled = False
        self.stirred = True
        pending = decide_batch(self, data, position, end)
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
            self.unclosed -= {portal}
            closing = portal.close()
            if closing is not None:
                self.tables.waits.start(closing)

    def on_gone(self) -> None:
        """The client is gone. What was waited for on its behalf is being broken off, and sees to its own answer."""
        self._close_portals((self.delivery.portal,))

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
        takes_time = self.delivery.busy or filling or self.session.deciding or self.committing.asking
        if self.canceled or not takes_time:
            return False
        self.canceled = True
        return True

    # --- What the session tells ------------------------------------------------------------------------------------

    def skip(self, kind: int) -> None:
        """A message is dropped because of an error before it."""
        if self.known.journal and kind in COUNTED:
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

    def note_control(self, sql: bytes) -> Control:
        """The message that is being looked at runs this text. Returns what that does to its transaction."""
        control = control_of(self, sql)
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

    def close_portal(self, name: bytes) -> bool:
        """The message that is looked at closes, or replaces, this portal. Whether it was answered here."""
        portal = self.portals.pop(name, None)
        self.executions.close_portal(name, portal)
        return portal is not None

    def take_target(self) -> str | None:
        """Where the batch that comes now is to run."""
        target, self.target = self.target, None
        return target

    @property
    def in_batch(self) -> bool:
        """A batch goes on, whose beginning has been looked at."""
        return self.facts.transaction.implicit

    def on_ready(self, status: int) -> None:
        """A ReadyForQuery, with this transaction status, has been sent, and nothing is owed."""
        if status != messages.IDLE:
            self.stirred = True
        elif not self.stirred and not self.committing.skipped:
            # All of it passed by, and there was no transaction block.
            return
        self.executions.on_end(status)
        self.committing.on_ready(status)
        self.known.undone = frozenset()
        lexing = self.session.belongings.told.standard_lexing
        if self.facts.reads_alike is not lexing:
            self.on_lexing()
        if status == messages.IDLE:
            self.stirred = self.session.deciding or self.busy
            self.known.end()
            if not self.substitutes:
                self.substitutes = _NO_SUBSTITUTES
            if self._defines:
                self._defines = False
                if not self.session.follows:
                    self.session.host.on_defined()
            if self._doubtful and self.session.belongings.doubt is None:
                self._settle()
            self.portals_elsewhere = frozenset()
            self.rewritten_portals.clear()
            self.control_portals.clear()
            self.described.clear()
            self.portals.clear()
        if self.unclosed:
            self._close_portals(self.portals.values())

    # --- What names mean ---------------------------------------------------------------------------------------------

    def note_effects(self, effects: SessionEffects) -> None:
        """A statement with these effects is about to run: what comes after it may mean something else."""
        self.stirred = True
        facts = self.facts
        self._defines = self._defines or effects.defines
        if effects.effect is not None and effects.effect is not Effect.TEMPORARY_OBJECT:
            self._doubtful = True
            if not facts.settings_unknown:
                facts.settings_unknown = True
                facts.application_name = facts.table = None
                self._tell_change()
        if effects.may_rename:
            self._doubtful = True
            self._renamed_for_good = self._renamed_for_good or effects.effect is not None
            if facts.role is not None or facts.search_path is not None or facts.reads_alike:
                facts.role = facts.search_path = facts.table = None
                # Until the server has had the chance to say so.
                facts.reads_alike = False
                self._tell_change()

    def note_text(self, sql: bytes) -> None:
        """As ``note_effects``, of a text that is about to run."""
        effects = self.session.effects_of(sql)
        if effects is not NONE:
            self.note_effects(effects)
            if effects.reduces:
                self.known.on_sql(sql)

    @property
    def wants_names(self) -> bool:
        """A transaction has ended after which the role or the search_path may be others, and nobody will say so."""
        return self._renamed_for_good and not self.session.follows

    def on_names(self, settings: Mapping[str, bytes] | None) -> None:
        """What the server says that these are now; None: it would not say."""
        self._renamed_for_good = False
        self._named = settings

    def _settle(self) -> None:
        """A transaction has ended in which something was noted, and what there is to know is known."""
        belongings = self.session.belongings
        facts = self.facts
        if self.session.follows:
            if not belongings.unsure:
                self._named = {}
            elif self._renamed_for_good:
                self._named = None
            self._know(belongings.settings.values)
            facts.settings_unknown = belongings.unsure
        else:
            self._know(self._named or {})
            facts.settings_unknown = True
            facts.application_name = belongings.told.values.get(b"application_name", b"").decode("utf-8", "replace")
        self._doubtful = self._renamed_for_good = False
        if self._named is None:
            facts.role = facts.search_path = None
        self._tell_change()

    def _know(self, settings: Mapping[str, bytes]) -> None:
        """The session has these settings now, beside those after login."""
        known = {name: value.decode("utf-8", "replace") for name, value in settings.items()}
        facts = self.facts
        facts.table = None
        facts.settings_unknown = False
        facts.settings = dict(known)
        role = known.get("role")
        facts.role = known.get("session_authorization") or self.role if role in (None, "none") else role
        facts.application_name = known.get("application_name", facts.startup.get("application_name", ""))
        facts.search_path = known.get("search_path", self.search_path)

    def _tell_change(self) -> None:
        self.tables.plugins.notify("session_changed", self.facts)

    def on_lexing(self) -> None:
        """The server reads SQL in another way from now on, as it says."""
        self.stirred = True
        self.facts.reads_alike = self.session.belongings.told.standard_lexing
        self.facts.table = None
        self._tell_change()
        if self.facts.reads_alike is not self._admitted and self.tables.plugins.implementations("admit"):
            self._admitted = self.facts.reads_alike
            # Later, for this is the midst of an answer; guards judge what comes until then.
            self.session.host.wait_for(self._admit_again(), self._on_admitted)

    async def _admit_again(self) -> Block | None:
        answer = self.tables.plugins.admit(self.facts, self.tables.waits)
        return answer if answer is None or isinstance(answer, Block) else await answer

    def _on_admitted(self, refusal: object) -> None:
        if isinstance(refusal, Block):
            failure = Failure(SESSION_REFUSED.code, refusal.sqlstate)
            error = ClientError(failure, refusal.message, detail=refusal.detail, hint=refusal.hint)
            self.session.host.on_failed(error)


def _all_seen() -> None:
    """Where there is no judge, there is nothing to wait for."""
