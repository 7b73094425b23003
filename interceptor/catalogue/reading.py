"""The `BodyReader` that reads SQL and PL/pgSQL, by ``interceptor.sql.bodies``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from interceptor.catalogue.bodies import Body, NameUse, TableUse
from interceptor.catalogue.model import Action, Function, FunctionKind
from interceptor.catalogue.snapshot import FunctionSource, Snapshot
from interceptor.sql.bodies import BodyFacts, body_facts
from interceptor.sql.effects import Effect
from interceptor.sql.facts import Access, FunctionUse, OpaqueReason, QualifiedName, Setting, StatementFacts

__all__ = ["FactsReader", "calls_of", "read_body", "table_uses"]

_WRITES: Final[dict[str, frozenset[Action]]] = {
    "insert": frozenset([Action.INSERT]),
    "copy": frozenset([Action.INSERT]),
    "update": frozenset([Action.UPDATE]),
    "delete": frozenset([Action.DELETE]),
    "truncate": frozenset([Action.TRUNCATE]),
    "refresh": frozenset([Action.UPDATE]),
}
_EVERY_WRITE: Final = frozenset([Action.INSERT, Action.UPDATE, Action.DELETE])
_MERGE_WORDS: Final = {"merge insert": Action.INSERT, "merge update": Action.UPDATE, "merge delete": Action.DELETE}

# What each kind leaves behind in the session; "" for nothing. A kind that isn't here, and isn't a definition, may leave
# anything.
_HARMLESS_KINDS: Final = frozenset(
    """
    select insert update delete merge truncate copy explain show fetch move close notify unlisten lock vacuum analyze
    cluster reindex refresh checkpoint begin commit rollback savepoint release call comment grant revoke
    """.split()
)
_LEAVES: Final = {
    "listen": Effect.LISTEN.value,
    "load": Effect.LIBRARY.value,
    "prepare": Effect.PREPARED_STATEMENT.value,
    "execute": Effect.PREPARED_STATEMENT.value,
    "deallocate": Effect.REDUCTION.value,
    "discard": Effect.REDUCTION.value,
    "reset": Effect.SETTING.value,
}
_DEFINITIONS: Final = frozenset(["create", "alter", "drop", "import", "reassign", "security"])

# Settings by which the names or the strings of what comes after mean something else, or which outlive SET LOCAL.
_TREACHEROUS: Final = frozenset(
    ["search_path", "role", "session_authorization", "standard_conforming_strings", "client_encoding", "seed", "all"]
)
_SYSTEM_SCHEMAS: Final = (None, "pg_catalog")


def read_body(function: Function, source: FunctionSource, snapshot: Snapshot) -> BodyFacts:
    """Return the facts of a function's body: what `FactsReader` boils down. Never raises: see ``BodyFacts.opaque``."""
    return body_facts(
        function.language, source.text, _arguments(function, source, snapshot), _result(function, source, snapshot)
    )


class FactsReader:
    """Reads bodies in SQL and PL/pgSQL. Takes at most some 5 ms a body, and keeps nothing."""

    def read(self, function: Function, source: FunctionSource, snapshot: Snapshot) -> Body:
        """Return what the body names; see `BodyReader`."""
        facts = read_body(function, source, snapshot)
        statements = [one for one in facts.statements if one.runs]
        # A procedure that is called is followed by its name.
        opaque = [why for why in facts.opaque if why.reason is not OpaqueReason.CALL]
        settings = [setting for one in statements for setting in one.settings]
        treacherous = next((one for one in settings if one.name is None or one.name in _TREACHEROUS), None)
        because = f"{opaque[0].reason.value} ({opaque[0].detail})" if opaque else ""
        if not because and treacherous is not None:
            because = f"it changes {treacherous.name or 'a setting whose name is computed'} on its way"
        return Body(
            tables=frozenset(use for one in statements for use in table_uses(one)),
            functions=frozenset(
                NameUse(use.name.name, use.name.schema, len(use.texts))
                for one in statements
                for use in calls_of(one, snapshot.server_version)
            ),
            operators=_names(name for one in statements for name in one.operators),
            types=_names(name for one in statements for name in one.types),
            columns=frozenset(
                (relation.name, relation.schema, "*" if use.star or use.whole_row else use.name)
                for one in statements
                for use in one.columns
                for relation in use.relations
            ),
            session_values=any(one.value_functions or one.volatile_literals for one in statements),
            defines=any(one.defines or one.kind in _DEFINITIONS for one in statements),
            session_change=next((change for change in map(_change, statements) if change), ""),
            harmless_calls=frozenset(["set_config"] if all(map(_sets_locally, statements)) else ()),
            opaque=because,
        )


