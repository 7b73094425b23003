"""From the bytes of a text to its effects on the session, parsed once and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import msgspec
from pglast import parser

from interceptor.sql.effects import EMPTY, MAX_NAMES, NONE, OPAQUE, WRITES, Effect, SessionEffects, shared_effects
from interceptor.sql.lexical import is_plain, may_parse, names_of_settings, reads_alike, says_temporary
from interceptor.sql.parsing import keep_parse, kept_parse
from interceptor.sql.tree import Json, Node
from interceptor.sql.walk import KnownCalls, Walk

__all__ = ["StatementCache", "analyse", "opaque_effects"]

MAX_TREE = 160 * 1024  # characters of JSON; decoding and walking this many takes some 3 ms
MAX_CACHED = 16 * 1024  # bytes of one text
_ENTRY_OVERHEAD = 150  # bytes of memory that an entry takes beside its text: the object's head and its place in a dict

_DOLLAR = ord("$")  # bytes in bytes are looked for ten times as slowly as a number is

_decode = msgspec.json.Decoder().decode

_MAY_SET = frozenset({Effect.SETTING, Effect.OPAQUE, Effect.PREPARED_STATEMENT, Effect.TEMPORARY_OBJECT})
_HIDES = frozenset({Effect.OPAQUE, Effect.PREPARED_STATEMENT})
"""What runs statements that aren't in the text."""
_REPARSES = _HIDES | {Effect.LIBRARY}


Judge = Callable[[bytes, SessionEffects], SessionEffects]
"""From a text and what it may do as far as it tells, to what it may do."""


class StatementCache:
    """The effects of texts, remembered by their bytes.

    One cache serves any number of clients and sessions, of servers of one version. Two generations of at most half of
    ``max_bytes`` each: when the young one is full it becomes the old one, and a text that is asked for again moves
    back. So what is used stays, and nothing is counted or reordered on a hit.
    """

    __slots__ = (
        "_half",
        "_judge",
        "_judge_plain",
        "_known",
        "_long",
        "_old",
        "_old_bytes",
        "_server_version",
        "_young",
        "_young_bytes",
        "era",
        "generation",
    )

    def __init__(self, max_bytes: int = 16 * 1024 * 1024, server_version: int = 0) -> None:
        """``max_bytes`` bounds the memory of the cache. ``server_version`` is as 180004; 0 is the oldest."""
        self._half = max_bytes // 2
        self._server_version = server_version
        self._known: KnownCalls | None = None
        self._judge: Judge | None = None
        self._judge_plain: Judge | None = None
        self.era = object()
        """Another one whenever all texts are judged anew."""
        self.generation = object()
        """Another one whenever a text may mean something else to who parses it now, for what its names stand for has
        changed. Whoever learns of that puts it in the place of the old one."""
        self._young: dict[bytes, SessionEffects] = {}
        self._old: dict[bytes, SessionEffects] = {}
        self._young_bytes = 0
        self._old_bytes = 0
        self._long: tuple[bytes, SessionEffects] | None = None
        """The last text that is too long to be kept: each message is asked about more than once."""

    def judge_by(
        self, known: KnownCalls | None, judge: Judge | None, judge_plain: Judge | None, server_version: int = 0
    ) -> None:
        """Forget all texts, and from now on judge them by what more is known.

        ``known`` tells of functions that aren't PostgreSQL's own. ``judge`` and ``judge_plain`` are given each new text
        with its effects, and return what counts; the latter gets those that ``is_plain`` says to be harmless.
        """
        self._known, self._judge, self._judge_plain = known, judge, judge_plain
        self._server_version = server_version
        self._young, self._old = {}, {}
        self._young_bytes = self._old_bytes = 0
        self._long = None
        self.era = object()

    def memory(self) -> int:
        """Return about how many bytes of memory the texts take, never more than ``max_bytes``."""
        return self._young_bytes + self._old_bytes

    def effects(self, sql: bytes, standard_lexing: bool = True) -> SessionEffects:
        """Return what the text of a Query or Parse, without its final NUL, may do to the session that runs it.

        ``standard_lexing``: standard_conforming_strings is on, and the client's encoding is one in which
        no byte below 128 is part of another character (not SJIS, SHIFT_JIS_2004, BIG5, GBK, UHC, JOHAB, GB18030).
        The server reports both. Without it, a text that could read differently is OPAQUE.
        """
        if len(sql) > MAX_CACHED and standard_lexing and self._long is not None and self._long[0] == sql:
            return self._long[1]
        found = self._young.get(sql)
        if found is not None and standard_lexing:
            return found
        if not standard_lexing and not reads_alike(sql):
            return OPAQUE
        if found is None:
            found = self._old.get(sql)
            if found is None:
                if is_plain(sql):
                    found = NONE if sql[0] in b"sS" else _plain_effects(sql)
                    if self._judge_plain is not None:
                        found = self._judge_plain(sql, found)
                    if _DOLLAR not in sql:  # with its values in it, the text is not likely to come again
                        return found
                else:
                    found = _analyse(sql, self._server_version, self._known)
                    if self._judge is not None:
                        found = self._judge(sql, found)
            if len(sql) <= MAX_CACHED:
                self._remember(sql, found)
            elif standard_lexing:
                self._long = (sql, found)
        return found

    def _remember(self, sql: bytes, effects: SessionEffects) -> None:
        size = len(sql) + _ENTRY_OVERHEAD
        if size > self._half:
            return
        if self._young_bytes + size > self._half:
            self._old = self._young
            self._old_bytes = self._young_bytes
            self._young = {}
            self._young_bytes = 0
        self._young[sql] = effects
        self._young_bytes += size


