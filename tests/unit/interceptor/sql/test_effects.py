"""Effects are shared."""

from __future__ import annotations

import dataclasses

import pytest

from interceptor.sql.effects import EMPTY, NONE, OPAQUE, PinReason, SessionEffects, shared_effects


def test_equal_effects_are_one_object() -> None:
    assert shared_effects(None, 1) is NONE
    assert shared_effects(PinReason.SETTING, 3, True) is shared_effects(PinReason.SETTING, 3, True)


def test_long_texts_fill_no_table() -> None:
    assert shared_effects(None, 5000) == shared_effects(None, 5000)
    assert shared_effects(None, 5000) is not shared_effects(None, 5000)


def test_what_is_not_known_is_the_worst() -> None:
    assert OPAQUE == SessionEffects(PinReason.OPAQUE, -1, transaction_control=True, reads_sequence=True)
    assert EMPTY.statement_count == 0


def test_effects_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        NONE.pin = PinReason.SETTING  # type: ignore[misc]


@pytest.mark.parametrize("reason", PinReason)
def test_reason_is_a_clause_for_people(reason: PinReason) -> None:
    assert reason.value.startswith("it ")
    assert not reason.value.endswith(".")
