"""What plugins decide about messages of the extended protocol: Parse, Bind, Describe, Execute, Close."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import TOO_MANY_STATEMENTS, ClientError, ProtocolViolation
from interceptor.hooks.at_parse import AtParse
from interceptor.hooks.chain import Outcome
from interceptor.hooks.decisions import Block, Replay, Respond
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.statement import Execution
from interceptor.protocol import messages
from interceptor.session.answers import encode_block, encode_refusal, encode_shape, relocated
from interceptor.session.binding import BindMessage, decode_bind, is_parse, map_types, parameters_of
from interceptor.session.committing import control_of
from interceptor.session.conditions import SettingsRefused, conditions_of
from interceptor.session.known import Known
from interceptor.session.lacking import own
from interceptor.session.lookup import Pending, decide, look_up
from interceptor.session.observed import ObservedParse, tell_refused, tell_refused_text
from interceptor.session.rewritten import Refused, bind_again, bind_rewritten, refuse_hidden_commit, unasked_commit
from interceptor.session.substitutes import Answered, Blocked, Closed, Described, Opened, Reply, Shown
from interceptor.sql.effects import OPAQUE
from interceptor.sql.facts import MessageFacts

if TYPE_CHECKING:
    from interceptor.session.interception import Interception

PARSE_COMPLETE: Final = messages.PARSE_COMPLETE_MESSAGE
CLOSE_COMPLETE: Final = messages.CLOSE_COMPLETE_MESSAGE

_HAVE_PARAMETERS: Final = frozenset(["select", "insert", "update", "delete", "merge"])
"""Kinds of statements that have all parameters of their text. PREPARE and COPY, to name two, have none."""

_ABORTED: Final = Block("25P02", "current transaction is aborted, commands ignored until end of transaction block")

MAX_TEXTS: Final = 20_000
"""Statements whose text is remembered for one client; its session refuses more than half as many."""


def on_extended(interception: Interception, kind: int, message: bytes, targets: set[str | None]) -> Pending:
    """Look at one message, and return what takes its place."""
    if kind == messages.PARSE:
        return (yield from _on_parse(interception, message))
    if kind == messages.BIND:
        return (yield from _on_bind(interception, message, targets))
    if kind == messages.EXECUTE:
        return _on_execute(interception, message)
    return _on_describe(interception, message) if kind == messages.DESCRIBE else _on_close(interception, message)


def _on_parse(interception: Interception, message: bytes) -> Pending:
    if not is_parse(message):
        # PostgreSQL says best what is wrong.
        return message
    name_end = message.find(0, 5)
    name, body = message[5:name_end], message[name_end + 1 :]
    sql = body[: body.find(0)]
    known = Known(body, body)
    chain = yield from look_up(interception, sql)
    if chain is not None:
        found = chain.at_parse(interception.facts)
        at_parse = found if isinstance(found, AtParse) else cast("AtParse", (yield found))
        if at_parse.block is not None:
            tell_refused_text(
                at_parse, Execution(at_parse.statement, interception.facts, NO_PARAMETERS, protocol="extended")
            )
            block = relocated(at_parse.block, chain.statement, at_parse.statement)
            return interception.put(Blocked(encode_block(block, interception.style), simple=False))
        if at_parse.shape is not None and not interception.failed:
            known = replace(known, sent=b"", shape=at_parse.shape)
        elif at_parse.statement is not chain.statement:
            types = map_types(body, at_parse.parameters)
            known = replace(known, sent=at_parse.statement.sql + b"\0" + types)
        if known.shape is None and chain.observers:
            execution = Execution(at_parse.statement, interception.facts, NO_PARAMETERS, protocol="extended")
            interception.noted().parse = ObservedParse(chain, execution)
    there = interception.known.find(name) if name else None
    if there is not None and there.shape is not None:
        error = Block("42P05", f'prepared statement "{name.decode("utf-8", "replace")}" already exists')
        return interception.put(Blocked(encode_block(error, interception.style), simple=False))
    if there is not None:
        # PostgreSQL refuses it, or knows that SQL took the older one: then this one counts.
        known = Known(body, body)
    if len(interception.known.by_name) >= MAX_TEXTS:
        raise ClientError(TOO_MANY_STATEMENTS, f"this client has {MAX_TEXTS} prepared statements")
    interception.known.put(name, known)
    if known.shape is not None:
        return interception.put(Reply(PARSE_COMPLETE, None if name else message))
    if known.sent is body:
        return message
    interception.note_rewriting(known.rewriting(interception.style.encoding))
    return messages.encode_message(messages.PARSE, name + b"\0" + known.sent)


def _on_bind(interception: Interception, message: bytes, targets: set[str | None]) -> Pending:
    try:
        bind = decode_bind(message)
    except ProtocolViolation:
        # PostgreSQL refuses at least as much, and says best what is wrong.
        targets.add(None)
        return message
    if bind.portal and bind.portal in interception.portals:
        # The server refuses this, unless SQL took the portal away.
        del interception.portals[bind.portal]
    else:
        interception.close_portal(bind.portal)
    interception.rewritten_portals.pop(bind.portal, None)
    interception.described.pop(bind.portal, None)
    interception.control_portals.pop(bind.portal, None)
    known = interception.known.find(bind.statement)
    if known is None:
        targets.add(None)
        return (yield from _on_bind_of_sql(interception, bind.statement, message))
    _note_run(interception, bind.portal, known)
    chain = yield from look_up(interception, known.sql)
    if chain is None:
        refusal = yield from unasked_commit(interception, known.sql)
        if refusal is not None:
            return interception.put(Blocked(encode_block(refusal, interception.style), simple=False))
        interception.note_text(known.sql)
        interception.executions.count()
        _note_control(interception, bind.portal, known.sql)
    if chain is None and known.shape is None:
        targets.add(None)
        if known.sent is known.body:
            return message
        return (yield from bind_rewritten(interception, bind, message, known.sql, known.sent, None))
    if chain is None:
        # The plugin that answered Parse does not want it any more, as after a reload.
        return (yield from bind_rewritten(interception, bind, message, known.sql, known.body, None))
    types = map_types(known.body, None)
    execution = Execution(
        chain.statement,
        interception.facts,
        parameters_of(bind, types),
        protocol="extended",
        result_formats=bind.result_formats,
    )
    unbindable = _wrong_count(bind, execution, types)
    if unbindable is not None:
        # What plugins do with parameters that are not there would count as failures of theirs.
        outcome = Outcome(execution)
        outcome.observers = chain.observers
        tell_refused(outcome, unbindable, "proxy")
        return interception.put(Blocked(encode_block(unbindable, interception.style), simple=False))
    outcome = yield from decide(chain, execution)
    action = outcome.action
    if isinstance(action, Block):
        tell_refused(outcome, action)
        return interception.put(Blocked(encode_refusal(outcome, interception.style), simple=False))
    if isinstance(action, (Respond, Replay)) and not interception.failed:
        try:
            portal = interception.open_portal(outcome, bind.result_formats)
        except ValueError as error:
            unfit = Block("08P01", str(error))
            tell_refused(outcome, unfit)
            return interception.put(Blocked(encode_block(unfit, interception.style), simple=False))
        portal.run = interception.executions.begin_here(outcome)
        interception.portals = own(interception.portals)
        interception.portals[bind.portal] = portal
        return interception.put(Opened(portal, bind.portal))
    try:
        conditions = conditions_of(outcome)
    except SettingsRefused as unfit_settings:
        tell_refused(outcome, unfit_settings.block)
        return interception.put(Blocked(encode_block(unfit_settings.block, interception.style), simple=False))
    try:
        refuse_hidden_commit(interception, outcome)
    except Refused as refused:
        tell_refused(outcome, refused.block)
        return interception.put(Blocked(encode_block(refused.block, interception.style), simple=False))
    interception.note_text(known.sql)
    statement = outcome.execution.statement
    changed = statement is not chain.statement or outcome.mapping is not None or known.sent is not known.body
    if changed or outcome.before:
        try:
            message = yield from _bind_as_decided(interception, bind, message, known, outcome)
        except Refused as refused:
            tell_refused(outcome, refused.block)
            return interception.put(Blocked(encode_block(refused.block, interception.style), simple=False))
        interception.note_text(statement.sql)
    _note_control(interception, bind.portal, statement.sql, statement.facts)
    targets.add(outcome.target)
    interception.note_retry(outcome)
    interception.executions.begin(outcome, bind.portal, conditions)
    return message


def _note_control(interception: Interception, portal: bytes, sql: bytes, facts: MessageFacts | None = None) -> None:
    """This portal, at the server, runs this text: remember what that does to the transaction."""
    interception.control_portals = own(interception.control_portals)
    interception.control_portals[portal] = control_of(interception, sql, facts)
    if interception.failed and interception.session.effects_of(sql).transaction_control:
        interception.revived = True


def _wrong_count(bind: BindMessage, execution: Execution, types: bytes) -> Block | None:
    """PostgreSQL's refusal of a Bind that has not as many values as the client's text; None where only it can tell.

    ``types``: those of its Parse. As exec_bind_message (postgres.c).
    """
    facts = execution.statement.facts
    if facts.opaque or len(facts.statements) != 1 or facts.statements[0].kind not in _HAVE_PARAMETERS:
        return None
    wanted = max([int.from_bytes(types[:2], "big"), *[one.number for one in facts.parameters]])
    if len(bind.data) == wanted:
        return None
    name = bind.statement.decode("utf-8", "replace")
    return Block(
        "08P01",
        f'bind message supplies {len(bind.data)} parameters, but prepared statement "{name}" requires {wanted}',
    )


def _bind_as_decided(
    interception: Interception, bind: BindMessage, message: bytes, known: Known, outcome: Outcome
) -> Pending:
    """What takes the place of a Bind whose statement was rewritten, now or when it was parsed. Raises Refused."""
    body = outcome.execution.statement.sql + b"\0" + map_types(known.body, outcome.mapping)
    if body == known.sent and not outcome.before:
        return message if outcome.mapping is None else bind_again(interception, bind, outcome)
    if outcome.describe_original:
        interception.described = own(interception.described)
        interception.described[bind.portal] = Described(known.body, bind.result_formats)
    return (yield from bind_rewritten(interception, bind, message, known.sql, body, outcome))


def _note_run(interception: Interception, portal: bytes, known: Known) -> None:
    """Remember which text the server knows by this portal, where it is not the client's."""
    rewriting = known.rewriting(interception.style.encoding)
    if rewriting is not None:
        interception.note_rewriting(rewriting)
        interception.note_rewritten_portal(portal, rewriting)


