"""Rules that were read and checked, and those of them that may concern one session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from interceptor.hooks.files import SettingsFile
from interceptor_rules.conditions import What
from interceptor_rules.extensions import COMPUTING_EXTENSIONS
from interceptor_rules.model import LearnedStatement, Mode, Rule, RulesFile, RulesTest
from interceptor_rules.patterns import NamePattern, Words
from interceptor_rules.subjects import Subject
from interceptor_rules.when import When
from interceptor_rules.who import Who, Whom

__all__ = ["CompiledRule", "NameIndex", "RuleSet", "Subset"]

_MOST_WHOMS: Final = 10_000
_MOST_SUBSETS: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """One rule, ready to be tried."""

    number: int
    """Its place among all rules."""
    source: Rule
    who: Who
    when: When
    what: What
    file: str = ""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def allows(self) -> bool:
        """It lets statements pass, so that it has to be sure of what they do."""
        return self.source.action == "allow"

    @property
    def blocks(self) -> bool:
        return self.source.action == "block"

    @property
    def covers_effects(self) -> bool:
        """What it allows is a whole statement with all that follows from it: it names nothing, or its text."""
        return self.what.anything or bool(self.what.canonical)


class NameIndex:
    """Finds the patterns that may stand for a name, without trying all."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[int]] = {}
        self._by_schema: dict[str, list[int]] = {}
        self._loose: list[int] = []

    def add(self, pattern: NamePattern, number: int, last: int = -1) -> None:
        """``last``: which part of the pattern is the name of the relation or function."""
        parts = pattern.parts
        if len(parts) < -last:
            self._loose.append(number)
            return
        name = parts[last]
        if name.text is not None:
            self._by_name.setdefault(name.text, []).append(number)
        elif len(parts) > -last and (schema := parts[last - 1].text) is not None:
            self._by_schema.setdefault(schema, []).append(number)
        else:
            self._loose.append(number)

    def __bool__(self) -> bool:
        return bool(self._by_name or self._by_schema or self._loose)

    def find(self, schema: str | None, name: str, found: set[int]) -> None:
        """Add the numbers of patterns that may stand for the name; ``schema`` None or "" is any."""
        if name in self._by_name:
            found.update(self._by_name[name])
        if self._by_schema:
            if not schema:
                for some in self._by_schema.values():
                    found.update(some)
            elif schema in self._by_schema:
                found.update(self._by_schema[schema])
        found.update(self._loose)

    def of_schema(self, schema: str, found: set[int]) -> None:
        """Add the numbers of patterns that may stand for something in a schema."""
        for some in (*self._by_name.values(), *self._by_schema.values()):
            found.update(some)
        found.update(self._loose)

    def all(self, found: set[int]) -> None:
        """Add all numbers."""
        self.of_schema("", found)


class Subset:
    """The rules that may concern sessions of one class, indexed by what they are about."""

    def __init__(self, rules: Sequence[CompiledRule], owner: RuleSet) -> None:
        self.rules: Final = tuple(rules)
        self.owner: Final = owner
        self.rewrites: Final = any(rule.source.add_limit is not None for rule in self.rules)
        self.may_be_quiet: Final = not (owner.default_blocks or owner.needs_text)
        """There are statements of which the rules need know no more than what they touch."""
        self._nameless: dict[tuple[frozenset[str], str], tuple[int, ...]] = {}
        self._plain = [number for number, rule in enumerate(self.rules) if not rule.what.names and not _by_text(rule)]
        self._doubtful: list[int] | None = None
        self._by_text: dict[str, list[int]] = {}
        self._tables = NameIndex()
        self._columns = NameIndex()
        self._functions = NameIndex()
        for number, rule in enumerate(self.rules):
            if _by_text(rule):
                for text in rule.what.canonical:
                    self._by_text.setdefault(text, []).append(number)
                continue
            for pattern in rule.what.tables:
                self._tables.add(pattern, number)
            for pattern in rule.what.columns:
                self._columns.add(pattern, number, -2)
            for pattern in rule.what.functions:
                self._functions.add(pattern, number)

    def candidates(self, subject: Subject, canonical: str | None, *, any_text: bool = False) -> Iterable[CompiledRule]:
        """The rules that may be about a statement, in their order. ``any_text``: its canonical text isn't known."""
        if subject.everything:
            return self.rules
        found = set(self._plain if subject.unread else self._of_kind(subject))
        if subject.unread or subject.opaque:
            found.update(self._when_in_doubt())
        for use in subject.uses:
            self._tables.find(use.schema, use.name, found)
        for schema in subject.schemas:
            self._tables.of_schema(schema, found)
        if self._columns:
            for table in {(one[0], one[1]) for one in (*subject.columns, *subject.columns_written)}:
                self._columns.find(*table, found)
        if self._functions:
            for name in subject.functions:
                self._functions.find(*name, found)
        if self._by_text:
            if any_text:
                found.update([number for some in self._by_text.values() for number in some])
            elif canonical is not None:
                found.update(self._by_text.get(canonical, ()))
        return [self.rules[number] for number in sorted(found)]

    def _when_in_doubt(self) -> Sequence[int]:
        """Rules by names or texts that may refuse what can't be seen through. Of those that refuse all of it, always,
        the first says as much as all."""
        if self._doubtful is None:
            self._doubtful = []
            one_refuses = False
            for number, rule in enumerate(self.rules):
                if not rule.blocks or not (rule.what.names or _by_text(rule)):
                    continue
                refuses = rule.what.any_doubt and rule.when.always and not rule.source.shadow
                if not (refuses and one_refuses):
                    self._doubtful.append(number)
                one_refuses = one_refuses or refuses
        return self._doubtful

    def _of_kind(self, subject: Subject) -> tuple[int, ...]:
        key = (subject.kinds, subject.group)
        known = self._nameless.get(key)
        if known is None:
            known = self._nameless[key] = tuple(
                [
                    number
                    for number in self._plain
                    if (statements := self.rules[number].what.statements) is None or statements.match(*key)
                ]
            )
        return known


