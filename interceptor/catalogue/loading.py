"""Filling a snapshot with what PostgreSQL answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from interceptor.catalogue.expressions import read_expression
from interceptor.catalogue.model import (
    Action,
    Cast,
    Expression,
    ForeignKey,
    Function,
    FunctionKind,
    Kind,
    Operator,
    Persistence,
    Policy,
    Relation,
    Role,
    Rule,
    Schema,
    Trigger,
    Type,
    Volatility,
)
from interceptor.catalogue.questions import DIGEST, QUESTIONS
from interceptor.catalogue.snapshot import FunctionSource, Snapshot
from interceptor.services import HelperQueries, Row

__all__ = ["SLICE", "SOURCE_LIMIT", "State", "load", "read_state"]

SLICE: Final = 0.001
"""Seconds of decoding between two pauses."""

SOURCE_LIMIT: Final = 32 * 1024 * 1024
"""Bytes that all sources of functions, compressed, may take. What is beyond counts as unreadable."""

_PAGE: Final = 200

# pg_trigger.tgtype (pg_trigger.h), pg_rewrite.ev_type (nodes.h, CmdType), pg_policy.polcmd
_TRIGGER_ACTIONS: Final = ((4, Action.INSERT), (8, Action.DELETE), (16, Action.UPDATE), (32, Action.TRUNCATE))
_RULE_ACTIONS: Final = {"1": Action.SELECT, "2": Action.UPDATE, "3": Action.INSERT, "4": Action.DELETE}
_POLICY_ACTIONS: Final = {
    "r": frozenset([Action.SELECT]),
    "a": frozenset([Action.INSERT]),
    "w": frozenset([Action.UPDATE]),
    "d": frozenset([Action.DELETE]),
    "*": frozenset([Action.SELECT, Action.INSERT, Action.UPDATE, Action.DELETE]),
}


@dataclass(frozen=True, slots=True)
class State:
    """What ``read_state`` found: PostgreSQL's snapshot, and the sums over the catalogue."""

    taken_at: str
    sums: str


async def read_state(queries: HelperQueries, last: State | None) -> State:
    """The state of the catalogue now; ``last`` itself where it is the same. Raises what ``queries`` raises."""
    rows = await queries.query(DIGEST, None if last is None else last.taken_at)
    taken_at, sums = cast("tuple[str, str | None]", rows[0])
    if last is None:
        assert sums is not None
        return State(taken_at, sums)
    if sums is None or sums == last.sums:
        # The later snapshot is the one to compare with from now on.
        return last if taken_at == last.taken_at else State(taken_at, last.sums)
    return State(taken_at, sums)


async def load(
    queries: HelperQueries, pause: Callable[[], Awaitable[None]], source_limit: int = SOURCE_LIMIT
) -> Snapshot:
    """Read the whole catalogue. Decodes for ``SLICE`` seconds at a time, and awaits ``pause`` in between.

    ``queries`` has to answer from one transaction that is REPEATABLE READ. Raises what ``queries`` raises.
    """
    loading = _Loading(source_limit)
    resume_at = time.perf_counter() + SLICE
    for name, question in QUESTIONS.items():
        take: Callable[[Row], None] = getattr(loading, f"take_{name}")
        async with aclosing(queries.pages(question, size=_PAGE)) as pages:
            async for page in pages:
                for row in page:
                    take(row)
                    loading.add_to_digest(name, row)
                    if time.perf_counter() > resume_at:
                        await pause()
                        resume_at = time.perf_counter() + SLICE
    return loading.finish()


