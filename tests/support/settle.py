"""Waiting, without guessing at times, until a PostgreSQL backend has said all that it has to say."""

from __future__ import annotations

import select
import time

from tests.support.sockets import SocketDiagnosis
from tests.support.wire import ReplyTimeout, WireClient

__all__ = ["Settler", "wait_until_read"]

_PAUSE = 0.0001
# A peer that holds back its reading is allowed to; the next piece is then written all the same.
_READ_PATIENCE = 0.05


def wait_until_read(client: WireClient, diagnosis: SocketDiagnosis) -> None:
    """Wait until the peer has read all that ``client`` wrote, or it looks as if it does not mean to."""
    local, peer = client.address, client.peer
    deadline = time.monotonic() + _READ_PATIENCE
    while time.monotonic() < deadline:
        state = diagnosis.state(peer, local)
        if state is None or (state.arrived == client.bytes_written and state.unread == 0):
            return
        client.read_available()
        select.select([client.fileno], [], [], _PAUSE)


class Settler:
    """Tells when the backend of ``client`` waits for its client and nothing is under way between the two.

    ``client`` is connected to PostgreSQL itself, on this machine; ``control`` is another connection, allowed to see it.
    """

    def __init__(self, client: WireClient, control: WireClient, diagnosis: SocketDiagnosis) -> None:
        self._client = client
        self._control = control
        self._diagnosis = diagnosis
        self._question = f"SELECT wait_event FROM pg_stat_get_activity({client.key[0]})"
        self._local, self._peer = client.address, client.peer

    def settle(self) -> None:
        """Read all that the backend has sent until it waits for more from us, or hangs up. Raises ReplyTimeout."""
        client = self._client
        deadline = time.monotonic() + client.timeout
        while True:
            client.read_available()
            if client.closed:
                return
            theirs = self._diagnosis.state(self._peer, self._local)
            if theirs is None:
                client.read_to_end()
                return
            # The order of the questions matters. PostgreSQL shows ClientRead only after a read found nothing, and
            # takes it back before the next read: seen after all our bytes were read, it has handled them. What it
            # wrote in answer was written before that.
            if theirs.arrived == client.bytes_written and theirs.unread == 0 and self._waits_for_client():
                after = self._diagnosis.state(self._peer, self._local)
                client.read_available()
                if after is not None and after.written == client.bytes_received:
                    return
            if time.monotonic() > deadline:
                raise ReplyTimeout(f"PostgreSQL did not come to rest within {client.timeout} s: {self._state()}.")
            select.select([client.fileno], [], [], _PAUSE)

    def _waits_for_client(self) -> bool:
        return self._control.query(self._question) == [("ClientRead",)]

    def _state(self) -> str:
        pid = self._client.key[0]
        return str(self._control.query(f"SELECT state, wait_event, query FROM pg_stat_activity WHERE pid = {pid}"))