def calls_of(statement: StatementFacts, server_version: int) -> tuple[FunctionUse, ...]:
    """The functions that a server of this version, as 180004, calls."""
    if statement.calls_before_17 and server_version < 170000:
        return statement.functions + statement.calls_before_17
    return statement.functions


def _names(names: Iterable[QualifiedName]) -> frozenset[NameUse]:
    return frozenset(NameUse(name.name, name.schema) for name in names)


def table_uses(statement: StatementFacts) -> Iterable[TableUse]:
    """The relations that a statement reads and writes, with each action that it may take on them."""
    for use in statement.relations:
        name, schema = use.name.name, use.name.schema
        if use.access is Access.READ:
            yield TableUse(name, schema, Action.SELECT)
        elif use.access is Access.WRITE:
            for action in _written(statement):
                yield TableUse(name, schema, action)


def _written(statement: StatementFacts) -> frozenset[Action]:
    if statement.kind == "merge":
        return frozenset(action for word, action in _MERGE_WORDS.items() if word in statement.words)
    actions = _WRITES.get(statement.kind, _EVERY_WRITE)
    return actions | {Action.UPDATE} if "on conflict" in statement.words else actions


def _change(statement: StatementFacts) -> str:
    """What the statement's own kind leaves behind in the session."""
    kind = statement.kind
    if kind in _DEFINITIONS:
        temporary = "temporary" in statement.words or any(
            name.schema is not None and name.schema.startswith("pg_temp") for name in statement.defines
        )
        return Effect.TEMPORARY_OBJECT.value if temporary else ""
    if kind == "set":
        return "" if all(one.local for one in statement.settings) else Effect.SETTING.value
    if kind == "declare":
        return Effect.HOLD_CURSOR.value if "hold" in statement.words else ""
    if kind in _HARMLESS_KINDS:
        return ""
    return _LEAVES.get(kind, Effect.OPAQUE.value)


def _sets_locally(statement: StatementFacts) -> bool:
    """Whether every ``set_config`` in it is surely local, and sets something that SET LOCAL may set."""
    calls = sum(use.name.name == "set_config" and use.name.schema in _SYSTEM_SCHEMAS for use in statement.functions)
    return calls == 0 or (len(statement.settings) >= calls and all(map(_is_local, statement.settings)))


def _is_local(setting: Setting) -> bool:
    return setting.local and setting.name is not None


# --- What a function's head looks like


_MODES: Final = {"i": "", "o": "OUT ", "b": "INOUT ", "v": "VARIADIC "}


def _arguments(function: Function, source: FunctionSource, snapshot: Snapshot) -> str:
    """As ``pg_get_function_arguments`` would have it, without defaults."""
    types = source.all_arguments or list(function.arguments)
    modes = source.argument_modes or ["i"] * len(types)
    names = source.argument_names or [""] * len(types)
    return ", ".join(
        f"{_MODES[mode]}{_quoted(name) + ' ' if name else ''}{_type(one, snapshot)}"
        for mode, name, one in zip(modes, names, types, strict=True)
        if mode != "t"
    )


def _result(function: Function, source: FunctionSource, snapshot: Snapshot) -> str:
    """As ``pg_get_function_result`` would have it."""
    if function.kind is FunctionKind.PROCEDURE:
        return "void"
    columns = [
        f"{_quoted(name)} {_type(one, snapshot)}"
        for mode, name, one in zip(source.argument_modes, source.argument_names, source.all_arguments, strict=False)
        if mode == "t"
    ]
    if columns:
        return f"TABLE({', '.join(columns)})"
    found = snapshot.types.get(function.result)
    name = "" if found is None else found.name
    if name in ("trigger", "event_trigger", "void"):
        return name
    return f"{'SETOF ' if function.returns_set else ''}{_type(function.result, snapshot)}"


def _type(oid: int, snapshot: Snapshot) -> str:
    found = snapshot.types.get(oid)
    return "text" if found is None else ".".join(map(_quoted, snapshot.qualified_name(found)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
