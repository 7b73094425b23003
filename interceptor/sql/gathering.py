"""What is found in one statement while it is read, and the facts that come of it."""

from __future__ import annotations

from collections.abc import Callable

from interceptor.sql.facts import (
    Access,
    Alteration,
    ColumnUse,
    Copy,
    DefinedObject,
    FunctionUse,
    Group,
    Limit,
    Literal,
    Locking,
    Opaque,
    OpaqueReason,
    Parameter,
    QualifiedName,
    RelationUse,
    Setting,
    StatementFacts,
    Via,
    Where,
)
from interceptor.sql.parsing import Limits, Node
from interceptor.sql.scopes import NO_CTES, Scope

__all__ = ["Findings", "MessageReader", "TooDeep"]

_EMPTY: frozenset[str] = frozenset()

# Members of an enum take longer to find than what is in the module.
_READ, _WRITE, _DEFINE, _MENTION = Access.READ, Access.WRITE, Access.DEFINE, Access.MENTION


class TooDeep(Exception):
    """The tree has more levels than the limits allow."""


class MessageReader:
    """What all statements of one text share."""

    __slots__ = ("budget", "depth", "limits", "literals", "nesting", "parameters", "read")

    def __init__(self, limits: Limits, read: Callable[..., StatementFacts]) -> None:
        self.limits = limits
        self.read = read  # statements.read_statement; here, because it stands above this module
        self.literals: list[Literal] = []
        self.parameters: list[Parameter] = []
        self.depth = 0
        self.nesting = 0
        """How many bodies of functions this text is in."""
        self.budget = limits.expressions
        """How many more expressions in bodies are read."""


class Findings:
    """What was found so far. Who reads a clause adds to it (``expressions.StatementReader``)."""

    # What few statements have.
    kind = ""
    fixed = False
    locking: tuple[Locking, ...] = ()
    into: QualifiedName | None = None
    where = Where.NONE
    limit: Limit | None = None
    cartesian = False
    longest_list = 0
    rows = 0
    subject: str | None = None
    settings: tuple[Setting, ...] = ()
    copy: Copy | None = None
    objects: tuple[DefinedObject, ...] = ()
    alterations: tuple[Alteration, ...] = ()
    opaque: tuple[Opaque, ...] = ()
    value_functions: tuple[str, ...] = ()
    calls_before_17: tuple[FunctionUse, ...] = ()
    volatile_literals: tuple[str, ...] = ()
    subject_access = Access.MENTION

    def __init__(self, message: MessageReader, group: Group, via: Via | None, runs: bool, ctes: frozenset[str]) -> None:
        self.message = message
        self.group = group
        self.via = via
        self.runs = runs
        self.scope = Scope(None, ctes)
        self.aliases: dict[str, tuple[QualifiedName, ...]] | None = None  # of the scope, if none is around it
        self.candidates: tuple[QualifiedName, ...] = ()  # of the scope
        self.below: list[Node] = []
        self.pending: list[tuple[Node, Scope | None, frozenset[str], int, int]] = []
        self.level = 0
        self.relations: list[RelationUse] = []
        self.columns: list[ColumnUse] = []
        self.functions: list[FunctionUse] = []
        self.operators: dict[str, QualifiedName] = {}
        self.types: dict[str, QualifiedName] = {}
        self.words: set[str] = set()
        self.nested: list[StatementFacts] = []

    # --- results ---

    def facts(self, kind: str, start: int, end: int) -> StatementFacts:
        """Return what was found."""
        relations = self.relations
        reads: tuple[QualifiedName, ...] = ()
        writes = defines = mentions = reads
        if len(relations) == 1:
            use = relations[0]
            if use.access is _READ:
                reads = (use.name,)
            elif use.access is _WRITE:
                writes = (use.name,)
            elif use.access is _DEFINE:
                defines = (use.name,)
            else:
                mentions = (use.name,)
        elif relations:
            reads, writes, defines, mentions = [
                tuple(dict.fromkeys([use.name for use in relations if use.access is access]))
                for access in (_READ, _WRITE, _DEFINE, _MENTION)
            ]
        return StatementFacts(
            kind, self.group, start, end, self.via, self.runs, tuple(relations), reads, writes, defines, mentions,
            tuple(self.columns), tuple(self.functions), tuple(self.operators.values()), tuple(self.types.values()),
            self.value_functions, self.volatile_literals, self.locking, self.into, self.where, self.limit,
            self.cartesian, self.longest_list, self.rows, self.subject, self.settings, self.copy, self.objects,
            self.alterations, frozenset(self.words) if self.words else _EMPTY, self.opaque, tuple(self.nested),
            self.calls_before_17,
        )  # fmt: skip

    def is_opaque(self, reason: OpaqueReason, detail: str = "") -> None:
        """Note that the statement may do more than its facts say."""
        self.opaque = (*self.opaque, Opaque(reason, detail))

    def nest(
        self, statement: Node, via: Via, runs: bool = True, parent: Scope | None = None, ctes: frozenset[str] = NO_CTES
    ) -> StatementFacts:
        """Read a statement that is part of this one, ``{"Kind": …}``."""
        found = self.message.read(
            self.message, statement, via, runs and self.runs, parent, ctes, self.level + 1, self.fixed
        )
        self.nested.append(found)
        return found

    def use(self, body: Node, access: Access) -> QualifiedName:
        """Note that a RangeVar, of which these are the fields, is used so."""
        name = QualifiedName(body["relname"], body.get("schemaname"), body.get("catalogname"))
        alias = body.get("alias")
        self.relations.append(
            RelationUse(
                name,
                access,
                alias["aliasname"] if alias is not None else name.name,
                body.get("location", -1),
                "inh" not in body,
            )
        )
        if body.get("relpersistence") != "p":
            self.words.add("temporary" if body.get("relpersistence") == "t" else "unlogged")
        return name
