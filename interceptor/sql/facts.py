"""What a text of SQL says of itself: the statements in it, and what each reads, writes, calls and defines.

These are facts of the text alone, as PostgreSQL's own parser reads it. Names stand as they are written: which table
an unqualified ``orders`` is, which function ``f(1)`` calls, and what a view reads, only a catalogue knows. Nothing here
holds on to a parse tree, and nothing changes once it is made: facts are shared between all who ask for the same text.

docs/reference/facts.md explains every field with examples, and docs/design/facts.md why they are as they are.
"""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

__all__ = [
    "Access",
    "Alteration",
    "ColumnUse",
    "Comment",
    "Copy",
    "DefinedObject",
    "FunctionUse",
    "Group",
    "Limit",
    "Literal",
    "LiteralKind",
    "Locking",
    "MessageFacts",
    "Opaque",
    "OpaqueReason",
    "Parameter",
    "QualifiedName",
    "RelationUse",
    "Setting",
    "StatementFacts",
    "Via",
    "Where",
]


class Group(StrEnum):
    """What sort of statement a kind is."""

    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    DCL = "dcl"
    SESSION = "session"
    TRANSACTION = "transaction"
    UTILITY = "utility"


class Via(StrEnum):
    """How a nested statement is reached from the one that holds it."""

    CTE = "cte"
    EXPLAIN = "explain"
    PREPARE = "prepare"
    CURSOR = "cursor"
    COPY = "copy"
    CREATE_AS = "create as"
    VIEW = "view"
    RULE = "rule"
    SCHEMA = "schema"
    FUNCTION = "function"
    DO = "do"
    EXECUTE = "execute"


class Access(StrEnum):
    """What a statement does to a relation that it names."""

    READ = "read"
    WRITE = "write"
    DEFINE = "define"
    MENTION = "mention"


class Where(Enum):
    """The WHERE clause of a statement's own query; of the arms of a UNION the one that restricts least."""

    NONE = "none"
    """The statement has no place for one: it is no SELECT, UPDATE or DELETE, or a SELECT without FROM."""
    GIVEN = "given"
    CONSTANT = "constant"
    """It tells no row from another, so that it may keep all of them: WHERE $1, WHERE length('a') = 1, WHERE id = 1
    OR $2, WHERE id = id + 0."""
    ALWAYS_TRUE = "always true"
    ABSENT = "absent"


class LiteralKind(StrEnum):
    """How a constant is written."""

    INTEGER = "integer"
    NUMERIC = "numeric"
    STRING = "string"
    BIT_STRING = "bit string"
    BOOLEAN = "boolean"
    NULL = "null"


class OpaqueReason(StrEnum):
    """Why a text, or a statement, may do more than its facts say. The value goes on after "because"."""

    UNPARSABLE = "PostgreSQL's parser, of the version that is known here, can't read it"
    TOO_LONG = "it is longer than is analysed at once"
    TOO_DEEP = "it is nested more deeply than is analysed"
    TOO_COMPLEX = "its tree is larger than is analysed at once"
    LEXING = "the settings of its session let it be read in another way"
    UNKNOWN_SYNTAX = "it holds syntax that is newer than this program"
    LANGUAGE = "it runs code in a language other than SQL and PL/pgSQL"
    BODY = "the body of its code can't be read"
    DYNAMIC_SQL = "it runs SQL that it puts together as it runs"
    CALL = "it calls a procedure"
    EXECUTE = "it runs a statement that was prepared by another text"
    EXTENSION = "it runs the scripts of an extension"


class QualifiedName(msgspec.Struct, frozen=True, gc=False):
    """A name as it is written, with what stands before it, quotes resolved and case folded as PostgreSQL does it.

    ``catalog`` is the database in ``db.schema.name``. Names of relations, functions, types and operators are all this.
    """

    name: str
    schema: str | None = None
    catalog: str | None = None

    def __str__(self) -> str:
        return ".".join([part for part in (self.catalog, self.schema, self.name) if part is not None])


class RelationUse(msgspec.Struct, frozen=True, gc=False):
    """One place where a statement names a relation. ``alias`` is what columns are qualified with there."""

    name: QualifiedName
    access: Access
    alias: str
    place: int
    only: bool = False


