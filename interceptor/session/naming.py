"""What the names of a client's statements mean, as far as plans rest on it: role, search_path, and how SQL is read.

What may change them counts as soon as it has been looked at. docs/design/interception.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Final

from interceptor.errors import SESSION_REFUSED, ClientError, Failure
from interceptor.hooks.decisions import Block
from interceptor.session.belongings import FOR_EVER
from interceptor.session.known import KnownStatements
from interceptor.sql.effects import NONE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.statement import Names, Session
    from interceptor.session.client import ClientSession

_MAY_PREPARE: Final = frozenset(
    [Effect.UNCOUNTED, Effect.SEED, Effect.LIBRARY, Effect.SESSION_RESOURCE, Effect.PREPARED_STATEMENT, Effect.OPAQUE]
)
"""Texts of these effects may have SQL's PREPARE in them: that one, and all that are graver or not known."""

_NOTHING_SAID: Final[Mapping[str, bytes]] = {}


class Naming:
    """That part of an ``Interception``."""

    __slots__ = (
        "_admitted",
        "_defines",
        "_doubtful",
        "_hidden_names",
        "_named",
        "_renamed_for_good",
        "_unsettled",
        "facts",
        "known",
        "may_prepare",
        "role",
        "search_path",
        "session",
        "stirred",
        "tables",
    )

    def __init__(self, session: ClientSession, tables: PlanTables, facts: Session) -> None:
        self.session = session
        self.tables = tables
        self.facts = facts
        self.known = KnownStatements(session)
        self.role = facts.role
        self.search_path = facts.search_path
        """Those of a session as after login."""
        self.stirred = False
        """Something was decided or noted since the last transaction ended: its end has to be seen to."""
        self.may_prepare = False
        """The transaction, or another that kept the backend, may have given names by SQL's PREPARE."""
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
        self._unsettled: Awaitable[object] | None = None
        """What has to be waited for before what was looked at may be sent."""
        self._hidden_names: Names | None = None
        """What was known of names before the transaction took something away that may have hidden another."""

    def note_effects(self, effects: SessionEffects) -> None:
        """A statement with these effects is about to run: what comes after it may mean something else."""
        self.stirred = True
        facts = self.facts
        if effects.effect in _MAY_PREPARE:
            self.may_prepare = True
        if effects.defines:
            self._defines = True
            self.session.host.on_defining()
        if effects.uncovers:
            self._unsettled = self.session.host.on_uncovering() or self._unsettled
        if effects.uncovers and facts.names != "unresolved":
            self._hidden_names, facts.names = facts.names, "unresolved"
            facts.table = None
            self._tell_change()
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

    def take_unsettled(self) -> Awaitable[object] | None:
        """What has to be waited for before anything is sent that was looked at: others have to know what it defines."""
        unsettled, self._unsettled = self._unsettled, None
        return unsettled

    @property
    def wants_names(self) -> bool:
        """A transaction has ended after which the role or the search_path may be others, and nobody will say so."""
        return self._renamed_for_good and not self.session.follows

    def on_names(self, settings: Mapping[str, bytes] | None) -> None:
        """What the server says that these are now; None: it would not say."""
        self._renamed_for_good = False
        self._named = settings

    def settle_definitions(self) -> None:
        """A transaction has ended: what it defined may be used by anybody, before anything is asked."""
        if self._defines:
            self._defines = False
            self.session.host.on_defined()

    def settle_names(self) -> None:
        """A transaction has ended, and what there is to know is known."""
        # Of a backend that is kept for good nobody asks which statements it has.
        self.may_prepare = self.may_prepare and not FOR_EVER.isdisjoint(self.session.belongings.pins)
        # It may have been refused before it was sent.
        self.settle_definitions()
        if self._hidden_names is not None:
            self.facts.names, self._hidden_names = self._hidden_names, None
            self.facts.table = None
            self._tell_change()
        belongings = self.session.belongings
        if not self._doubtful or belongings.doubt is not None:
            return
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
