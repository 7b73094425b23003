"""One execution that somebody looks after: whom observers are told of, and whose result has limits.

An execution is a Query, a FunctionCall, or a Bind with all Executes of its portal. Most have neither observers nor
limits, and no ``Run``. That of the others is told what becomes of it by whoever knows: the backend's half where the
server answers (``watching``), ``Delivery`` where a plugin does, and the client's half where nothing is run at all.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from interceptor.errors import QUERY_CANCELED, BackendError, ClientError, ProtocolViolation
from interceptor.hooks.decisions import NO_LIMITS, Limits
from interceptor.hooks.observing import Completion, Failure
from interceptor.protocol.messages import decode_error_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interceptor.hooks.answers import Piece
    from interceptor.hooks.audience import Audience
    from interceptor.hooks.chain import AtParse, Chain, Outcome
    from interceptor.hooks.decisions import Block
    from interceptor.hooks.plans import PlanTable
    from interceptor.hooks.statement import Execution
    from interceptor.session.executions import Executions

By = Literal["backend", "plugin", "proxy"]

SUSPENDED: Final = "PORTAL SUSPENDED"
"""The tag of an execution whose client took a part of its rows, and no more."""

_clock = time.monotonic


class Run:
    """An execution from its decision to its end. Exactly one of ``finish`` and ``fail`` has an effect, the first."""

    # Defaults of the class, not of the instance: most executions change few of them.
    first: float = -1.0
    """Seconds until its first answer; negative while there is none."""
    target: str = ""
    """Where it runs, once that is known."""
    plugin: str = ""
    """Which plugin answers it, if one does."""
    reason: str = ""
    """Why."""
    rows: int = 0
    size: int = 0
    tag: str = ""
    """Of its last statement that ended."""
    pending: int = 0
    """Messages of it that have been looked at, and neither answered nor skipped."""
    batch_size: int = 0
    """Bytes of the batch that it passes by in (``observing``)."""
    plans: tuple[PlanTable, int] | None = None
    """What it rested on that this batch passes by, and how often that had been emptied."""
    suspended: bool = False
    closing: bool = False
    """Its portal is closed, or replaced."""
    commits: bool = False
    """It is a Query that runs as a batch, whose Sync commits it: only then is it known how it ended."""
    uncommitted: bool = False
    """It has come to that: all of it has gone well, and is not committed."""
    done: bool = False
    limits: Limits = NO_LIMITS
    limited: bool = False
    rows_left: int = 0
    bytes_left: int = 0

    def __init__(
        self,
        execution: Execution,
        audience: Audience,
        executions: Executions,
        by: Literal["backend", "plugin"] = "backend",
    ) -> None:
        """``executions``: those of its session, which know of it until it ends. ``by``: who answers it."""
        self.execution = execution
        self.audience = audience
        self.wants_rows = audience.wants_rows
        self.executions = executions
        self.by = by
        facts = execution.statement.facts
        self.statements = 0 if facts.opaque or execution.statement.function else len(facts.statements)
        """How many tags are still to come; 0 where only its end tells."""
        executions.remember(self)
        self.began = _clock()
        audience.started(execution)

    def limit(self, limits: Limits) -> None:
        """Its result may be no larger than that."""
        self.limits = limits
        self.limited = True
        self.rows_left = limits.rows or _UNLIMITED
        self.bytes_left = limits.bytes or _UNLIMITED

    @property
    def sql(self) -> bytes:
        """The client's text."""
        return self.execution.original.statement.sql

    # --- What is told on the way -----------------------------------------------------------------------------------

    def answered(self) -> None:
        """Something of its answer has come."""
        if self.first < 0:
            self.first = _clock() - self.began

    def describe(self, body: bytes) -> None:
        """The body of a RowDescription."""
        if not self.done and self.audience.wants_description:
            self.audience.described(self.execution, body)

    def receive(self, rows: bytes) -> None:
        """Whole DataRow messages."""
        if not self.done and self.wants_rows:
            self.audience.received(self.execution, rows)

    def take_piece(self, piece: Piece) -> None:
        """Rows of an answer that is made here, and perhaps its failure."""
        self.answered()
        self.rows += piece.rows
        self.size += len(piece.messages)
        if piece.messages:
            self.receive(piece.messages)
        if piece.block is not None:
            self.block(piece.block)

    def end_statement(self, tag: str) -> None:
        """One of its statements has ended; with the last one all is done."""
        self.tag = tag
        if self.statements == 1:
            self.finish(tag)
        else:
            self.statements -= 1

    def end_portal(self, tag: str) -> None:
        """Its portal has come to its end."""
        if self.commits:
            self.tag = tag
            self.uncommitted = True
        else:
            self.finish(tag)

    def settle(self) -> None:
        """A message of it has been answered, or skipped."""
        self.pending -= 1
        if self.closing and not self.pending:
            self.close()

    # --- The end ---------------------------------------------------------------------------------------------------

    def finish(self, tag: str) -> None:
        """It went well."""
        if self._end():
            seconds = _clock() - self.began
            first = seconds if self.first < 0 else self.first
            completion = Completion(
                tag, self.rows, self.size, seconds, first, self.by, self.target, self.plugin, self.reason
            )
            self.audience.finished(self.execution, completion)

    def fail(self, sqlstate: str, message: str, by: By) -> None:
        """It did not."""
        if self._end():
            plugin, reason = (self.plugin, self.reason) if by == "plugin" else ("", "")
            seconds = _clock() - self.began
            failure = Failure(sqlstate, message, seconds, by, self.target, plugin=plugin, reason=reason)
            self.audience.failed(self.execution, failure)

    def retry(self, sqlstate: str, message: str) -> None:
        """It failed, and is being run once more on another target."""
        if not self.done:
            failure = Failure(sqlstate, message, _clock() - self.began, "backend", self.target, retried=True)
            self.audience.failed(self.execution, failure)

    def fail_with(self, body: bytes, by: By = "backend") -> None:
        """It failed with the ErrorResponse that has this body."""
        if not self.done:
            sqlstate, message = _told_by(body)
            self.fail(sqlstate, message, by)

    def block(self, block: Block, by: By = "plugin") -> None:
        """It was refused, or its answer was broken off."""
        self.fail(block.sqlstate, block.message, by)

    def give_up(self, error: ClientError | BackendError | None) -> None:
        """Its session ends: for this reason, or because the client leaves."""
        if error is None:
            self.never_ran("the client left before it was answered")
        else:
            sqlstate = error.sqlstate if isinstance(error, BackendError) else error.failure.sqlstate
            self.fail(sqlstate, error.message, "proxy")

    def never_ran(self, why: str) -> None:
        """Nothing will come of it."""
        self.fail(QUERY_CANCELED.sqlstate, why, "proxy")

    def skip(self, why: ClientError | BackendError | None = None) -> None:
        """A message of it is skipped, because of an error."""
        if why is not None:
            self.give_up(why)
        elif not self.suspended:
            self.never_ran("an error came before it")
        self.settle()

    def close(self) -> None:
        """There is no portal any more that could be executed."""
        if self.suspended:
            self.finish(SUSPENDED)
        else:
            self.never_ran("its portal was never executed")

    def _end(self) -> bool:
        if self.done:
            return False
        self.done = True
        self.executions.forget(self)
        return True


