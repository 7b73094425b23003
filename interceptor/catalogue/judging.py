"""What a text of SQL may do to its session, by what the catalogue knows of the functions and tables that it names.

``interceptor.sql.analysis`` judges by words alone: a function that isn't PostgreSQL's own may do anything, and what a
trigger does can't be seen. A ``SessionJudge`` stands behind a ``StatementCache`` and corrects both. It is asked about
each text once; where a database has nothing to be feared, plain texts don't come to it at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Final

from interceptor.catalogue.reading import table_uses
from interceptor.catalogue.survey import Dangers, Findings
from interceptor.sql.analysis import StatementCache
from interceptor.sql.bodies import functions_made
from interceptor.sql.effects import MAX_NAMES, Effect, SessionEffects, graver
from interceptor.sql.facts import Group, MessageFacts, QualifiedName, StatementFacts
from interceptor.sql.functions import harmless_functions
from interceptor.sql.lexical import MAX_SKIMMED, names_of_settings
from interceptor.sql.statements import analyse_facts

__all__ = ["SessionJudge", "Sight"]

_WORDS: Final = re.compile(rb"[a-z0-9_]+")
_LONG: Final = re.compile(rb"[A-Za-z0-9_$\x80-\xff]{63}")
_SYMBOLS: Final = re.compile(rb"[-+*/<>=~!@#%^&|`?]+")

# What names neither a table nor a function; without a semicolon but at its end.
_SURELY_FREE: Final = re.compile(
    rb"\s*+(?:(?:begin|start|commit|end|rollback|abort|savepoint|release|set|reset|show|discard|deallocate|close|listen"
    rb"|unlisten|notify|lock|checkpoint)(?![a-z0-9_$\x80-\xff])[^;]*+|select[\s0-9,$]*+|);?\s*+\Z",
    re.IGNORECASE,
)

_DEFINITION: Final = re.compile(
    rb"(?<![a-z0-9_$\x80-\xff])(?:create|alter|import|drop|grant|revoke|reassign)(?![a-z0-9_$\x80-\xff])", re.IGNORECASE
)
_DEFINITIONS: Final = frozenset(["create", "alter", "import"])
_UNCOVERING: Final = frozenset(["drop", "grant", "revoke", "reassign"])
"""What makes nothing, but takes something away, or the right to use it, that hid another thing of the same name."""
_DEFINING: Final = tuple(word.encode() for word in sorted(_DEFINITIONS | _UNCOVERING))
_LOWER: Final = bytes(range(256)).lower()
_NO_LETTERS: Final = bytes([byte for byte in range(256) if not bytes([byte]).isalpha()])
_OF_A_PATH: Final = frozenset(["schema", "role"])
"""What a GRANT or REVOKE is about that decides which schemas are searched."""
_MADE: Final = frozenset(["table", "index", "sequence", "view", "materialized view"])
_STORAGE: Final = frozenset(["table", "index", "sequence", "type", "schema", "statistics object", "collation"])
_OF_STORAGE: Final = frozenset(
    [
        "add column", "add constraint", "add identity", "alter column type", "column default", "drop column",
        "drop constraint", "drop identity", "drop not null", "set not null", "set rel options", "set statistics",
        "validate constraint",
    ]
)  # fmt: skip
_CODE: Final = frozenset(["function", "procedure", "trigger", "view", "materialized view"])
_QUIET_KINDS: Final = frozenset(["select", "insert", "update", "delete", "merge"])
_COPIES: Final = re.compile(rb"\b(?:like|inherits)\b", re.IGNORECASE)
"""LIKE and INHERITS take over the defaults of other tables."""


class Sight(Enum):
    """How much a judge knows."""

    BLIND = "nothing: the catalogue is being read, or will be when a text calls for it"
    CLEAR = "all there is in the catalogue"
    DIM = "what the texts say, and what was dangerous when the catalogue was last read: it can't be read now"


class SessionJudge:
    """Judges the texts of one database's clients."""

    def __init__(self, wants_sight: Callable[[], None], max_bytes: int = 16 * 1024 * 1024) -> None:
        """``wants_sight`` is called when a blind judge has met a text for which the catalogue should be read."""
        self.texts = StatementCache(max_bytes)
        """Its ``effects`` are the judgements."""
        self.sight = Sight.BLIND
        self._wants_sight = wants_sight
        self._dangers = Dangers()
        self._findings: Findings | None = None
        self._words: frozenset[bytes] = frozenset()
        self._symbols: tuple[bytes, ...] = ()
        self._row_words: frozenset[bytes] = frozenset()
        self._may_be_cut = False
        self._relations: frozenset[str] | None = None
        """The names of all relations; None where they aren't known."""
        self.go_blind()

    def go_blind(self) -> None:
        """The catalogue isn't known, or has changed: until it is read, every text counts as one that may do anything,
        apart from those that name no table and call no function."""
        self.sight = Sight.BLIND
        self._relations = None
        self._findings = None
        self.texts.judge_by(None, self._judge_blindly, self._judge_blindly)

    def see(self, findings: Findings) -> None:
        """From now on this is what is known."""
        self.sight = Sight.CLEAR
        self._relations = findings.relations
        self._findings = findings
        self._fear(findings.dangers)
        self.texts.judge_by(findings, self._judge, self._search_if(findings.dangers), findings.server_version)

    def see_dimly(self) -> None:
        """The catalogue can't be read: go by the words of the texts, and by the last dangers that were known."""
        self.sight = Sight.DIM
        self._relations = None
        self._findings = None
        self.texts.judge_by(None, self._judge, self._search_if(self._dangers))

    def _fear(self, dangers: Dangers) -> None:
        self._dangers = dangers
        self._words = dangers.words()
        self._symbols = tuple(name.encode() for name in dangers.operators)
        self._row_words = frozenset(_WORDS.findall(" ".join(dangers.row_functions).encode().lower()))
        self._may_be_cut = dangers.may_be_cut

    def _search_if(self, dangers: Dangers) -> Callable[[bytes, SessionEffects], SessionEffects] | None:
        return self._search if dangers else None

    # --- Texts -------------------------------------------------------------------------------------------------------

    def _judge_blindly(self, sql: bytes, effects: SessionEffects) -> SessionEffects:
        if _SURELY_FREE.match(sql):
            return effects
        self._wants_sight()
        return self._with_definitions(sql, effects, _doubtful(sql, effects))

    def _judge(self, sql: bytes, effects: SessionEffects) -> SessionEffects:
        found = self._search(sql, effects) if self._dangers else effects
        return self._with_definitions(sql, found, found)

    def _search(self, sql: bytes, effects: SessionEffects) -> SessionEffects:
        """Look for the names of what is dangerous, and where one is, whether it is what it looks like."""
        if effects.effect is Effect.OPAQUE or not self._is_suspect(sql):
            return effects
        return _doubtful(sql, effects) if self._is_dangerous(sql, analyse_facts(sql)) else effects

    def _is_suspect(self, sql: bytes) -> bool:
        dangers, words = self._dangers, self._words
        if dangers.everywhere or dangers.when_defining:
            return True
        lowered = sql.lower()
        if not words.isdisjoint(_WORDS.findall(lowered)) or b'u&"' in lowered:
            return True
        if b"" in words and not sql.isascii():
            return True
        if self._may_be_cut and _LONG.search(sql):
            return True
        return bool(self._symbols) and any(one in run for run in _SYMBOLS.findall(sql) for one in self._symbols)

    def _is_dangerous(self, sql: bytes, facts: MessageFacts) -> bool:
        dangers = self._dangers
        if facts.opaque or dangers.everywhere:
            return True
        if self._row_words and not self._row_words.isdisjoint(_WORDS.findall(sql.lower())):
            return True
        return any(self._does_harm(one) for one in facts.all)

    def _does_harm(self, statement: StatementFacts) -> bool:
        dangers = self._dangers
        if dangers.when_defining and statement.group not in (Group.READ, Group.WRITE, Group.TRANSACTION, Group.SESSION):
            return True
        for use in table_uses(statement):
            by_schema = dangers.relations.get(use.name)
            if by_schema is not None:
                actions = [by_schema.get(use.schema, set())] if use.schema is not None else by_schema.values()
                if any(use.action in some for some in actions):
                    return True
        return (
            any(_is_among(use.name, dangers.functions) for use in statement.functions + statement.calls_before_17)
            or any(_is_among(name, dangers.operators) for name in statement.operators)
            or any(_is_among(name, dangers.types) for name in statement.types)
        )

    def _with_definitions(self, sql: bytes, effects: SessionEffects, judged: SessionEffects) -> SessionEffects:
        """A text that defines something has to be asked about, for what comes after it in its transaction may use what
        it defines; and what is known ends with it. ``effects``: for certain; ``judged``: with what is only feared."""
        if not judged.defines and not _may_define(sql):
            return judged
        facts = analyse_facts(sql)
        uncovers = any(self._uncovers(one) for one in facts.all)
        if not judged.defines and not _defines(facts):
            return replace(judged, defines=True, uncovers=True) if uncovers else judged
        uncovers = uncovers or bool(facts.opaque) or any(map(_moves, facts.all))
        keeps_names = (
            not effects.reparses and not _COPIES.search(sql)
            and (all(map(_makes_storage, facts.all)) or self._makes_quietly(sql, facts))
        )  # fmt: skip
        return replace(_doubtful(sql, effects), defines=True, keeps_names=keeps_names, uncovers=uncovers)

    def _uncovers(self, statement: StatementFacts) -> bool:
        """Whether it makes nothing, but names may mean something else after it: what it takes away hid that."""
        if statement.kind not in _UNCOVERING:
            return False
        if statement.kind in ("grant", "revoke"):
            return any(one.type in _OF_A_PATH for one in statement.objects)
        if self._relations is None or statement.objects or not statement.relations:
            return True
        # What is temporary, or not there, hides nothing of which anybody took notice.
        return not self._relations.isdisjoint([one.name.name for one in statement.relations])

    def _makes_quietly(self, sql: bytes, facts: MessageFacts) -> bool:
        """Whether what it makes besides, functions, triggers and views, leaves role and search_path alone when it runs.

        What it calls that isn't in the catalogue was made by the same transaction, or will be: that is judged then.
        """
        findings = self._findings
        if findings is None or facts.opaque or self._dangers.everywhere or self._dangers.when_defining:
            return False
        if self._row_words and not self._row_words.isdisjoint(_WORDS.findall(sql.lower())):
            return False
        bodies = [made.body for made in functions_made(sql)]
        statements = [one for body in bodies for one in body.statements]
        if any(body.opaque for body in bodies) or not all(one.kind in _QUIET_KINDS for one in statements):
            return False
        made = [one for one in facts.all if not _makes_storage(one)]
        return all(map(_makes_code, made)) and all(
            self._is_quiet(one, findings) for one in (*facts.all, *statements)
        )  # fmt: skip

    def _is_quiet(self, statement: StatementFacts, findings: Findings) -> bool:
        quiet = harmless_functions(findings.server_version)
        for use in statement.functions:
            name = use.name
            if name.name in findings.triggers:
                return False
            if name.name in quiet and name.schema in (None, "pg_catalog"):
                continue  # but for one of somebody's own, see below
            known = findings.functions.get(name.name, {}).values()
            if any(one is None or one.defines for one in known):
                return False
        if any(
            use.name.name == "pg_settings" or use.name.name in self._dangers.relations for use in statement.relations
        ):
            # What is written to a view may run what belongs to the tables below it.
            return False
        return not statement.settings and not self._does_harm(statement)