def _by_text(rule: CompiledRule) -> bool:
    return bool(rule.what.canonical) and not rule.what.names


@dataclass(eq=False)
class RuleSet:
    """All that a rules file says, ready to be used. Never changed: a reload makes another."""

    mode: Mode = "enforce"
    default_blocks: bool = False
    unparsable_blocks: bool = True
    opaque_blocks: bool = False
    rules: tuple[CompiledRule, ...] = ()
    tests: tuple[tuple[RulesTest, SettingsFile[RulesFile], int], ...] = ()
    """With the file, and the place among its tests."""
    learned: tuple[LearnedStatement, ...] = ()
    trusted_functions: tuple[NamePattern, ...] = ()
    trusted_tables: tuple[NamePattern, ...] = ()
    trusted_extensions: Words = field(default_factory=lambda: Words(COMPUTING_EXTENSIONS))
    sources: tuple[RulesFile, ...] = ()
    _subsets: dict[tuple[int, ...], Subset] = field(default_factory=dict)
    _known: dict[Whom, Subset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names_columns = any(rule.what.columns for rule in self.rules)
        self.asks_timeout = any(rule.source.lock_timeout for rule in self.rules)
        self.needs_text = (
            self.mode == "learn"
            or bool(self.learned)
            or any(rule.what.canonical or rule.source.regex or rule.when.estimates for rule in self.rules)
        )
        self._column_tables = NameIndex()
        self._guarded: dict[tuple[str | None, str], bool] = {}
        self._column_patterns = [pattern for rule in self.rules for pattern in rule.what.columns]
        for number, pattern in enumerate(self._column_patterns):
            self._column_tables.add(pattern, number, -2)
        self._learned: dict[str, list[tuple[Words, Words]]] = {}
        for one in self.learned:
            self._learned.setdefault(one.statement, []).append((Words([one.user]), Words([one.database])))

    def for_session(self, whom: Whom) -> Subset:
        """The rules that may concern a session."""
        known = self._known.get(whom)
        if known is None:
            if len(self._known) >= _MOST_WHOMS:
                self._known.clear()
            numbers = tuple([rule.number for rule in self.rules if rule.who.match(whom, not rule.allows)])
            known = self._subsets.get(numbers)
            if known is None:
                if len(self._subsets) >= _MOST_SUBSETS:
                    self._subsets.clear()
                    self._known.clear()
                known = self._subsets[numbers] = Subset([self.rules[number] for number in numbers], self)
            self._known[whom] = known
        return known

    def is_learned(self, canonical: str, user: str, database: str) -> bool:
        """Whether the allow-list has a statement for a user."""
        return any(users.match(user) and databases.match(database) for users, databases in
                   self._learned.get(canonical, ()))  # fmt: skip

    def trusts_function(self, schema: str, name: str) -> bool:
        """Whether somebody vouched for a function."""
        return any(pattern.match((schema, name)) for pattern in self.trusted_functions)

    def trusts_extension(self, name: str) -> bool:
        """Whether somebody vouched for an extension."""
        return self.trusted_extensions.match(name)

    def trusts_table(self, schema: str, name: str) -> bool:
        """Whether somebody vouched for a foreign table."""
        return any(pattern.match((schema, name)) for pattern in self.trusted_tables)

    def guards_columns(self, schema: str | None, table: str) -> bool:
        """Whether any rule may be about columns of a table."""
        key = (schema, table)
        known = self._guarded.get(key)
        if known is None:
            if len(self._guarded) > 10_000:
                self._guarded.clear()
            found: set[int] = set()
            self._column_tables.find(schema, table, found)
            known = self._guarded[key] = any(
                self._column_patterns[number].match((schema, table, None)) for number in found
            )
        return known
