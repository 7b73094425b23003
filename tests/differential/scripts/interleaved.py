"""Conversations of several clients, each about one way in which a session is changed, or looked at."""

from __future__ import annotations

from tests.differential.scripts.interleaved_hidden import HIDDEN_INTERLEAVINGS
from tests.differential.scripts.interleaved_pins import PIN_INTERLEAVINGS
from tests.differential.scripts.interleaved_settings import SETTING_INTERLEAVINGS
from tests.differential.scripts.interleaved_statements import STATEMENT_INTERLEAVINGS
from tests.support.interleave import Interleaving

__all__ = ["INTERLEAVINGS"]

INTERLEAVINGS: tuple[Interleaving, ...] = (
    *SETTING_INTERLEAVINGS,
    *HIDDEN_INTERLEAVINGS,
    *STATEMENT_INTERLEAVINGS,
    *PIN_INTERLEAVINGS,
)
