"""What rules are tried on: a statement, with all that it names and reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from interceptor import StatementFacts

__all__ = ["ColumnName", "FunctionName", "Subject", "Use"]

FunctionName = tuple[str | None, str]
"""Schema and name; the schema is None where it isn't known."""

ColumnName = tuple[str | None, str, str]
"""Schema, table and column; "*" for all columns."""


@dataclass(frozen=True, slots=True)
class Use:
    """A relation that is named, or reached."""

    schema: str | None
    """None where it isn't known."""
    name: str
    action: str
    """What is done to it: ``select``, ``insert``, ``update``, ``delete``, ``truncate``, ``define`` or ``mention``."""
    through: str = ""
    """What leads to it, if the statement doesn't name it itself."""

    def __str__(self) -> str:
        name = self.name if self.schema is None else f"{self.schema}.{self.name}"
        return f"{name} through {self.through}" if self.through else name


@dataclass(slots=True)
class Subject:
    """One statement: of the text, or of a body that the text reaches."""

    kinds: frozenset[str]
    group: str
    facts: StatementFacts | None = None
    """None where only what it touches is known: the action of a rewrite rule, a body in standard SQL."""
    origin: str = ""
    """What holds it, if it isn't in the text: a function, a rewrite rule."""
    uses: list[Use] = field(default_factory=list)
    columns: set[ColumnName] = field(default_factory=set)
    columns_written: set[ColumnName] = field(default_factory=set)
    functions: dict[FunctionName, str] = field(default_factory=dict)
    """And through what they are called, if not by the statement itself."""
    opaque: list[str] = field(default_factory=list)
    """Why it may do more than this says."""
    known_tables: bool = False
    """It defines or writes a relation that others may know: one that is in the catalogue, or may be."""
    new_tables: bool = False
    """And one that is not: its transaction made it, or gave it its name, or it is temporary."""
    unread: str = ""
    """Why nothing at all is known of it."""
    everything: str = ""
    """Why it touches every relation that there is."""
    schemas: set[str] = field(default_factory=set)
    """Schemas that it is about, with all that is in them."""
    indirect: list[Subject] = field(default_factory=list)
    """The statements that it reaches."""
    calls: list[tuple[int, object]] = field(default_factory=list)
    """Functions that anybody made, by their oid, and the world in which they run: what it calls by itself."""
    start: int = -1
    end: int = -1
    """Its place in the text, where it is a statement of the message itself."""

    @property
    def harmless(self) -> bool:
        """Whether it does nothing at all that a rule could be about."""
        return not (self.uses or self.functions or self.opaque or self.unread or self.everything or self.schemas) and (
            self.kinds == {"select"}
        )

    def use(self, uses: Iterable[Use]) -> None:
        """Add relations."""
        self.uses.extend(uses)