def analyse(sql: bytes, server_version: int = 0) -> SessionEffects:
    """Return what the text may do to the session that runs it, under standard lexing (see ``StatementCache.effects``).

    Takes at most some 5 ms, whatever the text. Never raises: what can't be read, or would take too long, is OPAQUE.
    """
    return _plain_effects(sql) if is_plain(sql) else _analyse(sql, server_version)


def _plain_effects(sql: bytes) -> SessionEffects:
    # Only a SELECT surely writes nothing: an UPDATE or a DELETE may fire a trigger.
    return NONE if sql.lstrip()[:1] in b"sS" else WRITES


def _analyse(sql: bytes, server_version: int, known: KnownCalls | None = None) -> SessionEffects:
    parsed = kept_parse(sql)
    if parsed is not None:
        tree, statements = parsed.tree, parsed.statements
    else:
        if not may_parse(sql):
            return opaque_effects(sql)
        found = _parse(sql)
        if found is None or len(found) > MAX_TREE:
            return opaque_effects(sql)
        tree = found
        try:
            statements = _decode(tree).get("stmts", [])
        except RecursionError:  # some 500 levels; nobody's statement
            return OPAQUE
        keep_parse(sql, tree, statements)
    if not statements:
        return EMPTY
    walk = Walk(server_version, known)
    transaction_control = False
    for statement in statements:
        node = statement["stmt"]
        walk.visit(node)
        transaction_control = transaction_control or "TransactionStmt" in node
    if says_temporary(sql) and _makes_temporary(tree, statements):
        walk.found(Effect.TEMPORARY_OBJECT)
    names: frozenset[str] = frozenset()
    if walk.effect in _MAY_SET:
        names = frozenset(walk.settings | names_of_settings(sql))
        if len(names) > MAX_NAMES:
            names = frozenset()
    return shared_effects(
        SessionEffects(
            walk.effect,
            len(statements),
            transaction_control,
            walk.reads_sequence or walk.effect in _HIDES,
            walk.writes or walk.effect in _HIDES,
            walk.ends_pin or walk.reduces or walk.effect in _HIDES,
            walk.reparses or walk.reduces or walk.effect in _REPARSES,
            walk.reduces or walk.effect in _HIDES,
            names,
            walk.defines,
            channels=frozenset(walk.channels),
        )
    )


def opaque_effects(sql: bytes) -> SessionEffects:
    """Return the effects of a text of which nothing is known but its words, or those of its beginning."""
    names = frozenset(names_of_settings(sql[:MAX_CACHED]))
    return replace(OPAQUE, settings=names) if 0 < len(names) <= MAX_NAMES else OPAQUE


def _parse(sql: bytes) -> str | None:
    """Return libpg_query's JSON, or None for a text that it can't read. Never ``parse_sql``: deep SQL kills it."""
    if 0 in sql:
        return None  # C would end the text there
    try:
        text = sql.decode()
    except UnicodeDecodeError:
        # Another encoding. To PostgreSQL's scanner every byte from 128 on is a letter, and so is what this makes of it.
        text = sql.decode("latin-1")
    try:
        return parser.parse_sql_json(text)
    except parser.ParseError:
        return None


_TEMPORARY = '"relpersistence":"t"'
_IN_TEMPORARY_SCHEMA = ('"schemaname":"pg_temp', '"String":{"sval":"pg_temp', '"local_schema":"pg_temp')


def _makes_temporary(tree: str, statements: list[dict[str, Node]]) -> bool:
    """Say whether something temporary is made or named that outlives the transaction.

    ON COMMIT DROP ends with it, and so does what depends on such a table. The text of the tree is enough to
    look at: in it a quote inside a string has a backslash before it, so no client's string looks like a field.
    """
    if any([mark in tree for mark in _IN_TEMPORARY_SCHEMA]):
        return True
    made = tree.count(_TEMPORARY)
    if not made:
        return False
    return made > sum([_drops_on_commit(statement["stmt"]) for statement in statements])


def _drops_on_commit(statement: Node) -> bool:
    node = statement.get("CreateStmt")
    if isinstance(node, dict):
        return node.get("oncommit") == "ONCOMMIT_DROP" and _is_temporary(node.get("relation"))
    node = statement.get("CreateTableAsStmt")
    if isinstance(node, dict):
        into = cast("Node", node["into"])
        return into.get("onCommit") == "ONCOMMIT_DROP" and _is_temporary(into.get("rel"))
    return False


def _is_temporary(relation: Json) -> bool:
    return isinstance(relation, dict) and relation.get("relpersistence") == "t"