class ColumnUse(msgspec.Struct, frozen=True, gc=False):
    """One place where a statement names a column, or all of them.

    ``name``: the column, and "*" where ``star``. ``qualifier``: the alias or table name that is written before it, if
    any. ``relations``: the relations that it may belong to, those of the nearest query first. One: it is that
    relation's, as far as the text tells. None: it belongs to no relation of this statement (a column of a subquery, a
    CTE or a function; a variable of PL/pgSQL). Several: any of them; only who knows their columns can tell. What comes
    out of a subquery was counted inside.

    ``star``: all columns, of ``relations``. ``whole_row``: the name is also that of a relation's alias, so that it
    means its whole row unless one of the relations has a column of that name. ``written``: a value is stored in it, by
    INSERT, UPDATE, MERGE or COPY FROM; otherwise it is read.
    """

    name: str
    qualifier: str | None
    relations: tuple[QualifiedName, ...]
    place: int
    star: bool = False
    whole_row: bool = False
    written: bool = False


class FunctionUse(msgspec.Struct, frozen=True, gc=False):
    """One place where a statement calls a function, an aggregate, a window function, a procedure or a sampling method.

    ``texts``: for each argument its value if it is a string constant, else None. With one argument that is a column
    or a row, the call may also be PostgreSQL's other way to write a column: ``name(t)`` for ``t.name``.
    """

    name: QualifiedName
    place: int
    texts: tuple[str | None, ...] = ()


class Locking(msgspec.Struct, frozen=True, gc=False):
    """FOR UPDATE and its kin. ``aliases``: what stands after OF, and all relations of the query if that is empty."""

    strength: str
    aliases: tuple[str, ...] = ()
    wait: str = "block"


class Limit(msgspec.Struct, frozen=True, gc=False):
    """LIMIT or FETCH FIRST of a statement's outermost query. Exactly one of the three says how many.

    ``count`` is a constant, ``parameter`` the number of a ``$n``, and ``computed`` any other expression. LIMIT ALL and
    LIMIT NULL are no limit. ``ties``: WITH TIES may return more.
    """

    count: int | None = None
    parameter: int | None = None
    computed: bool = False
    ties: bool = False


class Literal(msgspec.Struct, frozen=True, gc=False):
    """A constant of the text, at the byte ``place``; a negative number's place is its minus sign.

    ``fixed``: with another value here it would be another statement: a position in ORDER BY or GROUP BY, a value in SET
    or in a definition.
    """

    value: str | int | bool | None
    kind: LiteralKind
    place: int
    fixed: bool = False


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """``$number`` at the byte ``place``."""

    number: int
    place: int


class Comment(msgspec.Struct, frozen=True, gc=False):
    """A comment of the text, as PostgreSQL's scanner finds it, with its marks. ``place`` is that of its first byte."""

    text: str
    place: int


class Setting(msgspec.Struct, frozen=True, gc=False):
    """A setting that SET, RESET or ``set_config`` changes.

    ``name``: in lower case; "all" of RESET ALL, "transaction" of SET TRANSACTION and BEGIN, "session characteristics";
    None if it isn't constant. ``values``: None if it is reset or not constant, ``known`` tells which. ``local``: until
    the end of the transaction.
    """

    name: str | None
    values: tuple[str, ...] | None
    local: bool = False
    known: bool = True


class Copy(msgspec.Struct, frozen=True, gc=False):
    """Where COPY takes from or sends to: the client unless ``file``, on the server, or ``program``, run there."""

    is_from: bool
    file: str | None = None
    program: str | None = None


class DefinedObject(msgspec.Struct, frozen=True, gc=False):
    """An object other than a relation that a statement creates, alters, drops or comments on.

    ``type`` is PostgreSQL's word for it in lower case: "function", "type", "role", "schema", "extension"…
    """

    type: str
    name: QualifiedName


