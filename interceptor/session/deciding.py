"""A batch as plugins decided about it: its messages are looked at one by one, and replaced where that was decided."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import NOT_JUDGED, ClientError
from interceptor.hooks.chain import Chain
from interceptor.hooks.decisions import Block, Replay, Respond
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.statement import Execution
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.answers import CANCELED, encode_block, encode_refusal
from interceptor.session.bounds import MAX_JUDGED
from interceptor.session.conditions import SettingsRefused, join
from interceptor.session.extended import on_extended
from interceptor.session.lacking import nothing
from interceptor.session.lookup import Pending, decide, look_up
from interceptor.session.observed import tell_refused
from interceptor.session.retrying import Retrying, may_be_retried
from interceptor.session.rewritten import (
    SEVERAL,
    Refused,
    refusal_of,
    refuse_hidden_commit,
    rewritten_query,
    unasked_commit,
    with_conditions,
)
from interceptor.session.substitutes import SUBSTITUTE, Answered, Blocked
from interceptor.sql.effects import OPAQUE

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.session.interception import Interception

_EXTENDED: Final = frozenset(b"PBDEC")
COUNTED: Final = frozenset(b"QPBDECF") | {SUBSTITUTE}
"""Messages that are acted on only once they have been looked at."""


def decide_batch(interception: Interception, data: bytes, position: int, end: int) -> Pending:
    """Look at the batch that is in the data from ``position`` to ``end``."""
    out: list[bytes] = []
    interception.known.begin()
    interception.known.settle_unnamed()
    interception.target = interception.routed = None
    # Some may have been bound behind an error.
    interception.portals = dict(interception.standing) if interception.standing else nothing()
    interception.revived = False
    targets: set[str | None] = set()
    was_open = interception.facts.transaction.open
    first = True
    while position < end:
        kind, length = unpack_header(data, position)
        after = position + 1 + length
        message = data[position:after]
        interception.note = None
        if kind in _EXTENDED:
            change = interception.known.change_of(kind, message)
            if change is not None:
                interception.noted().change = change
        elif kind == messages.QUERY and not first:
            # It goes on with the transaction of the batch that it breaks into.
            interception.facts.transaction.implicit = True
        if kind in COUNTED:
            try:
                message = yield from _on_message(interception, kind, message, targets)
                yield from _settle(interception)
            except BaseException:
                if not interception.canceled:
                    raise
                interception.canceled = False
                message = interception.put(Blocked(CANCELED, simple=kind not in _EXTENDED))
        if message[0] in COUNTED:
            interception.known.journal.append(interception.note)
        out.append(message)
        position = after
        first = False
    # Whoever rests holds on to nothing of what it did last.
    interception.note = None
    if first:
        raise ClientError(
            NOT_JUDGED,
            f"a message of more than {MAX_JUDGED} bytes, which plugins would have to see whole",
            hint="Send large values in several statements, or by COPY.",
        )
    join(interception.known.journal)
    interception.facts.transaction.implicit = True
    target = interception.target = targets.pop() if len(targets) == 1 and not was_open else None
    batch = b"".join(out)
    routed = interception.take_routed()
    if routed is not None and target is not None and may_be_retried(interception, routed, batch):
        interception.retrying = Retrying(interception, routed, batch)
    return batch


def _settle(interception: Interception) -> Generator[Awaitable[object], object, None]:
    """Wait until other processes know what is about to be taken away. Nobody breaks that off: it takes a moment."""
    waits = interception.take_unsettled()
    if waits is not None:
        interception.settling = True
        try:
            yield waits
        finally:
            interception.settling = False


def _on_message(interception: Interception, kind: int, message: bytes, targets: set[str | None]) -> Pending:
    if kind == messages.QUERY:
        return (yield from _on_query(interception, message, targets))
    if kind == messages.FUNCTION_CALL:
        return (yield from _on_function_call(interception, message))
    return (yield from on_extended(interception, kind, message, targets))


def _on_query(interception: Interception, message: bytes, targets: set[str | None]) -> Pending:
    sql = message[5:-1]
    interception.known.by_name.pop(b"", None)
    end = message.find(0, 5)
    if end != len(message) - 1:
        # As PostgreSQL says it (pq_getmsgstring, pq_getmsgend).
        malformed = Block("08P01", "invalid string in message" if end < 0 else "invalid message format")
        return interception.put(Blocked(encode_block(malformed, interception.style), simple=True))
    chain = yield from look_up(interception, sql)
    if chain is None:
        targets.add(None)
        interception.note_text(sql)
        control = interception.note_control(sql)
        refusal = None
        if control == "several" and interception.wants_commit:
            refusal = SEVERAL
        elif not control:
            refusal = yield from unasked_commit(interception)
        if refusal is not None:
            return interception.put(Blocked(encode_block(refusal, interception.style), simple=True))
        interception.executions.count()
        return message
    outcome = yield from decide(chain, Execution(chain.statement, interception.facts, NO_PARAMETERS))
    action = outcome.action
    if isinstance(action, Block):
        tell_refused(outcome, action)
        return interception.put(Blocked(encode_refusal(outcome, interception.style), simple=True))
    if isinstance(action, (Respond, Replay)) and interception.facts.transaction.status != "failed":
        portal = interception.open_portal(outcome)
        portal.run = interception.executions.begin_here(outcome)
        return interception.put(Answered(portal, simple=True))
    interception.note_text(sql)
    statement = outcome.execution.statement
    control = interception.note_control(statement.sql, statement.facts)
    transaction, facts = interception.facts.transaction, statement.facts
    commits = interception.wants_commit and not control and transaction.status == "idle"
    if not (facts.statements or facts.opaque or transaction.implicit):
        # An empty Query has nothing to commit.
        commits = False
    try:
        if control == "several" and interception.wants_commit:
            raise Refused(outcome, "", SEVERAL)
        refuse_hidden_commit(interception, outcome)
        if statement is not chain.statement or outcome.before or commits:
            message = yield from rewritten_query(interception, sql, outcome, commits=commits)
    except Refused as refused:
        tell_refused(outcome, refused.block)
        return interception.put(Blocked(encode_block(refused.block, interception.style), simple=True))
    if statement is not chain.statement:
        interception.note_text(statement.sql)
    if outcome.settings:
        try:
            message = with_conditions(interception, message, outcome)
        except SettingsRefused as refused:
            if message[0] == SUBSTITUTE:
                interception.substitutes.pop()
            tell_refused(outcome, refused.block)
            return interception.put(Blocked(encode_block(refused.block, interception.style), simple=True))
    interception.executions.begin(outcome)
    targets.add(outcome.target)
    interception.note_retry(outcome)
    return message


def _on_function_call(interception: Interception, message: bytes) -> Pending:
    chain_or = interception.tables.lookup_function(interception.facts, int.from_bytes(message[5:9], "big"))
    if not (chain_or is False or isinstance(chain_or, Chain)):
        chain_or = cast("Chain | bool", (yield chain_or))  # type: ignore[assignment]
    if not isinstance(chain_or, Chain):
        refusal = yield from unasked_commit(interception)
        if refusal is not None:
            return interception.put(Blocked(encode_block(refusal, interception.style), simple=True))
        interception.note_effects(OPAQUE)
        return message
    execution = Execution(chain_or.statement, interception.facts, NO_PARAMETERS, protocol="function call")
    outcome = yield from decide(chain_or, execution)
    if isinstance(outcome.action, Block):
        tell_refused(outcome, outcome.action)
        return interception.put(Blocked(encode_block(outcome.action, interception.style), simple=True))
    if outcome.settings:
        block = SettingsRefused(outcome, "it is a FunctionCall").block
        tell_refused(outcome, block)
        return interception.put(Blocked(encode_block(block, interception.style), simple=True))
    unfit = _cant_call(interception, outcome)
    if unfit is not None:
        tell_refused(outcome, unfit)
        return interception.put(Blocked(encode_block(unfit, interception.style), simple=True))
    interception.note_effects(OPAQUE)
    interception.executions.begin(outcome)
    return message


def _cant_call(interception: Interception, outcome: Outcome) -> Block | None:
    """Why a FunctionCall can't be what was decided; None if it can."""
    if outcome.execution.rewritten:
        return refusal_of(outcome, "a FunctionCall has no text, so it can't be another one")
    if interception.wants_commit and interception.facts.transaction.status == "idle":
        return refusal_of(outcome, "a FunctionCall commits by itself, so nobody can be asked before that")
    return None
