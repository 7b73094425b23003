"""What a text of SQL may do to the session that runs it.

The vocabulary that ``interceptor.sql.analysis`` answers in. docs/design/session-effects.md holds the reasons for each
judgement, and docs/design/session-following.md what the session engine does about each effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["EMPTY", "MAX_NAMES", "NONE", "OPAQUE", "WRITES", "Effect", "SessionEffects", "graver", "shared_effects"]

MAX_NAMES = 100
"""Names of settings that are taken from one text. A text with more is read as if it had none of its own."""


class Effect(Enum):
    """What a statement may leave in its session, the gravest first; the value goes on after "because"."""

    UNCOUNTED = "what its backend owes can't be told any more"
    SEED = "it set the seed of its session's random numbers"
    LIBRARY = "it loaded a library"
    SESSION_RESOURCE = "it began a backup, a replication slot or a replication origin that ends with its session"
    PREPARED_STATEMENT = "it has a statement made by SQL's PREPARE"
    OPAQUE = "it ran something whose effect on its session can't be told"
    TEMPORARY_OBJECT = "it has something temporary"
    HOLD_CURSOR = "it has a cursor WITH HOLD"
    ADVISORY_LOCK = "it holds an advisory lock of its session"
    LISTEN = "it listens for notifications"
    SETTING = "it changed a setting or the role of its session"
    REDUCTION = "it took something back that its session had: a setting, a statement, all"


_GRAVITY = {effect: number for number, effect in enumerate(Effect)}


def graver(one: Effect | None, other: Effect | None) -> Effect | None:
    """Return the one of two effects that counts."""
    if one is None or other is None:
        return one or other
    return one if _GRAVITY[one] <= _GRAVITY[other] else other


@dataclass(frozen=True, slots=True)
class SessionEffects:
    """What one Query or Parse may do to its session. Shared between texts: compare with ``==``, never change.

    ``effect``: the gravest effect, or None. With ``Effect.REDUCTION`` nothing was added to the session: one that had
    nothing has nothing now.

    ``statement_count``: how many statements the text has; 0 for an empty text, and -1 where it could not be told.

    ``transaction_control``: it has BEGIN, COMMIT, ROLLBACK, SAVEPOINT, PREPARE TRANSACTION or one of their kin; also
    True where that could not be told.

    ``reads_sequence``: it asks for ``currval()`` or ``lastval()``, which answer from the state of the backend; also
    True where it could not be told.

    ``touches_sequence``: it may leave a value for those two, as every INSERT into a serial column does.

    ``ends_pin``: it may take away something that keeps a client on its backend (DROP, CLOSE, UNLISTEN, DISCARD,
    DEALLOCATE, an unlock).

    ``reparses``: what is parsed after it, in the same transaction or for good, may mean something else than before, for
    it sets a search_path, a time zone or their kin.

    ``reduces``: it may take away settings or prepared statements (RESET, DISCARD, DEALLOCATE), whatever else it does.

    ``defines``: what it creates or alters may make others, of which nothing was to be feared, change the session. Only
    who knows the catalogue says so (``interceptor.catalogue.judging``).

    ``keeps_names``: though it reparses, neither it nor what it defines sets the role or the search_path: it makes
    tables and the like. Only who knows the catalogue says so.

    ``uncovers``: a name may mean something else after it, under the same search_path: it may take away, move or rename
    what hid another thing of that name. Only who knows the catalogue says so.

    ``channels``: what it listens to from now on (LISTEN), as far as the text tells.

    ``settings``: names in lower case of the settings that it may change, as far as the text tells. With
    ``Effect.SETTING`` and one statement, these are all that it changes, unless there are none.
    """

    effect: Effect | None
    statement_count: int
    transaction_control: bool = False
    reads_sequence: bool = False
    touches_sequence: bool = False
    ends_pin: bool = False
    reparses: bool = False
    reduces: bool = False
    settings: frozenset[str] = frozenset()
    defines: bool = False
    keeps_names: bool = False
    uncovers: bool = False
    channels: frozenset[str] = frozenset()

    @property
    def may_rename(self) -> bool:
        """Whether a name may mean something else after it, for the role or the search_path may be others."""
        return self.reparses and not self.keeps_names


_SHARED_COUNT = 16
_shared: dict[SessionEffects, SessionEffects] = {}


def shared_effects(effects: SessionEffects) -> SessionEffects:
    """Return equal effects: always the same object for texts of up to 16 statements that name nothing."""
    if effects.statement_count > _SHARED_COUNT or effects.settings or effects.channels:
        # Or a client could fill the table, one length of text after another.
        return effects
    return _shared.setdefault(effects, effects)


NONE = shared_effects(SessionEffects(None, 1))
"""One statement that leaves its session as it was."""

WRITES = shared_effects(SessionEffects(None, 1, touches_sequence=True))
"""One statement that leaves its session as it was, but for the values of sequences."""

EMPTY = shared_effects(SessionEffects(None, 0))
"""No statement at all: PostgreSQL answers EmptyQueryResponse."""

OPAQUE = shared_effects(SessionEffects(Effect.OPAQUE, -1, True, True, True, True, True, True))
"""Nothing is known of the text. Also right for a FunctionCall message."""
