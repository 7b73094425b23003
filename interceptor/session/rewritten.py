"""What is sent where a plugin rewrote a statement: built from its decision, or refused where that can't be done."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import REWRITE_REFUSED
from interceptor.hooks.decisions import Block, CopyRows, Value
from interceptor.hooks.parameters import BoundValue
from interceptor.protocol import messages
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.values import encode_binary
from interceptor.session.binding import BindMessage, encode_bind, map_types
from interceptor.session.conditions import conditions_of, refuse_several
from interceptor.session.notes import Note
from interceptor.session.positions import Rewriting
from interceptor.session.prelude import PASSING_NAME
from interceptor.session.substitutes import SUBSTITUTE, Bound, Fill, Staged
from interceptor.sql.facts import Group, MessageFacts

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.session.interception import Interception
    from interceptor.session.lookup import Pending

__all__ = [
    "SEVERAL",
    "Refused",
    "bind_again",
    "bind_rewritten",
    "refusal_of",
    "refuse_hidden_commit",
    "rewritten_query",
    "unasked_commit",
    "with_conditions",
]

_NO_TYPES = b"\0\0"
_MAY_END: Final = (b"commit", b"rollback", b"\\", b"uescape")
"""What the text of a DO has in it that ends its transaction: such a word, or characters that may stand for one."""


class Refused(Exception):
    """What a plugin asked for can't be done for this statement."""

    def __init__(self, outcome: Outcome, reason: str, block: Block | None = None) -> None:
        super().__init__(reason)
        self.block = block or refusal_of(outcome, reason)


def refusal_of(outcome: Outcome, reason: str) -> Block:
    """What the client is told."""
    plugin = f"the plugin {outcome.by} asked for" if outcome.by else "plugins asked for"
    return Block(REWRITE_REFUSED.sqlstate, f"({REWRITE_REFUSED.code}) what {plugin} can't be done: {reason}")


SEVERAL: Final = Block(
    REWRITE_REFUSED.sqlstate,
    f"({REWRITE_REFUSED.code}) a plugin wants to be asked before this transaction is committed, "
    "which it can't be in the midst of a Query of several statements",
    hint="Send COMMIT in a Query of its own.",
)


_UNASKED: Final = (
    "a plugin wants to be asked before this transaction is committed, which it can't be before the commits that a CALL "
    "or DO may have in it, or before that of a Query or FunctionCall in the midst of a batch"
)


def rewritten_query(interception: Interception, sql: bytes, outcome: Outcome, *, commits: bool = False) -> Pending:
    """What takes the place of the Query ``sql``. ``commits``: plugins are asked before. Raises Refused."""
    statement = outcome.execution.statement
    rewriting = Rewriting(sql, statement.sql, interception.style.encoding)
    values = _values(interception, outcome)
    before = yield from _before(interception, outcome)
    if not values and not before and not outcome.describe_original and not commits:
        interception.note_rewriting(rewriting)
        return messages.encode_message(messages.QUERY, statement.sql + b"\0")
    facts = [statement.facts]
    if outcome.describe_original:
        facts.append(outcome.execution.original.statement.facts)
    if any(len(one.statements) != 1 for one in facts):
        raise Refused(
            outcome,
            "values, what runs before it, another's description, and to be asked before its commit are for a text of "
            "exactly one statement",
        )
    if commits and interception.facts.transaction.implicit:
        raise Refused(outcome, "nobody can be asked before a Query commits the batch that it breaks into")
    if _copies_in(statement.facts):
        raise Refused(
            outcome, "a COPY FROM STDIN in the simple protocol takes no values, nothing before it or before its commit"
        )
    types = map_types(b"\0" + _NO_TYPES, outcome.mapping) if outcome.mapping is not None else _NO_TYPES
    staged = Staged(
        statement.sql + b"\0" + types,
        encode_bind(b"", b"", values, ()),
        Note(rewriting=rewriting),
        before,
        commits,
        sql if outcome.describe_original else b"",
    )
    return interception.put(staged)


def with_conditions(interception: Interception, message: bytes, outcome: Outcome) -> bytes:
    """What takes the place of a Query, rewritten or not, for which settings hold. Raises SettingsRefused."""
    conditions = conditions_of(outcome)
    if conditions is None:
        return message
    refuse_several(outcome)
    if message[0] == SUBSTITUTE:
        staged = interception.substitutes[-1]
        assert isinstance(staged, Staged)
        interception.substitutes[-1] = replace(staged, conditions=conditions)
        return message
    note, interception.note = interception.note, None
    sql = message[5:-1]
    rewriting = Rewriting(sql, sql, interception.style.encoding)
    if note is not None and note.rewriting is not None:
        rewriting = note.rewriting
    staged = Staged(
        sql + b"\0" + _NO_TYPES, encode_bind(b"", b"", (), ()), Note(rewriting=rewriting), conditions=conditions
    )
    return interception.put(staged)