class Alteration(msgspec.Struct, frozen=True, gc=False):
    """One action of ALTER TABLE and its kin: "add column", "alter column type", "add constraint"…

    ``column``: the column or constraint that it is about. ``words``: what else matters of it: "not null", "default",
    "not valid", "using", "using index", "cascade", "if exists", "primary key", "unique", "foreign key", "check",
    "exclude", "identity", "generated".
    """

    action: str
    column: str | None = None
    words: frozenset[str] = frozenset()


class Opaque(msgspec.Struct, frozen=True, gc=False):
    """Something that may do more than the facts say.

    ``detail``: the language, the procedure, the parser's complaint…
    """

    reason: OpaqueReason
    detail: str = ""


class StatementFacts(msgspec.Struct, frozen=True, gc=False):
    """What one statement says of itself, apart from the statements that are ``nested`` in it."""

    kind: str
    """Its first keyword in lower case: "select", "insert", "drop"… SELECT, VALUES, TABLE and WITH … SELECT are all
    "select", START is "begin", END "commit" and ABORT "rollback". Empty for what can't be parsed."""
    group: Group
    start: int = 0
    """Its first byte in the text; -1 if it is nested. Places in what comes from a function's body are none of the
    text."""
    end: int = 0
    """The byte after its last."""
    via: Via | None = None
    """How it is reached, if it is nested."""
    runs: bool = True
    """False if it is only stored or prepared by the message: the body of CREATE FUNCTION, a view, PREPARE, EXPLAIN."""
    relations: tuple[RelationUse, ...] = ()
    reads: tuple[QualifiedName, ...] = ()
    writes: tuple[QualifiedName, ...] = ()
    defines: tuple[QualifiedName, ...] = ()
    mentions: tuple[QualifiedName, ...] = ()
    columns: tuple[ColumnUse, ...] = ()
    functions: tuple[FunctionUse, ...] = ()
    operators: tuple[QualifiedName, ...] = ()
    types: tuple[QualifiedName, ...] = ()
    value_functions: tuple[str, ...] = ()
    """CURRENT_DATE, CURRENT_USER and their kin, which are no functions to PostgreSQL; in lower case."""
    volatile_literals: tuple[str, ...] = ()
    """String constants that are another moment each time if they are cast to a date or time: 'now', 'today'…"""
    locking: tuple[Locking, ...] = ()
    into: QualifiedName | None = None
    where: Where = Where.NONE
    limit: Limit | None = None
    cartesian: bool = False
    """Relations are joined with nothing that says which rows belong together."""
    longest_list: int = 0
    """The number of items of its longest IN list or ARRAY[…]."""
    rows: int = 0
    """The number of rows of its longest VALUES."""
    subject: str | None = None
    """The prepared statement, cursor, savepoint, channel, setting or library that it is about."""
    settings: tuple[Setting, ...] = ()
    copy: Copy | None = None
    objects: tuple[DefinedObject, ...] = ()
    alterations: tuple[Alteration, ...] = ()
    words: frozenset[str] = frozenset()
    """Words of the statement that change what it is: docs/reference/facts.md lists them."""
    opaque: tuple[Opaque, ...] = ()
    nested: tuple[StatementFacts, ...] = ()
    calls_before_17: tuple[FunctionUse, ...] = ()
    """What is syntax since PostgreSQL 17, and to older servers an ordinary call: ``json_value(a, b)`` and its kin."""


class MessageFacts(msgspec.Struct, frozen=True, gc=False):
    """What the text of one Query or Parse says of itself.

    ``example``: True if these facts were made from another text, which differs in nothing but the values of literals,
    and names, of which these have their own. All but ``literals`` and the places hold for this text too;
    ``FactsCache.exact`` has those.
    """

    size: int
    """Bytes of the text."""
    depth: int = 0
    """Levels of its tree, counted over expressions and queries."""
    statements: tuple[StatementFacts, ...] = ()
    all: tuple[StatementFacts, ...] = ()
    """The statements and all that is nested in them, each before what it holds."""
    reads: tuple[QualifiedName, ...] = ()
    """What ``all`` read; likewise the next three."""
    writes: tuple[QualifiedName, ...] = ()
    defines: tuple[QualifiedName, ...] = ()
    mentions: tuple[QualifiedName, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    literals: tuple[Literal, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    comments: tuple[Comment, ...] = ()
    example: bool = False
