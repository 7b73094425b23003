"""Dicts of a session that are not there until something is put into them.

A client has more than a dozen of them, and most clients most of the time have nothing in any. Each empty one of its own
would take 64 bytes of an idle client's memory, so all share one that is never changed.
"""

from __future__ import annotations

from typing import Final, NoReturn, TypeVar, cast

__all__ = ["nothing", "own"]

K = TypeVar("K")
V = TypeVar("V")


class _Nothing(dict[object, object]):
    """To look into it and to take from it is right for whoever has nothing."""

    __slots__ = ()

    def _refuse(self, *_arguments: object) -> NoReturn:
        raise AssertionError("what has nothing in it is everybody's: put into one of your own (own)")

    __setitem__ = __ior__ = setdefault = update = _refuse  # type: ignore[assignment]  # they are not to be called


_NOTHING: Final = _Nothing()


def nothing() -> dict[K, V]:
    """A dict with nothing in it, for reading only."""
    return cast("dict[K, V]", _NOTHING)


def own(found: dict[K, V]) -> dict[K, V]:
    """A dict that may be changed: this one, or a new one where it is everybody's."""
    return {} if found is _NOTHING else found