class _Loading:
    """A snapshot in the making. ``take_*``: one row of the answer to the question of this name."""

    def __init__(self, source_limit: int) -> None:
        self._snapshot = Snapshot()
        self._source_limit = source_limit
        self._digest = 0
        self._encode = msgspec.json.Encoder().encode
        self._expressions: dict[Expression, Expression] = {}
        """Equal ones are one: what they are made of is what a collection of garbage has to look through."""

    def _read(self, tree: str | None) -> Expression:
        found = read_expression(tree)
        return self._expressions.setdefault(found, found)

    def add_to_digest(self, name: str, row: Row) -> None:
        # A sum, because PostgreSQL gives the rows in no order that lasts.
        self._digest += int.from_bytes(blake2b(self._encode((name, row)), digest_size=16).digest(), "big")

    def finish(self) -> Snapshot:
        self._snapshot.digest = (self._digest % (1 << 128)).to_bytes(16, "big")
        return self._snapshot

    def take_schemas(self, row: Row) -> None:
        oid, name, owner, usage = cast("tuple[int, str, int, list[int]]", row)
        self._snapshot.add_schema(Schema(oid, name, owner, frozenset(usage)))

    def take_roles(self, row: Row) -> None:
        oid, name, superuser, bypasses, inherits, settings = cast(
            "tuple[int, str, bool, bool, list[int], list[str]]", row
        )
        self._snapshot.add_role(Role(oid, name, superuser, bypasses, frozenset(inherits), _settings_of(settings)))

    def take_database(self, row: Row) -> None:
        version, owner, settings, event_triggers = cast("tuple[int, int, list[str], list[int]]", row)
        self._snapshot.server_version = version
        self._snapshot.database_owner = owner
        self._snapshot.database_settings = _settings_of(settings)
        self._snapshot.event_triggers = frozenset(event_triggers)

    def take_relations(self, row: Row) -> None:
        oid, schema, name, kind, persistence, owner, secured, forced, partition, options, columns = cast(
            "tuple[int, int, str, str, str, int, bool, bool, bool, list[str] | None, str | None]", row
        )
        self._snapshot.add_relation(
            Relation(
                oid, schema, name, Kind(kind), Persistence(persistence), owner, secured, forced, partition,
                () if options is None else tuple(options),
            )
        )  # fmt: skip
        if columns is not None:
            self._snapshot.add_columns(oid, columns)

    def take_inheritance(self, row: Row) -> None:
        parent, children = cast("tuple[int, list[int]]", row)
        self._snapshot.children[parent] = tuple(children)
        for child in children:
            self._snapshot.parents[child] = (*self._snapshot.parents.get(child, ()), parent)

    def take_defaults(self, row: Row) -> None:
        relation, column, tree = cast("tuple[int, int, str]", row)
        self._snapshot.defaults.setdefault(relation, {})[column] = self._read(tree)

    def take_indexes(self, row: Row) -> None:
        relation, index, trees, support = cast("tuple[int, int, str, list[int]]", row)
        expression = self._read(trees)
        if support:
            expression = replace(expression, functions=expression.functions | set(support))
        self._snapshot.write_expressions.setdefault(relation, []).append(expression)
        if index != relation:
            self._snapshot.computing_indexes[index] = relation

    def take_statistics(self, row: Row) -> None:
        relation, trees = cast("tuple[int, str]", row)
        self._snapshot.statistics.setdefault(relation, []).append(self._read(trees))

    def take_comparisons(self, row: Row) -> None:
        type_oid, functions = cast("tuple[int, list[int]]", row)
        self._snapshot.comparisons[type_oid] = frozenset(functions)

    def take_checks(self, row: Row) -> None:
        relation, domain, tree, operators = cast("tuple[int, int, str | None, list[int]]", row)
        expression = self._read(tree)
        if operators:
            expression = replace(expression, operators=expression.operators | set(operators))
        if relation:
            self._snapshot.checks.setdefault(relation, []).append(expression)
        else:
            self._snapshot.type_checks.setdefault(domain, []).append(expression)

    def take_foreign_keys(self, row: Row) -> None:
        self._snapshot.add_foreign_key(ForeignKey(*cast("tuple[int, str, int, int, str, str]", row)))

    def take_triggers(self, row: Row) -> None:
        oid, name, relation, function, bits, condition = cast("tuple[int, str, int, int, int, str | None]", row)
        actions = frozenset(action for bit, action in _TRIGGER_ACTIONS if bits & bit)
        trigger = Trigger(oid, name, relation, function, actions, self._read(condition))
        self._snapshot.triggers.setdefault(relation, []).append(trigger)

    def take_rules(self, row: Row) -> None:
        oid, name, relation, event, instead, condition, action = cast("tuple[int, str, int, str, bool, str, str]", row)
        conditional = condition != "<>"
        rule = Rule(oid, name, relation, _RULE_ACTIONS[event], instead, conditional, self._read(action + condition))
        self._snapshot.rules.setdefault(relation, []).append(rule)

    def take_policies(self, row: Row) -> None:
        name, relation, command, roles, using, check = cast(
            "tuple[str, int, str, list[int], str | None, str | None]", row
        )
        policy = Policy(
            name, relation, _POLICY_ACTIONS[command], frozenset(roles), self._read((using or "") + (check or ""))
        )
        self._snapshot.policies.setdefault(relation, []).append(policy)

    def take_system_functions(self, row: Row) -> None:
        self._snapshot.add_function(_function(row))

    def take_functions(self, row: Row) -> None:
        extension, parts, names, modes, everything, defaults, body, text = cast(
            "tuple[str, list[int | None], list[str] | None, list[str] | None, list[int] | None, str | None, "
            "str | None, str | None]",
            row[14:],
        )
        function = _function(row[:14], extension, tuple(one for one in parts if one))
        snapshot = self._snapshot
        snapshot.add_function(function)
        if defaults is not None:
            snapshot.add_argument_defaults(function.oid, self._read(defaults))
        if body is not None:
            snapshot.add_sql_body(function.oid, self._read(body))
        elif text is not None:
            source = FunctionSource(text, names or [], modes or [], everything or [])
            snapshot.add_source(function.oid, source, self._source_limit)

    def take_operators(self, row: Row) -> None:
        self._snapshot.add_operator(Operator(*cast("tuple[int, int, str, int, int, int]", row)))

    def take_casts(self, row: Row) -> None:
        cast_ = Cast(*cast("tuple[int, int, int, int, str]", row))
        self._snapshot.casts[cast_.source, cast_.target] = cast_

    def take_types(self, row: Row) -> None:
        self._snapshot.add_type(Type(*cast("tuple[int, int, str, str, int, int, int]", row)))


def _function(row: Row, extension: str = "", parts: tuple[int, ...] = ()) -> Function:
    oid, schema, name, kind, volatility, language, owner, arguments, defaults, variadic, result, definer = cast(
        "tuple[int, int, str, str, str, str, int, list[int], int, bool, int, bool]", row[:12]
    )
    settings, returns_set = cast("tuple[list[str] | None, bool]", row[12:])
    return Function(
        oid, schema, name, FunctionKind(kind), Volatility(volatility), language, owner, tuple(arguments), defaults,
        variadic, result, definer, () if settings is None else tuple(settings), returns_set, extension, parts,
    )  # fmt: skip


def _settings_of(lines: Iterable[str]) -> dict[str, str]:
    """``name=value`` lines as a dict; a later one wins."""
    return dict(line.partition("=")[::2] for line in lines)
