"""Where judgements of texts come from, and how old they may be."""

from __future__ import annotations

from typing import Final, Protocol

from interceptor.sql.effects import OPAQUE, SessionEffects

__all__ = ["LASTING", "Judgements", "judge_nothing"]


class Judgements(Protocol):
    """Where judgements of texts come from, as far as it matters how old they are."""

    @property
    def era(self) -> object:
        """Another object whenever all texts have to be judged anew."""

    @property
    def generation(self) -> object:
        """Another object whenever a text may mean something else to who parses it now."""


class _Lasting:
    era: Final = object()
    generation: Final = object()


LASTING: Final = _Lasting()


def judge_nothing(sql: bytes) -> SessionEffects:
    """What is known of a text whose words may not be what they look like."""
    return OPAQUE