def bind_rewritten(
    interception: Interception, bind: BindMessage, message: bytes, sql: bytes, body: bytes, outcome: Outcome | None
) -> Pending:
    """What takes the place of a Bind whose statement is not the one that runs. Raises Refused.

    ``sql``: the client's text. ``body``: what is to run, as in Parse. ``outcome``: what says so, where somebody did;
    then the server has the client's statement too.
    """
    rewriting = Rewriting(sql, body[: body.find(0)], interception.style.encoding)
    bound = messages.encode_message(
        messages.BIND, bind.portal + b"\0" + PASSING_NAME + message[message.find(0, 5 + len(bind.portal) + 1) :]
    )
    before: tuple[bytes | Fill, ...] = ()
    if outcome is not None:
        before = yield from _before(interception, outcome)
        if outcome.mapping is not None:
            bound = encode_bind(bind.portal, PASSING_NAME, _values(interception, outcome), bind.result_formats)
    interception.note_rewritten_portal(bind.portal, rewriting)
    named = b"" if outcome is None else bind.statement
    return interception.put(Bound(body, bound, Note(rewriting=rewriting, statement=bind.statement), before, named))


def bind_again(interception: Interception, bind: BindMessage, outcome: Outcome) -> bytes:
    """The Bind of a statement that was rewritten when it was parsed, with other parameters. Raises Refused."""
    return encode_bind(bind.portal, bind.statement, _values(interception, outcome), bind.result_formats)


def _values(interception: Interception, outcome: Outcome) -> list[BoundValue]:
    """The parameters, with those that the plugin brings in the client's encoding."""
    values = list(outcome.execution.parameters)
    style = interception.style
    if outcome.mapping is None or style.encoding == "utf-8":
        return values
    for place, source in enumerate(outcome.mapping):
        if isinstance(source, Value) and source.value is not None:
            try:
                data = encode_binary(find_type(source.type), source.value, style)
            except ValueError as error:
                raise Refused(outcome, f"its parameter ${place + 1} can't be sent: {error}") from None
            values[place] = BoundValue(values[place].type, 1, data)
    return values


def _before(
    interception: Interception, outcome: Outcome
) -> Generator[Awaitable[object], object, tuple[bytes | Fill, ...]]:
    """What runs first. Raises Refused for what could end the transaction, or is not exactly one statement."""
    items: list[bytes | Fill] = []
    for item, hook in zip(outcome.before, outcome.before_hooks, strict=True):
        if isinstance(item, CopyRows):
            columns = ", ".join('"' + one.name.replace('"', '""') + '"' for one in item.columns)
            text = f"COPY {item.table} ({columns}) FROM STDIN (FORMAT binary)"
        else:
            text = item
        sql = text.encode(interception.style.encoding, "surrogateescape")
        answer = interception.tables.analyst.facts(sql, interception.facts.reads_alike)
        facts = answer if isinstance(answer, MessageFacts) else cast("MessageFacts", (yield answer))
        if len(facts.statements) != 1:
            raise Refused(outcome, f"what runs before it has to be one statement each, and this is not: {text[:60]}")
        if _may_end_transaction(facts, sql):
            raise Refused(outcome, f"what runs before it can't begin or end a transaction, as this may: {text[:60]}")
        if not isinstance(item, CopyRows) and _copies_in(facts):
            raise Refused(outcome, f"rows are copied before it by CopyRows alone, and not by: {text[:60]}")
        interception.note_text(sql)
        items.append(Fill(sql, item, hook) if isinstance(item, CopyRows) else sql)
    return tuple(items)


def _may_end_transaction(facts: MessageFacts, sql: bytes) -> bool:
    (statement,) = facts.statements
    if statement.kind == "do" and (facts.opaque or any([word in sql.lower() for word in _MAY_END])):
        return True
    calls = statement.kind == "call" or any([one.kind == "call" for one in facts.all])
    return calls or any([one.group is Group.TRANSACTION and one.runs for one in facts.all])


def refuse_hidden_commit(interception: Interception, outcome: Outcome) -> None:
    """Raise Refused for a statement that may commit what it does, where somebody wants to be asked before a commit.

    In a transaction block, and behind other statements of a batch, the server refuses that itself.
    """
    statement = outcome.execution.statement
    facts = statement.facts
    if not interception.wants_commit or interception.facts.transaction.status != "idle":
        return
    if len(facts.statements) != 1 or facts.statements[0].kind not in ("call", "do"):
        return
    if _may_end_transaction(facts, statement.sql):
        raise Refused(outcome, "nobody can be asked before the commits that a CALL or DO may have in it")


def unasked_commit(
    interception: Interception, sql: bytes | None = None
) -> Generator[Awaitable[object], object, Block | None]:
    """The refusal of what no plugin wants, if it may commit where somebody wants to be asked before that.

    ``sql``: what a Bind is to; None for a Query, or FunctionCall, which would commit the batch that it stands in.
    """
    if not interception.wants_commit or interception.facts.transaction.status != "idle":
        return None
    if sql is not None:
        answer = interception.tables.analyst.facts(sql, interception.facts.reads_alike)
        facts = answer if isinstance(answer, MessageFacts) else cast("MessageFacts", (yield answer))
        if len(facts.statements) != 1 or facts.statements[0].kind not in ("call", "do"):
            return None
        if not _may_end_transaction(facts, sql):
            return None
    return Block(REWRITE_REFUSED.sqlstate, f"({REWRITE_REFUSED.code}) {_UNASKED}")


def _copies_in(facts: MessageFacts) -> bool:
    copy = facts.statements[0].copy
    return copy is not None and copy.is_from and copy.file is None and copy.program is None
