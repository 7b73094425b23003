"""What a statement does to its transaction, as far as its facts tell: what ``Transaction`` says afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from interceptor.sql.facts import Group, MessageFacts, StatementFacts
from interceptor.sql.functions import HARMLESS_VOLATILE, harmless_functions, harmless_helpers

__all__ = ["NO_DEEDS", "Deeds", "deeds_of"]

_VERSION: Final = 180000

_READING_VOLATILE: Final = frozenset(
    "clock_timestamp current_query gen_random_uuid pg_is_in_recovery pg_sleep pg_sleep_for pg_sleep_until random "
    "random_normal timeofday uuidv4 uuidv7 array_sample array_shuffle currval lastval".split()
)
"""Volatile, but they write nothing and lock nothing."""

_READING: Final = (
    harmless_functions(_VERSION) - HARMLESS_VOLATILE | harmless_helpers() | _READING_VOLATILE | {"current_setting"}
)
_QUIET_SESSION: Final = frozenset(
    "set reset show fetch move close declare prepare deallocate discard listen unlisten".split()
)
_QUIET_UTILITY: Final = frozenset(["explain", "checkpoint", "do"])
_READ_ONLY: Final = {"1": True, "on": True, "true": True, "yes": True, "0": False, "off": False, "false": False}


@dataclass(frozen=True, slots=True)
class Deeds:
    """What one text may do to the transaction that it runs in."""

    wrote: bool = False
    locked: bool = False
    changed_schema: bool = False
    controls: bool = False
    """It begins or ends transactions, or sets savepoints."""
    chains: bool = False
    """It ends one and begins the next: COMMIT AND CHAIN."""
    read_only: bool | None = None
    isolation: str | None = None


NO_DEEDS: Final = Deeds()
_WORST: Final = Deeds(wrote=True, locked=True, changed_schema=True, controls=True)


def deeds_of(facts: MessageFacts) -> Deeds:
    """The deeds of a text. What can't be seen into counts as the worst."""
    if facts.opaque:
        return _WORST
    wrote = locked = changed = controls = chains = False
    settings: dict[str, str] = {}
    for one in facts.all:
        if not one.runs:
            continue
        writes = _writes(one)
        wrote = wrote or writes
        locked = locked or writes or bool(one.locking) or one.kind == "lock"
        changed = changed or one.group is Group.DDL
        controls = controls or (one.group is Group.TRANSACTION and one.kind != "set")
        chains = chains or "chain" in one.words
        for setting in one.settings:
            if setting.name == "transaction":
                settings.update([_pair(value) for value in setting.values or ()])
            elif setting.name in ("transaction_read_only", "transaction_isolation") and setting.values:
                settings[setting.name] = setting.values[0].lower()
    if not (wrote or locked or changed or controls or settings):
        return NO_DEEDS
    read_only = _READ_ONLY.get(settings.get("transaction_read_only", ""))
    return Deeds(wrote, locked, changed, controls, chains, read_only, settings.get("transaction_isolation"))


def _writes(one: StatementFacts) -> bool:
    if one.group in (Group.WRITE, Group.DDL, Group.DCL):
        return True
    if one.group is Group.SESSION and one.kind not in _QUIET_SESSION:
        return True
    if one.group is Group.UTILITY and one.kind not in _QUIET_UTILITY and one.kind != "lock":
        return True
    return any([not _only_reads(use.name.schema, use.name.name) for use in one.functions])


def _only_reads(schema: str | None, name: str) -> bool:
    return schema in (None, "pg_catalog", "information_schema") and name in _READING


def _pair(value: str) -> tuple[str, str]:
    name, _, rest = value.partition(" ")
    return name, rest