_UNLIMITED: Final = 1 << 62


def watch(
    outcome: Outcome, executions: Executions, by: Literal["backend", "plugin"] = "backend", *, controls: bool = False
) -> Run | None:
    """The run of an execution that is to be looked after; None for all others. Its observers hear of its beginning.

    ``controls``: its tags have to be known.
    """
    limits = outcome.limits
    if not outcome.observers and not controls and (by == "plugin" or not (limits.rows or limits.bytes)):
        return None
    run = Run(outcome.execution, outcome.observers, executions, by)
    if by == "plugin":
        run.plugin, run.reason = outcome.by, outcome.reason
    if by == "backend" and (limits.rows or limits.bytes):
        run.limit(limits)
    return run


def tell_refused(outcome: Outcome, block: Block, by: By = "plugin") -> None:
    """Tell observers of an execution that is refused before it begins."""
    plugin, reason = (outcome.by, outcome.reason) if by == "plugin" else ("", "")
    failure = Failure(block.sqlstate, block.message, 0.0, by, plugin=plugin, reason=reason)
    _tell_refused(outcome.observers, outcome.execution, failure)


def tell_refused_text(at_parse: AtParse, execution: Execution) -> None:
    """Tell observers of a text that is refused at Parse, as of an execution without parameters."""
    assert at_parse.block is not None
    block = at_parse.block
    failure = Failure(block.sqlstate, block.message, 0.0, "plugin", plugin=at_parse.by, reason=at_parse.reason)
    _tell_refused(at_parse.observers, execution, failure)


class ObservedParse:
    """A Parse of a text whose executions are observed. PostgreSQL may refuse it, so that there will be none."""

    __slots__ = ("_audience", "_began", "_execution", "_sql")

    def __init__(self, chain: Chain, execution: Execution) -> None:
        """``execution``: what observers are told of, one without parameters."""
        self._audience = chain.observers
        self._sql = chain.statement.sql
        self._execution = execution
        self._began = _clock()

    def fail_with(self, body: bytes, target: str, runs: Iterable[Run]) -> None:
        """It was refused with the ErrorResponse that has this body. Of ``runs`` those fail that were to execute it; if
        there are none, observers hear of one all the same."""
        meant = [run for run in runs if run.pending and run.first < 0 and run.sql == self._sql]
        for run in meant:
            run.target = target
            run.fail_with(body)
        if not meant:
            sqlstate, message = _told_by(body)
            self._audience.started(self._execution)
            failure = Failure(sqlstate, message, _clock() - self._began, "backend", target)
            self._audience.failed(self._execution, failure)


def _told_by(body: bytes) -> tuple[str, str]:
    """SQLSTATE and message of an ErrorResponse with this body, as far as it has them."""
    try:
        fields = decode_error_fields(body)
    except ProtocolViolation:
        fields = {}
    return fields.get("C", ""), fields.get("M", "")


def _tell_refused(audience: Audience, execution: Execution, failure: Failure) -> None:
    if audience:
        audience.started(execution)
        audience.failed(execution, failure)
