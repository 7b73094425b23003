"""Sending the rows of an answer that was made here, as fast as its client reads."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Final, cast

from interceptor.hooks.answers import Piece
from interceptor.protocol import messages
from interceptor.session.answers import CANCELED, PORTAL_SUSPENDED, encode_block

if TYPE_CHECKING:
    from interceptor.hooks.waits import Waits
    from interceptor.session.answers import LocalPortal
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.substitutes import Answered

_FAIR_SECONDS: Final = 0.002
_FAIR_BYTES: Final = 256 * 1024
"""How much of an answer is sent at a time; then it is the others' turn, and it is seen how fast the client reads."""


class Delivery:
    """One client's answers, one after the other."""

    __slots__ = ("busy", "interception", "portal", "session", "waits")

    def __init__(self, session: ClientSession, interception: Interception, waits: Waits) -> None:
        self.session = session
        self.interception = interception
        self.waits = waits
        self.busy = False
        """Rows of an answer are being sent."""
        self.portal: LocalPortal | None = None
        """The answer."""

    def start(self, answered: Answered, ready: bytes) -> None:
        """Send the rows of an answer, and what ends them. ``busy`` is set while that goes on."""
        if answered.simple:
            run = answered.portal.run
            if run is not None:
                run.answered()
                run.describe(answered.portal.description[5:])
            self.session.write(answered.portal.description)
        self.busy = True
        self.portal = answered.portal
        self.interception.canceled = False
        course = self._send(answered, ready)
        waits = next(course, None)
        if waits is not None:
            self.session.host.wait_for(self._go_on(course, waits, answered), self._on_sent)

    def _send(self, answered: Answered, ready: bytes) -> Generator[Awaitable[object], object, None]:
        """Pull and write, as fast as the client reads. Yields what has to be waited for."""
        portal = answered.portal
        host = self.session.host
        left = answered.max_rows
        portal.count = sent = 0
        began = time.monotonic()
        while True:
            if host.is_full:
                yield host.drain()
            pulled = portal.pull(left)
            piece = pulled if isinstance(pulled, Piece) else cast("Piece", (yield pulled))
            portal.count += piece.rows
            run = portal.run
            if run is not None:
                run.take_piece(piece)
            if piece.messages:
                self.session.write(piece.messages)
            if piece.block is not None:
                end = encode_block(piece.block, self.interception.style)
                break
            if piece.done:
                end = portal.complete()
                committing = self.interception.committing
                if answered.simple and committing.wanted and self.interception.facts.transaction.status == "idle":
                    refusal = cast("bytes", (yield committing.ask()))
                    if refusal:
                        end = refusal
                        if run is not None:
                            run.fail_with(refusal[5:], "plugin")
                        break
                if run is not None:
                    run.finish(end[5:-1].decode("utf-8", "replace"))
                break
            sent += len(piece.messages)
            if sent > _FAIR_BYTES or time.monotonic() - began > _FAIR_SECONDS:
                yield self.waits.sleep(0)
                sent, began = 0, time.monotonic()
            if answered.max_rows:
                left -= piece.rows
                if left <= 0:
                    end = PORTAL_SUSPENDED
                    if run is not None:
                        run.suspended = True
                    break
        if end is not PORTAL_SUSPENDED:
            self.interception.unclosed -= {portal}
            closing = portal.close()
            if closing is not None:
                yield closing
        self.busy = False
        self.portal = None
        if run is not None:
            run.settle()
        if end[0] == messages.ERROR_RESPONSE:
            self.session.fail(end, simple=answered.simple)
        elif answered.simple:
            self._end_query(end, ready)
        else:
            self.session.write(end)

    def _end_query(self, end: bytes, ready: bytes) -> None:
        """A Query has been answered here: as any, it ends the batch that it broke into."""
        backend = self.session.backend
        if backend is None or backend.ready:
            self.interception.executions.on_end(ready[5])
            self.session.write(end + ready)
            self.interception.on_ready(ready[5])
        else:
            self.session.write(end)
            backend.owed.append(self.interception.executions.owed_sync)
            backend.write(messages.SYNC_MESSAGE)

    async def _go_on(
        self, course: Generator[Awaitable[object], object, None], waits: Awaitable[object], answered: Answered
    ) -> None:
        try:
            while True:
                try:
                    waits = course.send(await waits)
                except StopIteration:
                    return
        except BaseException:
            course.close()
            closing = answered.portal.close()
            if closing is not None:
                await closing
            if not self.interception.canceled:
                raise
            self.interception.canceled = self.busy = False
            self.portal = None
            if answered.portal.run is not None:
                answered.portal.run.fail_with(CANCELED[5:], "proxy")
            self.session.fail(CANCELED, simple=answered.simple)

    def _on_sent(self, _: object) -> None:
        self.session.on_answer_sent()
