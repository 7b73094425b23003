"""The settings that a client changed in its session, as a value: what follows it from backend to backend.

A client has a ``Settings``, and so has a backend; where both are the same object, nothing needs to be done. There is
one object for each set of values in a process, so that this is one comparison.

Values are PostgreSQL's own, as pg_settings shows them, in the bytes of the database's encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final
from weakref import WeakValueDictionary

from interceptor.protocol.messages import QUERY, encode_message
from interceptor.sql.gucs import NOT_PARSED, SURE
from interceptor.sql.walk import is_misleading_path

MAX_SETTINGS: Final = 500
MAX_SETTINGS_BYTES: Final = 32 * 1024
"""Names and values that follow one client. One with more keeps its backend."""

ROLE: Final = "role"
AUTHORIZATION: Final = "session_authorization"

_IDENTITY: Final = (AUTHORIZATION, ROLE)
"""They decide what else may be set, and SET SESSION AUTHORIZATION sets the role as well: in this order, and last."""

_TIMEOUTS: Final = frozenset({"statement_timeout", "transaction_timeout"})


class Settings:
    """What differs in a session from how it was after login. Made by ``settings_of`` alone; never changed."""

    __slots__ = ("__dict__", "__weakref__", "items", "values")

    def __init__(self, items: frozenset[tuple[str, bytes]]) -> None:
        self.items = items
        self.values: Mapping[str, bytes] = dict(items)
        """By names in lower case; "role" and "session_authorization" among them."""

    def __repr__(self) -> str:
        # Values may be secrets.
        return f"Settings({', '.join(sorted(self.values))})"

    @cached_property
    def size(self) -> int:
        """Bytes of names and values."""
        return sum([len(name) + len(value) for name, value in self.items])

    @cached_property
    def parsing(self) -> Settings:
        """Those among them that decide what a statement means when it is parsed."""
        return settings_of({name: value for name, value in self.items if name not in NOT_PARSED})

    @cached_property
    def misleading(self) -> bool:
        """Whether an unqualified name may not be what it looks like, so that no text can be judged by its words."""
        return is_misleading_path(self.values.get("search_path", b"").decode("utf-8", "replace"))


_interned: WeakValueDictionary[frozenset[tuple[str, bytes]], Settings] = WeakValueDictionary()


def settings_of(values: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Settings:
    """The one object for these values."""
    items = frozenset(values.items() if isinstance(values, Mapping) else values)
    found = _interned.get(items)
    if found is None:
        found = _interned[items] = Settings(items)
    return found


NO_SETTINGS: Final = settings_of({})
"""A session as it was after login."""


UNKNOWN_SETTINGS: Final = Settings(frozenset())
"""Of a session in which anything may be set: no client's, and equal to none."""


class Transition:
    """What turns a session with one set of settings into one with another."""

    __slots__ = ("message", "sure")

    def __init__(self, message: bytes, *, sure: bool) -> None:
        self.message = message
        """A Query message; one statement, that changes all or nothing."""
        self.sure = sure
        """It can't fail, so what comes next may be sent without waiting for its end."""


MAX_TRANSITIONS: Final = 2000
"""Steps from one client's settings to another's that are kept, for they come again and again."""

MAX_TRANSITION_BYTES: Final = 2048
"""Names and values of both sides of one that is kept."""

_transitions: dict[tuple[Settings, Settings, Settings, bool], Transition] = {}


def transition(current: Settings, wanted: Settings, base: Settings = NO_SETTINGS, *, local: bool = False) -> Transition:
    """How to get from the one to the other. Only differences are sent.

    ``base``: what was set in the session before its first client came, and what neither of the two names. ``local``:
    until the end of the transaction.
    """
    key = (current, wanted, base, local)
    found = _transitions.get(key)
    if found is None:
        found = _make_transition(current, wanted, base, local)
        if current.size + wanted.size <= MAX_TRANSITION_BYTES:
            if len(_transitions) >= MAX_TRANSITIONS:
                _transitions.clear()
            _transitions[key] = found
    return found


def _make_transition(current: Settings, wanted: Settings, base: Settings, local: bool) -> Transition:
    old, new = current.values, wanted.values
    if current is UNKNOWN_SETTINGS:
        return start_over(wanted, base)
    gone = [name for name in old if name not in new and name not in _IDENTITY]
    changed = [name for name in new if old.get(name) != new[name] and name not in _IDENTITY]
    names = gone + changed
    sure = all([name in SURE or "." in name for name in names])
    identity = any([old.get(name) != new.get(name) for name in _IDENTITY])
    calls = []
    if identity or not sure:
        # What the login role may set, the client's role perhaps may not: go back to the login role first.
        calls += [_set(name, None, local) for name in _IDENTITY if name in old]
    calls += [_set(name, base.values.get(name), local) for name in gone]
    calls += [_set(name, new[name], local) for name in changed]
    if identity or not sure:
        calls += [_set(name, new[name], local) for name in _IDENTITY if name in new]
    sql = b"SELECT " + b", ".join(calls)
    if not _TIMEOUTS.isdisjoint(old):
        # The timeout of another client must not end this.
        sql = b"SET statement_timeout = 0; " + sql
        if "statement_timeout" in new and "statement_timeout" not in changed:
            sql += b", " + _set("statement_timeout", new["statement_timeout"])
    return Transition(encode_message(QUERY, sql + b"\0"), sure=sure and not identity)


def start_over(wanted: Settings, base: Settings = NO_SETTINGS) -> Transition:
    """How to get from whatever may be set to these."""
    new = {**base.values, **wanted.values}
    calls = [_set(name, new[name]) for name in new if name not in _IDENTITY]
    calls += [_set(name, new[name]) for name in _IDENTITY if name in new]
    sql = b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"
    if calls:
        sql += b"; SELECT " + b", ".join(calls)
    sure = all([name in SURE or "." in name for name in new])
    return Transition(encode_message(QUERY, sql + b"\0"), sure=sure)


def _set(name: str, value: bytes | None, local: bool = False) -> bytes:
    """A call that sets it; None: to what it was after login (guc.c takes NULL for the reset value)."""
    literal = b"NULL" if value is None else quote(value)
    return b"pg_catalog.set_config(%b, %b, %b)" % (quote(name.encode()), literal, b"true" if local else b"false")


def quote(value: bytes) -> bytes:
    """An expression of type text for bytes of the database's encoding: it reads alike under whatever a client has set.

    Only ASCII without a backslash stands for itself under every client_encoding and standard_conforming_strings.
    """
    if value.isascii() and b"\\" not in value:
        return b"'" + value.replace(b"'", b"''") + b"'"
    return b"pg_catalog.convert_from(pg_catalog.decode('%b', 'hex'), pg_catalog.getdatabaseencoding())" % (
        value.hex().encode()
    )