def _moves(statement: StatementFacts) -> bool:
    """Whether it may give something another name, another schema, or another role the right to it."""
    return statement.kind == "alter" and not (statement.alterations and _makes_storage(statement))


def _makes_code(statement: StatementFacts) -> bool:
    made = {one.type for one in statement.objects} | (statement.words & _MADE)
    return statement.kind == "create" and bool(made) and made <= _CODE


def _is_among(name: QualifiedName, dangerous: dict[str, set[str]]) -> bool:
    schemas = dangerous.get(name.name)
    return schemas is not None and (name.schema is None or name.schema in schemas)


def _may_define(sql: bytes) -> bool:
    if len(sql) > MAX_SKIMMED:
        # The pattern takes 30 ms for a megabyte.
        return _names_a_definition(sql)
    return _DEFINITION.search(sql) is not None


_last_long: tuple[bytes, bool] = (b"", False)


def _names_a_definition(sql: bytes) -> bool:
    """Remembered of one text: several ask about a long one in turn. What isn't a letter is left out first, as most of a
    long text is values: then a megabyte takes 1 to 3 ms, and one of nothing but letters 8."""
    global _last_long
    if _last_long[0] != sql:
        lowered = sql.translate(_LOWER, _NO_LETTERS)
        _last_long = (sql, any([lowered.find(word) >= 0 for word in _DEFINING]))
    return _last_long[1]


def _defines(facts: MessageFacts) -> bool:
    """Whether it creates or alters something that isn't temporary, as far as can be told."""
    return bool(facts.opaque) or any(one.kind in _DEFINITIONS and "temporary" not in one.words for one in facts.all)


def _makes_storage(statement: StatementFacts) -> bool:
    """Whether all that it defines is places for rows: tables, columns, indexes, which run nothing that others made."""
    if statement.group is not Group.DDL:
        return True
    if statement.alterations:
        return all(one.action in _OF_STORAGE for one in statement.alterations)
    if statement.kind != "create" or "partition of" in statement.words:
        return statement.kind in ("comment", "drop")
    made = {one.type for one in statement.objects} | (statement.words & _MADE)
    return bool(made) and made <= _STORAGE


def _doubtful(sql: bytes, effects: SessionEffects) -> SessionEffects:
    """The same, and whatever else."""
    names = effects.settings | {name for name in names_of_settings(sql[:MAX_SKIMMED])}
    return replace(
        effects,
        effect=graver(effects.effect, Effect.OPAQUE),
        reads_sequence=True,
        touches_sequence=True,
        ends_pin=True,
        reparses=True,
        reduces=True,
        settings=names if len(names) <= MAX_NAMES else frozenset(),
    )
