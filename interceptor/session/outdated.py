"""What was decided about a batch that then had to wait for a backend, while definitions changed what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interceptor.errors import NOT_JUDGED, ClientError
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.substitutes import SUBSTITUTE

if TYPE_CHECKING:
    from interceptor.hooks.plans import PlanTable
    from interceptor.session.interception import Interception
    from interceptor.session.observed import Run

__all__ = ["Looked", "forget_decision", "forget_passing", "is_outdated", "is_passing_outdated"]

_COUNTED: Final = frozenset(b"QPBDECF") | {SUBSTITUTE}
_WHY: Final = messages.encode_failure(
    ClientError(NOT_JUDGED, "what its names mean has changed before it ran, so it is looked at again", fatal=False)
)


@dataclass(frozen=True, slots=True)
class Looked:
    """A batch of a client without a backend, from its decision until it is sent."""

    batch: bytes
    """As the client sent it."""
    decided: bytes
    """As plugins decided about it."""
    table: PlanTable
    epoch: int
    """What the plans rested on when it was looked at."""


def is_outdated(interception: Interception) -> bool:
    """Whether plans have been forgotten since what waits for a backend was decided."""
    looked = interception.looked
    return looked is not None and interception.planned and (looked.table.stale or looked.table.epoch != looked.epoch)


def forget_decision(interception: Interception, data: bytes) -> bytes:
    """What was to be sent, as the client sent it, of which nobody has decided anything. Plugins hear that it failed.

    ``data``: what was to be sent, and what came after it. Raises ClientError where a part of it was answered already.
    """
    looked = interception.looked
    assert looked is not None
    if not data.startswith(looked.decided):
        raise ClientError(
            NOT_JUDGED,
            "what its names mean has changed while a batch waited for a backend of which a part was answered already",
            hint="Connect again, and send it once more.",
        )
    if interception.retrying is not None:
        interception.retrying.settle()
    interception.executions.on_refused(_WHY)
    position = 0
    while position < len(looked.decided):
        kind, length = unpack_header(data, position)
        if kind in _COUNTED:
            interception.skip(kind)
        position += 1 + length
    interception.on_ready(messages.IDLE)
    return looked.batch + data[len(looked.decided) :]


def is_passing_outdated(run: Run) -> bool:
    """Whether plans have been forgotten since this execution was let pass, though nobody has acted on it yet."""
    assert run.plans is not None
    table, epoch = run.plans
    return table.stale or table.epoch != epoch


def forget_passing(interception: Interception) -> None:
    """Nobody has decided anything about the batch that was let pass. Observers hear that its execution failed."""
    interception.executions.on_refused(_WHY)
    interception.skip(messages.QUERY)
    interception.on_ready(messages.IDLE)
