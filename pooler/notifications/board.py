"""What the clients of one process hear of one database."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from pooler.notifications.interest import Interest, Waiting

if TYPE_CHECKING:
    from interceptor.errors import ClientError
    from interceptor.session.listening import Listener, Notifications
    from pooler.config import Config
    from pooler.notifications.source import Source, Subscriber

__all__ = ["Board"]


class Board:
    """Implements ``Notifications`` for clients, and ``Subscriber`` for what it hears through."""

    def __init__(self, database: str, source: Source, config: Config) -> None:
        self.database: Final = database
        self.source: Final = source
        self.config = config
        self.interest: Final = Interest()
        self._known: set[bytes] = set()
        """What the source tells of."""
        self._deserted: set[bytes] = set()
        """What nobody may want to hear of any more, among it."""
        self._asked: Waiting | None = None
        """Those for whom the source has been asked, while it has yet to answer."""
        self._asked_for: set[bytes] = set()
        self._missed: set[Listener] = set()
        """Who is to be told of a loss, once all is as before."""
        self._lost = False

    def __str__(self) -> str:
        return f"board of {self.database}"

    def report(self) -> Iterable[tuple[bytes, int, int, int]]:
        """Each channel: how many clients want to hear of it, how many of them do now, and the most bytes that wait for
        one."""
        waiting = self.interest.count_waiting(self._asked or {})
        for channel, some in self.interest.audience.members.items():
            hearing = 0 if self._lost else len(some) - waiting[channel]
            yield channel, len(some), hearing, max([listener.unread for listener in some])

    # --- Notifications -----------------------------------------------------------------------------------------------

    @property
    def max_unread(self) -> int:
        """As ``Notifications``."""
        return self.config.server.max_unread_notifications

    def listen(self, listener: Listener, channels: Collection[bytes]) -> None:
        """As ``Notifications``."""
        self.interest.add(listener, channels)
        self._advance()

    def unlisten(self, listener: Listener, channels: Collection[bytes]) -> None:
        """As ``Notifications``."""
        self._deserted |= self.interest.remove(listener, channels)
        if not self.interest.audience.of(listener):
            self._missed.discard(listener)
        self._advance()

    def leave(self, listener: Listener) -> None:
        """As ``Notifications``."""
        self.unlisten(listener, self.interest.audience.of(listener))

    def _advance(self) -> None:
        """Ask the source for what is missing, one thing at a time."""
        if self._asked is not None or not self.source.is_there:
            return
        self._take_leave()
        if self.interest.waiting:
            self._asked = self.interest.take_waiting()
            # Those that are heard of already, too: what was sent before a client's LISTEN comes before the answer.
            self._asked_for = set[bytes]().union(*self._asked.values())
            self.source.listen(self, self._asked_for)

    def _take_leave(self) -> None:
        if self._deserted:
            old = (self._deserted & self._known).difference(self.interest.audience.members)
            self._deserted.clear()
            self._known -= old
            if old:
                self.source.unlisten(self, old)
            if not self._known:
                # There is nothing to miss, nor will the source say that it is restored.
                self._lost = False
                self._missed.clear()

    # --- Subscriber --------------------------------------------------------------------------------------------------

    def on_listening(self) -> None:
        """As ``Subscriber``."""
        assert self._asked is not None
        asked, self._asked = self._asked, None
        self._known |= self._asked_for
        self._deserted |= self._asked_for.difference(self.interest.audience.members)
        self.interest.confirm(asked)
        self._advance()

    def on_refused(self, error: ClientError) -> None:
        """As ``Subscriber``."""
        assert self._asked is not None
        asked, self._asked = self._asked, None
        self._deserted |= self.interest.refuse(asked, error)
        self._advance()

    def hear(self, channel: bytes, message: bytes) -> None:
        """As ``Subscriber``."""
        self.interest.hear(channel, message)

    def on_lost(self) -> None:
        """As ``Subscriber``."""
        if not self._known:
            return  # what was lost, it has just asked to hear of no more
        self._lost = True
        self._missed |= self.interest.settled(self._asked or {})

    def on_restored(self) -> None:
        """As ``Subscriber``."""
        self._lost = False
        missed, self._missed = self._missed, set()
        for listener in missed:
            listener.on_missed()

    # --- A source that is gone ---------------------------------------------------------------------------------------

    def on_source_gone(self) -> None:
        """The source can't be asked any more, and answers nothing that it was asked."""
        self.on_lost()
        if self._asked is not None:
            self.interest.wait_again(self._asked)
            self._asked = None

    def refuse_waiting(self, error: ClientError) -> None:
        """There is none in its place yet, and who waits has waited for long enough. What was asked may yet be answered,
        for nobody."""
        self._deserted |= self.interest.refuse(self.interest.take_waiting(), error)
        if self._asked is not None:
            asked, self._asked = self._asked, {}
            self._deserted |= self.interest.refuse(asked, error)

    def on_source_there(self) -> None:
        """There is another in its place, which knows nothing."""
        self._known &= self.interest.audience.members.keys()
        self._deserted.clear()
        if self._known:
            self.source.keep(self, self._known)
        else:
            self.on_restored()
        self._advance()


if TYPE_CHECKING:

    def _notifications(board: Board) -> Notifications:
        return board

    def _subscriber(board: Board) -> Subscriber:
        return board
