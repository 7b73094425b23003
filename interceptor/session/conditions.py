"""Settings that hold for one statement alone (``Forward.settings``).

They are set in front of it, and taken back behind it, by statements of ours in the same batch (``prelude``): as by SET
LOCAL, so that an error or the end of the transaction undoes them as well. What was there before is kept on the server,
for nobody here knows what a client has set for its transaction. What the statement itself set is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interceptor.errors import SETTINGS_REFUSED
from interceptor.hooks.decisions import Block
from interceptor.session.prelude import prelude
from interceptor.session.settings import quote
from interceptor.session.splice import Outcome as Spliced
from interceptor.sql.facts import Group, MessageFacts, StatementFacts

if TYPE_CHECKING:
    from collections import deque

    from interceptor.hooks.chain import Outcome
    from interceptor.session.backend import BackendSession
    from interceptor.session.notes import Note

__all__ = ["Conditions", "SettingsRefused", "conditions_of", "join", "put_around", "refuse_several"]

_FREE: Final = frozenset("set reset show discard deallocate listen unlisten notify close load prepare".split())
"""Statements that control the session rather than do work: they run as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """The settings of one execution."""

    before: bytes
    """The statement that sets them."""
    after: bytes
    """The one that takes them back."""


class SettingsRefused(Exception):
    """Settings can't be made to hold for a statement."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        names = ", ".join(sorted(outcome.settings))
        self.block = Block(
            SETTINGS_REFUSED.sqlstate,
            f"({SETTINGS_REFUSED.code}) settings of a plugin ({names}) are to hold for this, but {reason}",
            hint="They can be made to hold for one statement at a time, other than COPY FROM STDIN and FunctionCall.",
        )


def conditions_of(outcome: Outcome) -> Conditions | None:
    """What an execution needs that its settings hold; None where it has none, or runs as it is.

    Raises SettingsRefused for a COPY from the client: until its data has come, nothing can be sent behind it.
    """
    settings = outcome.settings
    facts = outcome.execution.statement.facts
    if not settings or not _does_work(facts):
        return None
    if any([_copies_in(one) for one in facts.statements]):
        raise SettingsRefused(outcome, "it is a COPY FROM STDIN")
    return _made(settings)


def refuse_several(outcome: Outcome) -> None:
    """Raise SettingsRefused for a Query that can't run as a batch, which settings need."""
    if len(outcome.execution.statement.facts.statements) != 1:
        raise SettingsRefused(outcome, "it has several statements in one Query")


def _does_work(facts: MessageFacts) -> bool:
    return any([one.group is not Group.TRANSACTION and one.kind not in _FREE for one in facts.statements])


def _copies_in(one: StatementFacts) -> bool:
    copy = one.copy
    return copy is not None and copy.is_from and copy.file is None and copy.program is None


def _made(settings: Mapping[str, str]) -> Conditions:
    sets, resets = [], []
    for number, (name, value) in enumerate(sorted(settings.items())):
        setting, was, ours = quote(name.encode()), b"'interceptor.was_%d'" % number, b"'interceptor.is_%d'" % number
        sets.append(b"pg_catalog.set_config(%b, pg_catalog.current_setting(%b, true), true)" % (was, setting))
        set_value = b"pg_catalog.set_config(%b, %b, true)" % (setting, quote(value.encode()))
        sets.append(b"pg_catalog.set_config(%b, %b, true)" % (ours, set_value))
        resets.append(
            b"CASE WHEN pg_catalog.current_setting(%b, true) OPERATOR(pg_catalog.=) "
            b"pg_catalog.current_setting(%b, true) "
            b"THEN pg_catalog.set_config(%b, pg_catalog.current_setting(%b, true), true) END"
            % (setting, ours, setting, was)
        )
    return Conditions(b"SELECT " + b", ".join(sets), b"SELECT " + b", ".join(resets))


def join(journal: deque[Note | None]) -> None:
    """See where in a batch settings have to be set, and where taken back: not between messages that share them."""
    last: Note | None = None
    for note in journal:
        if last is not None and last.conditions is not None:
            last.resets = note is None or note.conditions is not last.conditions
        if note is not None and note.conditions is not None:
            note.sets = last is None or last.conditions is not note.conditions
            note.resets = True
        last = note


def put_around(
    backend: BackendSession, note: Note, outcome: Spliced, data: bytes, place: tuple[int, int], owed_before: int
) -> Spliced:
    """Put what sets and resets around a message at ``place`` that has been acted on, with this outcome."""
    conditions = note.conditions
    position, end = place
    if conditions is None or not (note.sets or note.resets):
        return outcome
    first, start = outcome or (b"", position)
    if note.sets:
        owed = backend.owed
        mine = [owed.pop() for _ in range(len(owed) - owed_before)]
        first = prelude(backend, conditions.before) + first
        owed.extend(reversed(mine))
    if note.resets:
        return first + data[start:end] + prelude(backend, conditions.after), end
    return first, start
