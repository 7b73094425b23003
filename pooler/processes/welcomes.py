"""What servers say at login, known to all workers: so that a client's login at a new worker needs no backend.

It would have to wait for one, perhaps for those who wait for its login to end: pgbench with -C makes connections one
after the other, while its other clients keep transactions open.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.session.reported import reported_of
from pooler.login import MAX_LOGIN_MESSAGE, Welcome

if TYPE_CHECKING:
    from pooler.plugins.shared import SharedMemory
    from pooler.pool import Pool
    from pooler.processes.messages import Key
    from pooler.waiting import Profile

__all__ = ["SharedWelcomes"]

MAX_SHARED: Final = 1000
"""Clients choose their startup parameters, so there is a bound."""


class SharedWelcomes:
    """By pool, place and startup parameters."""

    def __init__(self, shared: SharedMemory) -> None:
        self._state = shared.own("welcomes", MAX_SHARED).state

    def listen(self, on_known: Callable[[Key], None]) -> None:
        """Have told in which pool there is news, whichever process it comes from."""
        self._state.on_change(lambda name: on_known(_pool_of(name)))

    def get(self, pool: Pool, profile: Profile) -> Welcome | None:
        """What the server says at login to a session of this profile, if any process knows."""
        known = self._state.get(_name(pool, profile))
        return None if known is None else _decode(known)

    def put(self, pool: Pool, profile: Profile, welcome: Welcome) -> None:
        """Tell the others, if it is news to them."""
        name = _name(pool, profile)
        if self._state.get(name) != welcome.messages:
            with contextlib.suppress(ValueError):  # there are as many as may be, or it is too long
                self._state.set(name, welcome.messages)


def _name(pool: Pool, profile: Profile) -> str:
    """After a reload a pool may be that of another server."""
    settings = pool.settings
    place = [(host.host, host.port) for host in settings.hosts], settings.dbname
    # By the standard library: values of startup parameters may be bytes that are no UTF-8, kept as surrogates.
    return json.dumps((*settings.pool_key, *place, profile.parameters))


def _pool_of(name: str) -> Key:
    database, user, target, *_ = json.loads(name)
    return database, user, target


def _decode(text: bytes) -> Welcome:
    frames = FrameBuffer(MAX_LOGIN_MESSAGE)
    frames.feed(text)
    parameters: dict[bytes, bytes] = {}
    while (frame := frames.next_frame()) is not None:
        name, position = messages.decode_cstring(frame[1], 0)
        parameters[name] = messages.decode_cstring(frame[1], position)[0]
    return Welcome(text, reported_of(parameters))
