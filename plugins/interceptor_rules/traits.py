"""What a statement is, by its own facts alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from interceptor import QualifiedName, StatementFacts
from interceptor.catalogue import Action
from interceptor.sql.facts import Setting

__all__ = [
    "PATH_SETTINGS",
    "ROLE_SETTINGS",
    "SET_CONFIG",
    "changes_names",
    "flattened",
    "installs",
    "makes_routine",
    "may_be_catalogue",
    "misleads",
    "object_types",
    "quoted",
    "written",
]

_ACTIONS: Final = {"insert": Action.INSERT, "update": Action.UPDATE, "delete": Action.DELETE}
_WRITES: Final[dict[str, tuple[Action, ...]]] = {
    "insert": (Action.INSERT,),
    "copy": (Action.INSERT,),
    "update": (Action.UPDATE,),
    "refresh": (Action.UPDATE,),
    "delete": (Action.DELETE,),
    "truncate": (Action.TRUNCATE,),
}
PATH_SETTINGS: Final = frozenset(["search_path", "all", None])
ROLE_SETTINGS: Final = frozenset(["role", "session_authorization"])
SET_CONFIG: Final = ("pg_catalog", "set_config")
_NO_SEPARATORS: Final = str.maketrans("", "", "-_ ")
_OFF: Final = frozenset(["off", "of", "false", "fals", "fal", "fa", "f", "no", "n", "0"])
"""How a setting is written that is not on (bool.c, parse_bool)."""
_UNSAFE_ENCODINGS: Final = frozenset(
    "sjis shiftjis mskanji win932 windows932 shiftjis2004 big5 win950 windows950 gbk win936 windows936 uhc win949"
    " windows949 johab gb18030".split()
)
"""Names and aliases (PostgreSQL, encnames.c) of those in which a byte below 128 may be part of another character."""


def flattened(statement: StatementFacts) -> Iterable[StatementFacts]:
    """A statement and all that are nested in it."""
    yield statement
    for one in statement.nested:
        yield from flattened(one)


def makes_routine(facts: StatementFacts) -> bool:
    """Whether it is CREATE FUNCTION or CREATE PROCEDURE."""
    return facts.kind == "create" and any(one.type in ("function", "procedure") for one in facts.objects)


def installs(facts: StatementFacts) -> bool:
    """Whether it is CREATE EXTENSION of one alone."""
    return facts.kind == "create" and "cascade" not in facts.words


def misleads(setting: Setting) -> bool:
    """Whether parser and server would read different statements after it."""
    value = (setting.values or ("",))[0].lower()
    if setting.name == "standard_conforming_strings":
        return value in _OFF
    if setting.name == "client_encoding":
        return value.translate(_NO_SEPARATORS) in _UNSAFE_ENCODINGS
    return False


def changes_names(setting: Setting) -> bool:
    """Whether it decides what names mean."""
    return setting.name in PATH_SETTINGS or setting.name in ROLE_SETTINGS


def may_be_catalogue(name: QualifiedName) -> bool:
    """By the name alone. pg_settings is a view that may be written: what is set by it is told by its rule."""
    if name.name == "pg_settings":
        return False
    return name.schema == "pg_catalog" or (name.schema is None and name.name.startswith("pg_"))


def written(facts: StatementFacts) -> tuple[Action, ...]:
    """What it does to the relations that it writes."""
    if facts.kind == "merge":
        words = facts.words
        return tuple([action for kind, action in _ACTIONS.items() if f"merge {kind}" in words]) or (Action.UPDATE,)
    actions = _WRITES.get(facts.kind, (Action.INSERT, Action.UPDATE, Action.DELETE))
    if facts.kind == "insert" and "on conflict" in facts.words:
        return (*actions, Action.UPDATE)
    return actions


def object_types(facts: StatementFacts) -> set[str]:
    """Of what it makes, changes or drops."""
    return {one.type for one in facts.objects}


def quoted(name: str) -> str:
    """A name as it is written in quotes."""
    return '"' + name.replace('"', '""') + '"'
