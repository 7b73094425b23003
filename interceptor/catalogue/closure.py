"""What a function or an action on a relation touches in the end, through whatever stands between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from enum import IntEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from interceptor.catalogue.bodies import BodyReader
from interceptor.catalogue.model import (
    FIRST_USER_OID,
    INFORMATION_SCHEMA,
    PG_CATALOG,
    Action,
    Function,
    Relation,
    Type,
    Volatility,
)
from interceptor.catalogue.names import Names, Scope
from interceptor.catalogue.nodes import CallOf, CheckOf, CompareOf, Node, Step, UseOf
from interceptor.catalogue.reading import FactsReader
from interceptor.catalogue.snapshot import Snapshot
from interceptor.catalogue.steps import OTHER_LANGUAGE, Steps
from interceptor.sql.effects import Effect
from interceptor.sql.functions import (
    PINNING,
    RUN_SQL_IN_TEXT,
    SEQUENCE_READERS,
    SEQUENCE_WRITERS,
    harmless_functions,
    harmless_helpers,
)

__all__ = ["Closures", "OpaqueThing", "SessionChange", "SessionVerdict", "Touches"]


class SessionChange(IntEnum):
    """What is left behind in a session; the graver is the greater."""

    HARMLESS = 0
    SEQUENCES = 1
    """At most the values that ``currval`` and ``lastval`` answer with."""
    CHANGES = 2
    """It may leave behind something that is known: a setting, a lock, a subscription …"""
    UNKNOWN = 3


class SessionVerdict(Struct, frozen=True, gc=False):
    """A judgement, and the gravest reason for it, as a phrase."""

    change: SessionChange
    because: str = ""
    defines: bool = False
    """Something is created, altered or dropped on the way. Told only up to CHANGES: UNKNOWN may be anything."""
    reads_sequence: bool = False
    """It asks for ``currval()`` or ``lastval()`` on the way; told as far as ``defines`` is."""


class OpaqueThing(Struct, frozen=True, gc=False):
    """Something that may do more than is known."""

    kind: str
    """"function", "relation" or "type"."""
    oid: int
    name: str
    """With its schema."""
    because: str


class Touches(Struct, frozen=True):
    """All that may be touched. Where ``opaque`` or ``unresolved`` isn't empty, more may be: count it as the worst."""

    relations: frozenset[tuple[int, Action]]
    """Relations and what is done to them, the one that was asked about included; views as well as what they show."""
    columns: frozenset[tuple[int, int]]
    """Columns that stored queries and bodies name; 0 is the whole row. Not those of the statement itself."""
    functions: frozenset[int]
    """Functions called, PostgreSQL's own and those of operators included."""
    opaque: tuple[OpaqueThing, ...]
    unresolved: tuple[str, ...]
    """Names in bodies that lead to no object, each with the reason."""
    session_values: bool
    """CURRENT_DATE, CURRENT_USER or their kin are used."""
    defines: bool
    """Something is created, altered or dropped: the catalogue changes."""

    @property
    def whole(self) -> bool:
        """Nothing but this is touched."""
        return not self.opaque and not self.unresolved

    @property
    def written(self) -> frozenset[int]:
        """The relations that are changed."""
        return frozenset(oid for oid, action in self.relations if action is not Action.SELECT)

    @property
    def read(self) -> frozenset[int]:
        """The relations that are read."""
        return frozenset(oid for oid, action in self.relations if action is Action.SELECT)


# Trigger functions of PostgreSQL's own; SQL can't call them, so that functions.py has no word on them.
_HARMLESS_TRIGGERS: Final = frozenset(
    ["suppress_redundant_updates_trigger", "tsvector_update_trigger", "tsvector_update_trigger_column",
     "unique_key_recheck"]
)  # fmt: skip
# Functions of extensions that are volatile because of what they return, or what they write, and not of the session.
_HARMLESS_IN_EXTENSIONS: Final[Mapping[str, frozenset[str]]] = {
    "pgcrypto": frozenset(
        ["gen_random_bytes", "gen_random_uuid", "gen_salt", "pgp_pub_encrypt", "pgp_pub_encrypt_bytea",
         "pgp_sym_encrypt", "pgp_sym_encrypt_bytea"]
    ),
    "uuid-ossp": frozenset(["uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4"]),
    "tablefunc": frozenset(["normal_rand"]),
    "moddatetime": frozenset(["moddatetime"]),
    "insert_username": frozenset(["insert_username"]),
    "pg_stat_statements": frozenset(["pg_stat_statements", "pg_stat_statements_info", "pg_stat_statements_reset"]),
}  # fmt: skip
_MOST_TOUCHES: Final = 5_000  # some 2 KB each
_MOST_VERDICTS: Final = 20_000
_HARMLESS: Final = SessionVerdict(SessionChange.HARMLESS)
_SEQUENCES: Final = SessionVerdict(SessionChange.SEQUENCES, "it takes values of a sequence")
_READS_SEQUENCE: Final = SessionVerdict(
    SessionChange.SEQUENCES, "it asks for the last value of a sequence", reads_sequence=True
)


