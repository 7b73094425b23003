"""Functions that a transaction made: what they do is known from their own texts until a catalogue has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interceptor import Execution, Session, StateKey, Statement
from interceptor.sql.bodies import MadeFunction, functions_made
from interceptor.sql.facts import QualifiedName

__all__ = ["Made", "functions_of", "made_in", "named", "remember_made"]

_MOST: Final = 500
_LONGEST: Final = 16 * 1024  # bytes of a text

Made = Sequence[MadeFunction]


def _nothing() -> list[MadeFunction]:
    return []


_MADE: Final[StateKey[list[MadeFunction]]] = StateKey(_nothing)


def functions_of(statement: Statement) -> Made:
    """The functions that a message makes."""
    makes = [one for one in statement.facts.statements if one.kind == "create" and one.objects]
    if not any(one.objects[0].type in ("function", "procedure") for one in makes):
        return ()
    return functions_made(statement.sql) if len(statement.sql) <= _LONGEST else ()


def remember_made(execution: Execution, made: Made) -> None:
    """Keep what a statement is about to make, until its transaction ends.

    If it fails nobody can call it: a call that is tried on too much is refused at the worst.
    """
    known = execution.session.get(_MADE)
    if not known:
        execution.transaction.after_end(lambda committed: known.clear())
    if len(known) + len(made) <= _MOST:
        known.extend(made)


def made_in(session: Session) -> Made:
    """What the open transaction of a session made."""
    known = session.get(_MADE)
    return tuple(known)


def named(made: Made, name: QualifiedName) -> Made:
    """Those that a name may mean."""
    return [
        one
        for one in made
        if one.name.name == name.name and (name.schema is None or one.name.schema in (None, name.schema))
    ]
