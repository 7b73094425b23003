"""Effects are shared."""

from __future__ import annotations

import dataclasses

import pytest

from interceptor.sql.effects import EMPTY, NONE, OPAQUE, WRITES, Effect, SessionEffects, graver, shared_effects


def test_equal_effects_are_one_object() -> None:
    assert shared_effects(SessionEffects(None, 1)) is NONE
    assert shared_effects(SessionEffects(None, 1, touches_sequence=True)) is WRITES
    locks = SessionEffects(Effect.ADVISORY_LOCK, 3, transaction_control=True)
    assert shared_effects(locks) is shared_effects(SessionEffects(Effect.ADVISORY_LOCK, 3, transaction_control=True))


@pytest.mark.parametrize(
    "effects", [SessionEffects(None, 5000), SessionEffects(Effect.SETTING, 1, settings=frozenset({"app.tenant"}))]
)
def test_what_clients_can_make_any_number_of_fills_no_table(effects: SessionEffects) -> None:
    other = dataclasses.replace(effects)
    assert shared_effects(effects) == shared_effects(other)
    assert shared_effects(effects) is not shared_effects(other)


def test_what_is_not_known_is_the_worst() -> None:
    assert OPAQUE == SessionEffects(
        Effect.OPAQUE,
        -1,
        transaction_control=True,
        reads_sequence=True,
        touches_sequence=True,
        ends_pin=True,
        reparses=True,
        reduces=True,
    )
    assert EMPTY.statement_count == 0


def test_the_graver_of_two_effects_counts() -> None:
    assert graver(None, None) is None
    assert graver(None, Effect.REDUCTION) is graver(Effect.REDUCTION, None) is Effect.REDUCTION
    order = list(Effect)
    for place, effect in enumerate(order):
        for lesser in order[place:]:
            assert graver(effect, lesser) is graver(lesser, effect) is effect


def test_effects_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NONE.effect = Effect.SETTING  # type: ignore[misc]


@pytest.mark.parametrize("effect", Effect)
def test_an_effect_is_a_clause_for_people(effect: Effect) -> None:
    assert effect.value.startswith(("it ", "what its backend owes "))
    assert not effect.value.endswith(".")
