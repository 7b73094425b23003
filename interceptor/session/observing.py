"""Executions that pass by as they came, though somebody is to hear how they end.

An observer decides nothing. Where a text has nothing but observers, which want to hear of ends alone, a batch that runs
it once is forwarded like one that nobody wants (``passing``). Of what answers it, the rows are counted and the end is
told: what it is owed as is an ``OBSERVED_QUERY`` or ``OBSERVED_EXECUTE`` until then. All else of ``observed.Run`` is as
for an execution that was looked at message by message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import ProtocolViolation
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.statement import Execution
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.binding import decode_bind, parameters_of
from interceptor.session.notes import Note
from interceptor.session.observed import Run
from interceptor.session.states import OBSERVED, SYNCS, Request
from interceptor.session.watching import MORE, WRONG, count_rows
from interceptor.sql.effects import NONE, WRITES

if TYPE_CHECKING:
    from interceptor.hooks.chain import Chain
    from interceptor.hooks.statement import Session, Statement
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception

__all__ = ["attach", "end_of_observed", "on_observed"]

_EXECUTE_ALL: Final = b"E\0\0\0\x09\0\0\0\0\0"
_DESCRIBE_PORTAL: Final = b"D\0\0\0\x06P\0"
ENDS: Final = frozenset([_EXECUTE_ALL + messages.SYNC_MESSAGE, _DESCRIBE_PORTAL + _EXECUTE_ALL + messages.SYNC_MESSAGE])
"""How nearly every batch ends."""

_KINDS: Final = frozenset(["select", "insert", "update", "delete", "merge"])
_QUERY: Final = int(Request.QUERY)
_SYNC: Final = int(Request.SYNC)
_OBSERVED_QUERY: Final = int(Request.OBSERVED_QUERY)
_OBSERVED_EXECUTE: Final = int(Request.OBSERVED_EXECUTE)
_MAX_CONTROL: Final = 1024 * 1024
_MAX_MESSAGE: Final = 0x3FFFFFFF + 4


class _Bound(Execution):
    """One whose parameters are taken from its Bind when somebody asks for them, which nobody does of most."""

    __slots__ = ("_bind", "_types")

    def __init__(self, statement: Statement, session: Session, bind: bytes, types: bytes) -> None:
        """``types``: what is behind the text in its Parse."""
        self.statement = statement
        self.session = session
        self.protocol = "extended"
        self.original = self
        self._bind = bind
        self._types = types

    def __getattr__(self, name: str) -> object:
        if name not in ("parameters", "result_formats"):
            raise AttributeError(name)
        self.parameters, self.result_formats = NO_PARAMETERS, ()
        try:
            bind = decode_bind(self._bind)
        except ProtocolViolation:
            # The server has refused it, and there are none.
            pass
        else:
            self.parameters, self.result_formats = parameters_of(bind, self._types), bind.result_formats
        return getattr(self, name)


def end_of_observed(interception: Interception, chain: Chain, data: bytes, position: int, end: int) -> int:
    """Where the batch ends that begins at ``position`` and runs the text of this chain; ``position`` where it is not as
    simple as that.

    ``end``: where its first message ends, a Query, the Parse of the unnamed statement or a Bind, which is known to be
    of that text. If it is as simple, its observers hear of its beginning, and it counts as decided about.
    """
    if chain.steps or not chain.observers.hears_ends_only:
        return position
    sql, facts = chain.statement.sql, chain.statement.facts
    effects = interception.session.effects_of(sql)
    if (effects is not NONE and effects is not WRITES) or facts.opaque or facts.statements[0].kind not in _KINDS:
        return position
    kind = data[position]
    if kind == messages.QUERY:
        execution = Execution(chain.statement, interception.facts, NO_PARAMETERS)
    else:
        begin, types = position, b""
        if kind == messages.PARSE:
            types = data[position + 7 + len(sql) : end]
            begin = end
            if data[begin : begin + 1] != b"B" or len(data) - begin < 7:
                return position
            end = begin + 1 + unpack_header(data, begin)[1]
        if data[begin + 5] or (kind == messages.PARSE and data[begin + 6]) or data[end:] not in ENDS:
            return position
        if kind == messages.BIND:
            known = interception.known.by_name[data[begin + 6 : data.find(0, begin + 6)]]
            types = known.body[len(sql) + 1 :]
        execution = _Bound(chain.statement, interception.facts, data[begin:end], types)
        end = len(data)
    if not interception.session.follows:
        interception.note_text(sql)
    run = interception.passing = Run(execution, chain.observers, interception.executions)
    table = interception.facts.table
    assert table is not None
    run.batch_size, run.plans = end - position, (table, table.epoch)
    return end


def attach(session: ClientSession, backend: BackendSession, interception: Interception) -> None:
    """The batch that passes has been acted on, if it was not held: look at how it ends."""
    owed = backend.owed
    last = owed[-1] if owed else -1
    run = interception.passing
    assert run is not None
    if last == _QUERY:
        owed[-1] = _OBSERVED_QUERY
    elif last in SYNCS:
        # Nobody else hears of its end: else it would have been looked at.
        owed[-1] = _SYNC
        owed[-2] = _OBSERVED_EXECUTE
        if session.retry:
            run.pending = 1
            interception.known.again = (Note(run=run),)
    else:
        assert session.held
        return
    interception.passing = None
    run.target = backend.target
    backend.watched.append(run)


def on_observed(backend: BackendSession, data: bytes, position: int) -> int:
    """Count rows from ``position`` on, or tell the end.

    Returns where to go on: at ``position`` itself if the message is now the plain request's to act on, ``MORE`` if it
    has to come whole first; less than that if it has no place here.
    """
    run = backend.watched[0]
    kind, length = unpack_header(data, position)
    if not 4 <= length <= _MAX_MESSAGE:
        return WRONG[0]
    if kind == messages.DATA_ROW:
        run.answered()
        return count_rows(run, data, position)
    if length > _MAX_CONTROL:
        return WRONG[0]
    end = position + 1 + length
    if end > len(data):
        return MORE
    run.answered()
    if kind == messages.ERROR_RESPONSE:
        run.fail_with(data[position + 5 : end])
    else:
        run.finish(data[position + 5 : end - 1].decode("utf-8", "replace"))
    backend.owed[0] = OBSERVED[backend.owed[0]]
    backend.watched.popleft()
    return position
