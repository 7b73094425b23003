"""What takes the place of a client's message on its way to a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

Splice = tuple[bytes, int]
"""What takes the place of a message, or of its beginning: these bytes, and then the data from this offset on."""

Outcome = Splice | None
"""None: the message goes as it came."""

HOLD: Final[Splice] = (b"", -1)
"""Not now: this message and what follows wait for the backend's answers."""


def hold(session: ClientSession) -> Splice:
    """Let this message wait for what the backend has yet to answer."""
    session.held = True
    return HOLD
