"""The conditions of one rule about statements, made ready to be tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interceptor import StatementFacts
from interceptor.sql.facts import Via, Where
from interceptor_rules.automaton import Automaton
from interceptor_rules.kinds import Kinds
from interceptor_rules.model import Rule
from interceptor_rules.patterns import NamePattern, Words
from interceptor_rules.subjects import ColumnName, Subject, Use

__all__ = ["MATCH", "MAYBE", "NOTHING", "NO_MATCH", "Found", "Message", "What", "matches_relation"]

_ROWS_OUT: Final = frozenset([None, Via.CURSOR, Via.COPY, Via.EXPLAIN, Via.PREPARE])
"""How a query is reached whose rows go to the client."""


NO_MATCH: Final = 0
MAYBE: Final = 1
"""It may be, for the statement can't be seen through."""
MATCH: Final = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule matched on, for people."""

    because: tuple[str, ...] = ()


class Message:
    """What all statements of a message have in common."""

    __slots__ = ("canonical", "depth", "protocol", "several", "size")

    def __init__(self, size: int, depth: int, *, several: bool) -> None:
        self.size = size
        self.depth = depth
        self.several = several
        self.canonical: dict[int, str | None] = {}
        """The canonical text of the statement that begins there; None if it is too long."""


class What:
    """The conditions about the statement."""

    __slots__ = (
        "_alterations",
        "_automaton",
        "_canonical",
        "_except_functions",
        "_except_statements",
        "_except_tables",
        "_facets",
        "_rule",
        "_settings",
        "_statements",
        "columns",
        "functions",
        "tables",
    )

    def __init__(self, rule: Rule, canonical: frozenset[str], automaton: Automaton | None) -> None:
        """``canonical``: the canonical texts of ``rule.canonical``. Raises BadPattern."""
        self._rule = rule
        self._statements = Kinds(rule.statements) if rule.statements else None
        self._except_statements = Kinds(rule.except_statements) if rule.except_statements else None
        self.tables = tuple([NamePattern(one, 2) for one in rule.tables])
        self.columns = tuple([NamePattern(one, 3) for one in rule.columns])
        self.functions = tuple([NamePattern(one, 2) for one in rule.functions])
        self._except_tables = tuple([NamePattern(one, 2) for one in rule.except_tables])
        self._except_functions = tuple([NamePattern(one, 2) for one in rule.except_functions])
        self._settings = Words([one.lower() for one in rule.settings]) if rule.settings else None
        self._alterations = Words(rule.alterations) if rule.alterations else None
        self._canonical = canonical
        self._automaton = automaton
        self._facets = bool(
            rule.limit or rule.limit_over is not None or rule.cartesian or rule.select_star
            or rule.list_over is not None or rule.copy or rule.alterations or rule.words or rule.without_words
            or rule.except_new_tables
        )  # fmt: skip

    @property
    def statements(self) -> Kinds | None:
        """What kinds it is about; None: any."""
        return self._statements

    @property
    def names(self) -> bool:
        """Whether it names relations, columns or functions."""
        return bool(self.tables or self.columns or self.functions)

    @property
    def canonical(self) -> frozenset[str]:
        """The canonical texts that it is about; empty: any."""
        return self._canonical

    @property
    def anything(self) -> bool:
        """Whether it says nothing, so that it is about every statement, whatever that does."""
        rule = self._rule
        return not (
            self._statements or self._except_statements or self.names or self._settings or self._facets or rule.where
            or self._canonical or self._automaton or rule.multiple_statements
            or rule.size_over is not None or rule.depth_over is not None
        )  # fmt: skip

    @property
    def any_doubt(self) -> bool:
        """Whether it may be about every statement of which it isn't known what it touches."""
        rule = self._rule
        return self.names and not (
            self._settings or self._facets or rule.where or self._canonical or self._automaton
            or rule.multiple_statements or rule.size_over is not None or rule.depth_over is not None
        )  # fmt: skip

    # --- For rules that refuse, or do something else: any of what they name -----------------------------------------

    def match(self, subject: Subject, message: Message) -> tuple[int, Found]:
        """Whether the rule is about a statement, where any one thing that it names is enough."""
        rule = self._rule
        found: list[str] = []
        if not self._match_message(subject, message, found):
            return NO_MATCH, NOTHING
        if rule.except_new_tables and subject.new_tables and not subject.known_tables:
            return NO_MATCH, NOTHING
        doubtful = bool(subject.opaque or subject.unread or subject.everything)
        if self.anything or (subject.unread and (self._automaton is None and not self._canonical)):
            return (MATCH if self.anything else MAYBE), Found(tuple(found))
        if self._automaton is not None or self._canonical:
            if self._match_text(subject, message, found) is False:
                return NO_MATCH, NOTHING
            if subject.unread:
                return MAYBE, Found(tuple(found))
        if self._facets and not self._match_facets(subject.facts, found):
            return NO_MATCH, NOTHING
        if rule.where and not self._match_where(subject, found):
            return (MAYBE, Found(tuple(found))) if doubtful else (NO_MATCH, NOTHING)
        if self._settings is not None and not self._match_settings(subject, found):
            return (MAYBE, Found(tuple(found))) if doubtful else (NO_MATCH, NOTHING)
        own = self._match_kinds(subject)
        certain = self._match_names(subject, own, found) if self.names else own
        if certain:
            return MATCH, Found(tuple(found))
        return (MAYBE, Found(tuple(found))) if doubtful else (NO_MATCH, NOTHING)

    def _match_kinds(self, subject: Subject) -> bool:
        excepted = self._except_statements
        if excepted is not None and excepted.match(subject.kinds, subject.group):
            return False
        return self._statements is None or self._statements.match(subject.kinds, subject.group)

    def _match_message(self, subject: Subject, message: Message, found: list[str]) -> bool:
        rule = self._rule
        if rule.size_over is not None:
            if message.size <= rule.size_over:
                return False
            found.append(f"it has {message.size} bytes")
        if rule.depth_over is not None:
            if message.depth <= rule.depth_over and not subject.unread:
                return False
            found.append(f"it is nested {message.depth} levels deep")
        if rule.multiple_statements:
            if not message.several:
                return False
            found.append("its message has several statements")
        return True

    def _match_text(self, subject: Subject, message: Message, found: list[str]) -> bool | None:
        """None: it can't be told, for the text is too long, or the regular expression takes too long."""
        if subject.unread:
            return True
        if subject.start not in message.canonical:
            return False  # it is in a body, and no text of the message
        canonical = message.canonical[subject.start]
        if canonical is None:
            return None
        if self._canonical and canonical not in self._canonical:
            return False
        if self._automaton is not None:
            matched = self._automaton.search(canonical)
            if matched is not True:
                return matched
            found.append(f"its canonical text matches {self._automaton.source}")
        return True

    def _match_settings(self, subject: Subject, found: list[str]) -> bool:
        if subject.facts is None or self._settings is None:
            return False
        for setting in subject.facts.settings:
            name = setting.name
            if name is None or name == "all" or self._settings.match(name):
                found.append(f"it changes the setting {name or 'that is named as it runs'}")
                return True
        return False

    def _match_where(self, subject: Subject, found: list[str]) -> bool:
        if subject.facts is None:
            found.append(f"whether {subject.origin or 'it'} has a WHERE isn't known")
            return not self._statements or self._statements.match(subject.kinds, subject.group)
        where = subject.facts.where
        if where is Where.ABSENT:
            found.append("it has no WHERE")
        elif where is Where.ALWAYS_TRUE:
            found.append("its WHERE is always true")
        elif where is Where.CONSTANT:
            found.append("its WHERE tells no row from another")
        else:
            return False
        return True

    def _match_facets(self, facts: StatementFacts | None, found: list[str]) -> bool:
        rule = self._rule
        if facts is None:
            return False
        if rule.limit or rule.limit_over is not None:
            if (
                facts.kind != "select"
                or facts.via not in _ROWS_OUT
                or not (facts.reads or facts.where is not Where.NONE)
            ):
                return False
            if facts.limit is None:
                found.append("it has no LIMIT")
            elif rule.limit_over is not None and facts.limit.count is not None and facts.limit.count > rule.limit_over:
                found.append(f"its LIMIT is {facts.limit.count}")
            elif rule.limit_over is not None and (facts.limit.computed or facts.limit.ties):
                found.append("its LIMIT is not a number")
            elif rule.limit_over is None or facts.limit.parameter is None:
                return False
        if rule.cartesian:
            if not facts.cartesian:
                return False
            found.append("it joins relations with nothing that says which rows belong together")
        if rule.select_star:
            if not any(column.star and not column.written for column in facts.columns):
                return False
            found.append("it asks for all columns with *")
        if rule.list_over is not None:
            longest = max(facts.longest_list, facts.rows)
            if longest <= rule.list_over:
                return False
            found.append(f"it has a list of {longest}")
        if rule.copy:
            if facts.copy is None:
                return False
            side = "program" if facts.copy.program else "file" if facts.copy.file else "client"
            if side not in rule.copy:
                return False
            found.append(f"it copies from or to a {side}")
        if self._alterations is not None or rule.words or rule.without_words:
            return self._match_words(facts, found)
        return True

    def _match_words(self, facts: StatementFacts, found: list[str]) -> bool:
        rule = self._rule
        if self._alterations is None:
            if not facts.words.issuperset(rule.words) or not facts.words.isdisjoint(rule.without_words):
                return False
            found.extend([f"it says {word}" for word in rule.words])
            found.extend([f"it doesn't say {word}" for word in rule.without_words])
            return True
        for one in facts.alterations:
            if (
                self._alterations.match(one.action)
                and one.words.issuperset(rule.words)
                and one.words.isdisjoint(rule.without_words)
            ):
                found.append(f"it does: {one.action} {one.column or ''}".rstrip())
                return True
        return False

    def _match_names(self, subject: Subject, own: bool, found: list[str]) -> bool:
        if subject.everything and own:
            found.append(subject.everything)
            return True
        for pattern in self.tables:
            for use in subject.uses:
                if self._matches_use(pattern, use, own):
                    found.append(f"it touches the table {use}")
                    return True
            for schema in subject.schemas:
                if own and len(pattern.parts) == 2 and pattern.parts[0].match(schema):
                    found.append(f"it is about the schema {schema}")
                    return True
        reads = own or self._statements is None or self._statements.match_action("select")
        for pattern in self.columns:
            for column in (*(subject.columns if reads else ()), *(subject.columns_written if own else ())):
                if _matches_column(pattern, column):
                    found.append(f"it touches the column {'.'.join(part for part in column if part)}")
                    return True
        for pattern in self.functions if reads else ():
            for name, through in subject.functions.items():
                if pattern.match(name) and not any(one.match(name) for one in self._except_functions):
                    said = ".".join(part for part in name if part)
                    found.append(f"it calls the function {said}{f' through {through}' if through else ''}")
                    return True
        return False

    def _matches_use(self, pattern: NamePattern, use: Use, own: bool) -> bool:
        if not own and (self._statements is None or not self._statements.match_action(use.action)):
            return False
        if not matches_relation(pattern, use.schema, use.name):
            return False
        return not any(one.match((use.schema or "", use.name)) for one in self._except_tables)

    # --- For rules that allow: all that the statement does ---------------------------------------------------------

    def covers(self, subject: Subject, message: Message) -> tuple[bool, Found]:
        """Whether the rule allows a statement: nothing that it does may be beyond what the rule names."""
        found: list[str] = []
        if not self._match_message(subject, message, found):
            return False, NOTHING
        if self.anything:
            return True, Found(tuple(found))
        if subject.unread or not self._match_kinds(subject):
            return False, NOTHING
        if self._automaton is not None or self._canonical:
            if self._match_text(subject, message, found) is not True:
                return False, NOTHING
        if self._facets and not self._match_facets(subject.facts, found):
            return False, NOTHING
        if self._rule.where and (subject.facts is None or not self._match_where(subject, found)):
            return False, NOTHING
        if self._settings is not None and not self._match_settings(subject, found):
            return False, NOTHING
        if self.names and not self._covers_names(subject, found):
            return False, NOTHING
        return True, Found(tuple(found))

    def _covers_names(self, subject: Subject, found: list[str]) -> bool:
        if subject.opaque or subject.everything or subject.schemas:
            return False
        exact = self.exactly_named(subject)
        if self.tables:
            if not subject.uses:
                return False
            for use in subject.uses:
                if use.through and (exact or use.through in self._exact_tables(subject)):
                    continue
                names = (use.schema or "", use.name)
                if not any(one.match(names) for one in self.tables) or any(
                    one.match(names) for one in self._except_tables
                ):
                    return False
            found.append("it touches nothing but what the rule names")
        if self.columns:
            columns = subject.columns | subject.columns_written
            if not columns or not all(any(_matches_column(one, name) for one in self.columns) for name in columns):
                return False
        if self.functions:
            named = {name for name, through in subject.functions.items() if not through}
            if not named or not all(any(one.match(name) for one in self.functions) for name in named):
                return False
            if any(one.match(name) for one in self._except_functions for name in named):
                return False
        return True

    def exactly_named(self, subject: Subject) -> bool:
        """Whether all functions that a statement calls by itself are named by the rule without a star: then what is
        in their bodies is allowed with them."""
        named = [name for name, through in subject.functions.items() if not through]
        return bool(named) and all(
            any(one.match(name) and all(part.text is not None for part in one.parts) for one in self.functions)
            for name in named
        )

    def _exact_tables(self, subject: Subject) -> set[str]:
        """The relations that a statement names and the rule, too, without a star."""
        return {
            f"{use.schema}.{use.name}"
            for use in subject.uses
            if not use.through
            and any(
                one.match((use.schema or "", use.name)) and all(part.text is not None for part in one.parts)
                for one in self.tables
            )
        }


NOTHING: Final = Found()


def matches_relation(pattern: NamePattern, schema: str | None, name: str) -> bool:
    """Whether a pattern stands for a relation, or may do so.

    ``schema`` is None where it may be any, and "" where the name is in no schema that is searched: then it matches by
    its last part, unless that would be every name.
    """
    if schema == "" and len(pattern.parts) > 1:
        return not pattern.last.anything and pattern.last.match(name)
    return pattern.match((schema, name))


def _matches_column(pattern: NamePattern, column: ColumnName) -> bool:
    schema, table, name = column
    if schema == "" and len(pattern.parts) > 2:
        schema = None
    return pattern.match((schema, table, None if name == "*" else name))