class Closures:
    """Follows everything in one snapshot. Keep one for each: it remembers. Not to be shared between threads."""

    def __init__(
        self,
        snapshot: Snapshot,
        reader: BodyReader | None = None,
        trusted: Callable[[Function], bool] | None = None,
        *,
        key_checks: bool = True,
        compares: bool = False,
        names: Names | None = None,
    ) -> None:
        """``trusted``: functions for which it is true count as touching nothing, whatever their bodies say.

        ``key_checks``: whether the look-ups count as reads by which PostgreSQL holds foreign keys.
        ``compares``: whether who uses a relation counts as comparing the values of its columns, by the operator classes
        that anybody made.
        ``names``: how names in bodies are resolved, if not by their scope (``NamesAnywhere``).
        """
        self.snapshot = snapshot
        self._steps = Steps(
            snapshot, reader or FactsReader(), trusted, key_checks=key_checks, compares=compares, names=names
        )
        self._touches: dict[Node, Touches] = {}
        self._verdicts: dict[Node, SessionVerdict] = {}
        self._quiet = harmless_functions(snapshot.server_version)

    @property
    def names(self) -> Names:
        """Resolves names in the same snapshot."""
        return self._steps.names

    def relations_touched(self, relation: int, action: Action, scope: Scope, *, sets_defaults: bool = False) -> Touches:
        """All that an action on a relation may touch, whichever columns and rows it is about.

        ``sets_defaults``: an UPDATE says ``SET column = DEFAULT``.
        """
        return self._touched(UseOf(relation, action, scope, sets_defaults))

    def function_touches(self, function: int, scope: Scope) -> Touches:
        """All that a call of a function may touch, whatever its arguments."""
        return self._touched(CallOf(function, scope))

    def type_touches(self, type: int, scope: Scope) -> Touches:
        """All that the making of a value of this type may touch: the checks of a domain, and of what is made of it."""
        return self._touched(CheckOf(type, scope))

    def comparison_touches(self, type: int, scope: Scope) -> Touches:
        """All that comparing values of this type may touch."""
        return self._touched(CompareOf(type, scope))

    def may_change_session(self, function: int, scope: Scope) -> SessionVerdict:
        """What a call of a function may leave behind in its session, whatever its arguments.

        The function's own SET clauses are undone by PostgreSQL, and don't count.
        """
        return self._judged(CallOf(function, scope))

    def relation_may_change_session(
        self, relation: int, action: Action, scope: Scope, *, sets_defaults: bool = False
    ) -> SessionVerdict:
        """What an action on a relation may leave behind in its session. ``sets_defaults`` as above."""
        return self._judged(UseOf(relation, action, scope, sets_defaults))

    # --- Following ---------------------------------------------------------------------------------------------------

    def _reachable(self, start: Node) -> Iterable[tuple[Node, Step]]:
        seen = {start}
        waiting: list[Node] = [start]
        while waiting:
            node = waiting.pop()
            step = self._steps.step(node)
            yield node, step
            for one in step.then:
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)

    def _touched(self, start: Node) -> Touches:
        known = self._touches.get(start)
        if known is None:
            if len(self._touches) >= _MOST_TOUCHES:
                self._touches.clear()
            known = self._touches[start] = self._follow(start)
        return known

    def _follow(self, start: Node) -> Touches:
        relations: set[tuple[int, Action]] = set()
        columns: set[tuple[int, int]] = set()
        functions: set[int] = set()
        opaque: dict[OpaqueThing, None] = {}
        unresolved: set[str] = set()
        session_values = defines = False
        for node, step in self._reachable(start):
            if isinstance(node, UseOf):
                relations.add((node.relation, node.action))
            elif isinstance(node, CallOf):
                functions.add(node.function)
            because = step.opaque or self._runs_text(node)
            if because:
                opaque[self._describe(node, because)] = None
            columns |= step.columns
            unresolved |= step.unresolved
            session_values = session_values or step.session_values
            defines = defines or step.defines
        return Touches(
            frozenset(relations), frozenset(columns), frozenset(functions), tuple(opaque), tuple(sorted(unresolved)),
            session_values, defines,
        )  # fmt: skip

    def _runs_text(self, node: Node) -> str:
        if isinstance(node, CallOf):
            function = self.snapshot.functions.get(node.function)
            if function is None or (self._steps.trusted is not None and self._steps.trusted(function)):
                return ""
            if function.schema == PG_CATALOG and function.name in RUN_SQL_IN_TEXT:
                return "it runs SQL that it is given as text"
        return ""

    def _describe(self, node: Node, because: str) -> OpaqueThing:
        snapshot = self.snapshot
        thing: Relation | Function | Type | None
        if isinstance(node, CallOf):
            kind, oid = "function", node.function
            thing = snapshot.functions.get(oid)
        elif isinstance(node, UseOf):
            kind, oid = "relation", node.relation
            thing = snapshot.relations.get(oid)
        else:
            kind, oid = "type", node.type
            thing = snapshot.types.get(oid)
        name = str(oid) if thing is None else ".".join(snapshot.qualified_name(thing))
        return OpaqueThing(kind, oid, name, because)

    # --- Sessions ----------------------------------------------------------------------------------------------------

    def _judged(self, start: Node) -> SessionVerdict:
        judging = self.judging(start)
        while True:
            try:
                next(judging)
            except StopIteration as end:
                verdict: SessionVerdict = end.value
                return verdict

    def judging(self, start: Node) -> Generator[None, None, SessionVerdict]:
        """The judgement in pieces: between two of them lies one step, of at most some 5 ms."""
        known = self._verdicts.get(start)
        if known is not None:
            return known
        known = _HARMLESS
        defines = reads_sequence = False
        for node, step in self._reachable(start):
            defines = defines or step.defines
            found = self._judge(node, step)
            reads_sequence = reads_sequence or found.reads_sequence
            if found.change > known.change:
                known = found
                if known.change is SessionChange.UNKNOWN:
                    break
            yield
        if defines or reads_sequence:
            known = replace(known, defines=defines, reads_sequence=reads_sequence)
        if len(self._verdicts) >= _MOST_VERDICTS:
            self._verdicts.clear()
        self._verdicts[start] = known
        return known

    def _judge(self, node: Node, step: Step) -> SessionVerdict:
        """What one node leaves behind by itself."""
        if isinstance(node, CallOf) and not step.unresolved and self._is_trusted(node, step):
            return _HARMLESS
        if step.opaque or step.unresolved:
            thing = self._describe(node, "")
            because = step.opaque or f"it names what can't be resolved: {min(step.unresolved)}"
            return SessionVerdict(SessionChange.UNKNOWN, f"{thing.kind} {thing.name}: {because}")
        if step.session_change:
            thing = self._describe(node, "")
            return SessionVerdict(SessionChange.CHANGES, f"{thing.kind} {thing.name}: {step.session_change}")
        if isinstance(node, CallOf) and node.function < FIRST_USER_OID and not node.surely_local:
            return self._judge_own(self.snapshot.functions[node.function])
        return _SEQUENCES if step.sequences else _HARMLESS

    def _is_trusted(self, node: CallOf, step: Step) -> bool:
        """Whether it is compiled and says to change nothing: an extension's, or PostgreSQL's under another name.

        They are believed as PostgreSQL's own are. Or all operators of citext and hstore would be suspect, and the
        constructors of every range type.
        """
        function = self.snapshot.functions.get(node.function)
        if function is None or not step.opaque.startswith(OTHER_LANGUAGE):
            return False
        if function.language == "internal":
            return function.volatility is not Volatility.VOLATILE
        if function.language != "c" or not function.extension:
            return False
        return function.volatility is not Volatility.VOLATILE or function.name in _HARMLESS_IN_EXTENSIONS.get(
            function.extension, ()
        )

    def _judge_own(self, function: Function) -> SessionVerdict:
        """PostgreSQL's own functions, by functions.py."""
        name = function.name
        if function.schema != PG_CATALOG:
            schema = self.snapshot.schemas.get(function.schema)
            if schema is not None and schema.name == INFORMATION_SCHEMA and name in harmless_helpers():
                return _HARMLESS
            return SessionVerdict(SessionChange.UNKNOWN, f"function {name}: nothing is known of it")
        if name in RUN_SQL_IN_TEXT:
            return SessionVerdict(SessionChange.UNKNOWN, f"function {name}: it runs SQL that it is given as text")
        if name in self._quiet or name.startswith("RI_FKey_") or name in _HARMLESS_TRIGGERS:
            return _HARMLESS
        if name == "set_config":
            return SessionVerdict(SessionChange.CHANGES, f"function {name}: {Effect.SETTING.value}")
        if name in SEQUENCE_READERS:
            return _READS_SEQUENCE
        if name in SEQUENCE_WRITERS:
            return _SEQUENCES
        reason = PINNING.get(name)
        if reason is not None:
            return SessionVerdict(SessionChange.CHANGES, f"function {name}: {reason.value}")
        if function.volatility is not Volatility.VOLATILE:
            return _HARMLESS  # not to be called by SQL, for its arguments are internal: input, output, support
        return SessionVerdict(SessionChange.UNKNOWN, f"function {name}: nothing is known of it")