def _on_bind_of_sql(interception: Interception, name: bytes, message: bytes) -> Pending:
    """A Bind to what SQL may have prepared under this name: it is what EXECUTE would be."""
    session = interception.session
    if not name or (session.named is not None and session.follows and not interception.may_prepare):
        return message  # SQL has prepared nothing, so PostgreSQL says that there is none
    sql = b'EXECUTE "' + name.replace(b'"', b'""') + b'"'
    chain = yield from look_up(interception, sql)
    if chain is not None:
        outcome = yield from decide(chain, Execution(chain.statement, interception.facts, NO_PARAMETERS))
        if isinstance(outcome.action, Block):
            return interception.put(Blocked(encode_block(outcome.action, interception.style), simple=False))
    interception.note_effects(OPAQUE)
    return message


def _on_describe(interception: Interception, message: bytes) -> bytes:
    name = message[6:-1]
    if message[5:6] == b"S":
        known = interception.known.find(name)
        if known is None:
            return message
        if known.shape is None:
            interception.note_rewriting(known.rewriting(interception.style.encoding))
            return message
        if interception.failed and known.shape.columns is not None:
            return interception.put(Blocked(encode_block(_ABORTED, interception.style), simple=False))
        return interception.put(Reply(encode_shape(known.shape, interception.style)))
    answer = interception.portals.get(name)
    if answer is None:
        described = interception.described.get(name)
        if described is not None:
            return interception.put(replace(described, run=interception.executions.portals.get(name)))
        interception.note_rewriting(interception.rewritten_portals.get(name))
        interception.executions.look_after(name)
        return message
    if answer.run is not None:
        answer.run.describe(answer.description[5:])
    return interception.put(Shown(answer, name))


def _on_execute(interception: Interception, message: bytes) -> bytes:
    portal_end = message.find(0, 5)
    portal = message[5:portal_end]
    answer = interception.portals.get(portal)
    if answer is None:
        interception.note_rewriting(interception.rewritten_portals.get(portal))
        interception.executions.look_after(portal)
        control = interception.control_portals.get(portal, "")
        if control:
            interception.noted().control = control
        return message
    if answer.run is not None:
        answer.run.pending += 1
    max_rows = int.from_bytes(message[portal_end + 1 : portal_end + 5], "big")
    return interception.put(Answered(answer, portal, max_rows=max_rows))


def _on_close(interception: Interception, message: bytes) -> bytes:
    name = message[6:-1]
    if message[5:6] == b"S":
        known = interception.known.by_name.pop(name, None)
        if known is not None and known.shape is not None:
            return interception.put(Reply(CLOSE_COMPLETE, None if name else b""))
    else:
        answer = interception.close_portal(name)
        if answer is not None:
            return interception.put(Closed(answer, name))
    return message
