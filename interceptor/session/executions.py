"""What is under way of one client about whose statements plugins decide: its executions, and its transaction.

What a plugin reads of the transaction (``Transaction.wrote`` and its kin) counts what was sent. Whether it was
committed, the server's answers tell: the tags of COMMIT and ROLLBACK, and errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import BackendError, ClientError, Failure
from interceptor.hooks.containment import call_back
from interceptor.protocol import messages
from interceptor.session.lacking import nothing, own
from interceptor.session.observed import By, Run, watch
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.hooks.statement import Statement
    from interceptor.hooks.transaction import Transaction
    from interceptor.session.answers import LocalPortal
    from interceptor.session.conditions import Conditions
    from interceptor.session.interception import Interception

_ENDS: Final = frozenset(["COMMIT", "ROLLBACK", "PREPARE TRANSACTION"])


class Executions:
    """One client's."""

    __slots__ = ("_chained", "_conditions", "_ended_by", "_failed", "_interception", "portals", "refusal", "runs")

    def __init__(self, interception: Interception) -> None:
        self._interception = interception
        self.runs: dict[Run, None] = nothing()
        """Those that somebody looks after and that have not ended."""
        self.portals: dict[bytes, Run] = nothing()
        """Those among them whose portals the backend has, by the portal's name."""
        self._conditions: dict[bytes, Conditions] = nothing()
        """Settings that hold for what is done with a portal."""
        self.refusal: ClientError | BackendError | None = None
        """Why what is skipped is not run; None where the server told, or a plugin."""
        self._failed = False
        """There was an error since the transaction began, or since the last tag that ended one."""
        self._ended_by = ""
        """The last such tag."""
        self._chained = False
        """The statement of that tag began another transaction."""

    # --- What is looked at -------------------------------------------------------------------------------------------

    @property
    def tracks(self) -> bool:
        """Some plugin rests on what is known of transactions."""
        return self._interception.tables.plugins.tracks_transactions

    @property
    def owed_sync(self) -> Request:
        """What a Sync is owed as."""
        return Request.TRACKED_SYNC if self.runs or self.tells else Request.SYNC

    @property
    def tells(self) -> bool:
        """The end of a Query is to be known before its client hears of it."""
        return self.tracks or self.tells_end

    @property
    def tells_end(self) -> bool:
        """Somebody is to be told of the end of the transaction, before the client is."""
        return self._interception.facts.transaction.has_after_end

    @property
    def has_conditions(self) -> bool:
        """Settings hold for what is done with a portal that there is."""
        return bool(self._conditions)

    def count(self) -> None:
        """An execution of which nothing else is to be noted is about to begin."""
        if self.tracks:
            self._transaction.statements += 1

    @property
    def _transaction(self) -> Transaction:
        """What plugins are told of the transaction, which is kept from now on if it was not before."""
        transaction = self._interception.facts.transaction
        if not transaction.tracked:
            transaction.track()
        return transaction

    def begin(self, outcome: Outcome, portal: bytes | None = None, conditions: Conditions | None = None) -> None:
        """What is looked at is to run: a Query or FunctionCall, or the Bind of a portal.

        ``conditions``: settings that hold for all that is done with this portal.
        """
        statement = outcome.execution.statement
        controls = False
        if self.tracks:
            controls = self._note_deeds(statement)
        run = watch(outcome, self, controls=controls)
        if portal is not None:
            self.portals.pop(portal, None)
            self._conditions.pop(portal, None)
            if conditions is not None:
                self._conditions = own(self._conditions)
                self._interception.noted().conditions = self._conditions[portal] = conditions
            if run is not None:
                self.look_after(portal, run)
        elif run is not None:
            self._interception.noted().run = run

    def begin_here(self, outcome: Outcome) -> Run | None:
        """What is looked at is answered by a plugin."""
        self.count()
        return watch(outcome, self, "plugin")

    def remember(self, run: Run) -> None:
        """It has begun."""
        self.runs = own(self.runs)
        self.runs[run] = None

    def forget(self, run: Run) -> None:
        """It has ended."""
        self.runs.pop(run, None)
        if not self.runs:
            self.runs = nothing()

    def _note_deeds(self, statement: Statement) -> bool:
        """Whether the tags of the statement have to be known."""
        transaction = self._transaction
        transaction.statements += 1
        deeds = statement.deeds
        transaction.wrote = transaction.wrote or deeds.wrote
        transaction.locked = transaction.locked or deeds.locked
        transaction.changed_schema = transaction.changed_schema or deeds.changed_schema
        if deeds.read_only is not None:
            transaction.read_only = deeds.read_only
        if deeds.isolation is not None:
            transaction.isolation = deeds.isolation
        return deeds.controls

    def look_after(self, portal: bytes, run: Run | None = None) -> None:
        """What is looked at is about this portal, which the backend has, if anybody has it.

        ``run``: of the Bind that makes it, in the place of an older one.
        """
        if run is None:
            run = self.portals.get(portal)
        else:
            self.portals = own(self.portals)
            self.portals[portal] = run
        if run is not None:
            run.pending += 1
            self._interception.noted().run = run
        if portal in self._conditions:
            self._interception.noted().conditions = self._conditions[portal]

    def close_portal(self, name: bytes, portal: LocalPortal | None) -> None:
        """What is looked at closes, or replaces, a portal: the backend's, or this one that was answered here."""
        self._conditions.pop(name, None)
        for run in (self.portals.pop(name, None), None if portal is None else portal.run):
            if run is not None:
                run.closing = True
                if not run.pending:
                    run.close()

    # --- What becomes of it ------------------------------------------------------------------------------------------

    def skip(self, run: Run | None) -> None:
        """A message of this execution is dropped because of an error before it."""
        if run is not None:
            run.skip(self.refusal)

    def on_refused(self, error: bytes) -> None:
        """What waits for a backend is answered with this ErrorResponse."""
        fields = messages.decode_error_fields(error[5:])
        kind = Failure(fields.get("C", ""), fields.get("C", ""))
        self.refusal = ClientError(kind, fields.get("M", ""), fatal=False)
        self.on_error()

    def on_error(self) -> None:
        """The client was sent an ErrorResponse, or is about to be."""
        self._failed = True
        self._interception.stirred = True

    def on_commit_failed(self, error: bytes, by: By = "backend") -> None:
        """What would have committed a Query that runs as a batch failed, with an ErrorResponse that has this body."""
        for run in list(self.runs):
            if run.uncommitted:
                run.fail_with(error, by)

    def on_control(self, tag: str) -> None:
        """A statement that ends the transaction with this tag, if it goes well, is about to be sent."""
        self._ended_by = tag

    def on_tag(self, run: Run, tag: str) -> None:
        """A statement of this execution has ended well."""
        if tag in _ENDS:
            self._failed = False
            self._ended_by = tag
            self._chained = run.execution.statement.deeds.chains

    def on_end(self, status: int) -> None:
        """A ReadyForQuery with this transaction status is about to be sent to the client."""
        interception = self._interception
        transaction = interception.facts.transaction
        self.refusal = None
        if not interception.busy:
            for run in list(self.runs):
                if run.uncommitted:
                    run.finish(run.tag)
        if status != messages.IDLE:
            if self._chained:
                self._end(self._ended_by == "COMMIT")
            transaction.implicit = False
            transaction.status = "open" if status == messages.IN_TRANSACTION else "failed"
            return
        if interception.session.deciding or interception.busy:
            # The server said something unasked in between.
            return
        for run in list(self.runs):
            # No portal outlives its transaction.
            run.close()
        self.portals = nothing()
        self._conditions = nothing()
        if transaction.open:
            self._end(not self._failed and self._ended_by in ("", "COMMIT"))
        else:
            transaction.end()
        self._failed = False

    def _end(self, committed: bool) -> None:
        interception = self._interception
        transaction = interception.facts.transaction
        if transaction.tracked and transaction.statements:
            interception.tables.plugins.notify("transaction_ended", interception.facts, committed)
        callbacks = transaction.end()
        for callback in callbacks:
            call_back(callback, committed)
        self._ended_by = ""
        self._chained = False

    def give_up(self, error: ClientError | BackendError | None = None) -> None:
        """The session ends, for this reason or because its client leaves: nothing under way comes to an end."""
        for run in list(self.runs):
            run.give_up(error)
        transaction = self._interception.facts.transaction
        if transaction.open:
            self._end(False)
