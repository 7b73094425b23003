"""Conversations of several clients, each about one way in which a session is changed, or looked at."""

from __future__ import annotations

from tests.support.interleave import Interleaving, interleaving, turn

__all__ = ["INTERLEAVINGS"]

INTERLEAVINGS: tuple[Interleaving, ...] = (
    interleaving("set", turn(0, "SET TimeZone = 'Asia/Tokyo'"), turn(1, "SHOW TimeZone"), turn(0, "SHOW TimeZone")),
)
