"""Which statements are shared: those of the same text that mean the same."""

from __future__ import annotations

from interceptor.session.prepared import Meaning, PreparedRegistry
from interceptor.session.settings import NO_SETTINGS, settings_of
from interceptor.sql.effects import NONE, SessionEffects

BODY = b"select a from t\0\0\0"
GENERATION = object()
MEANING: Meaning = (NO_SETTINGS, True, GENERATION)
OTHERS: list[Meaning] = [
    (settings_of([("search_path", b"other")]), True, GENERATION),
    (NO_SETTINGS, False, GENERATION),
    (NO_SETTINGS, True, object()),
]
"""Another path, another lexing, and what names stand for has changed."""


def effects(sql: bytes) -> SessionEffects:
    return NONE


def test_a_named_statement_is_shared_while_it_means_the_same() -> None:
    registry = PreparedRegistry()
    first = registry.shared(BODY, MEANING, effects)
    assert registry.shared(BODY, MEANING, effects) is first
    for other in OTHERS:
        assert registry.shared(BODY, other, effects) is not first
    assert registry.shared(BODY, MEANING, effects) is first


def test_an_unnamed_one_is_reused_while_it_means_the_same() -> None:
    registry = PreparedRegistry()
    assert registry.known_unnamed(BODY, MEANING, effects) is None
    first = registry.known_unnamed(BODY, MEANING, effects)
    assert first is not None
    for other in OTHERS:
        assert registry.known_unnamed(BODY, other, effects) is None
        assert registry.known_unnamed(BODY, other, effects) is not first
    assert registry.known_unnamed(BODY, MEANING, effects) is first
