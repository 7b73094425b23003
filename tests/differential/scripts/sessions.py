"""What conversations of several clients are put together from."""

from __future__ import annotations

from tests.support.frontend import Frontend, bind, describe_portal, execute, parse, sync
from tests.support.interleave import LOOK, Interleaving, Turn, interleaving, turn
from tests.support.script import Opening, Part, part

__all__ = ["changed", "looks", "prepare", "recall", "run", "started"]


def run(sql: str, *values: bytes | None) -> Part:
    """An unnamed statement from Parse to Sync."""
    return part(parse(sql), bind(values), execute(), sync())


def looks(clients: int = 2) -> tuple[Turn, ...]:
    """Each client looks at its session, twice, so that each meets what the others have left."""
    return tuple(turn(number % clients, LOOK, elsewhere=number % 2 == 1) for number in range(2 * clients))


def changed(name: str, *changes: Part | Frontend | str, openings: tuple[Opening, ...] = ()) -> Interleaving:
    """The first client changes its session; then both look, and the second changes something of its own."""
    return interleaving(
        name,
        turn(1, LOOK),
        turn(0, *changes),
        *looks(),
        turn(1, "SET TimeZone = 'Africa/Cairo'; SET work_mem = '9MB'", elsewhere=True),
        *looks(),
        openings=openings,
    )


def started(**parameters: str) -> Opening:
    return Opening(parameters=tuple(parameters.items()))


def prepare(sql: str, name: str = "s", types: tuple[int, ...] = ()) -> Part:
    """A Parse of its own batch."""
    return part(parse(sql, name, types), sync())


def recall(name: str = "s", *values: bytes) -> Part:
    """Execution of what an earlier batch has parsed."""
    return part(bind(values, statement=name), describe_portal(), execute(), sync())
