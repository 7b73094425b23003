"""What the text of a function's body says: the form in which the catalogue wants to hear it, whoever reads it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from interceptor.catalogue.model import Action, Function
from interceptor.catalogue.snapshot import FunctionSource, Snapshot

__all__ = ["Body", "BodyReader", "NameUse", "TableUse"]


class NameUse(Struct, frozen=True, gc=False):
    """A name of a function, operator or type as it is written; ``schema`` None where none is."""

    name: str
    schema: str | None = None
    arguments: int | None = None
    """How many arguments are written after a function's name; None if it can't be told."""


class TableUse(Struct, frozen=True, gc=False):
    """A relation as it is written, and what is done to it."""

    name: str
    schema: str | None
    action: Action


class Body(Struct, frozen=True):
    """What a body names, and what it does that no name tells of."""

    tables: frozenset[TableUse] = frozenset()
    functions: frozenset[NameUse] = frozenset()
    operators: frozenset[NameUse] = frozenset()
    types: frozenset[NameUse] = frozenset()
    columns: frozenset[tuple[str, str | None, str]] = frozenset()
    """Name and schema of a relation as written, and a column of it; "*" for all of them."""
    session_values: bool = False
    """It uses CURRENT_DATE, CURRENT_USER or their kin."""
    defines: bool = False
    """It creates, alters or drops something, so that event triggers fire."""
    session_change: str = ""
    """What its own statements leave behind in the session (SET, LISTEN, a temporary table …), as a phrase; "" if
    nothing. Calls of functions don't count here."""
    harmless_calls: frozenset[str] = frozenset()
    """Functions of pg_catalog in ``functions`` whose arguments show that they leave nothing behind here, though others
    may make them do so: ``set_config`` with ``is_local``."""
    opaque: str = ""
    """Why it may do more than this says (dynamic SQL, a text that can't be parsed …), as a phrase; "" if it can't."""


class BodyReader(Protocol):
    """Reads the texts of functions."""

    def read(self, function: Function, source: FunctionSource, snapshot: Snapshot) -> Body:
        """Return what the body names. Never raises: what can't be read is ``opaque``."""
