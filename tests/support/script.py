"""A conversation as data: what a client says, how it cuts its bytes into writes, and where it waits for replies."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.frontend import PROTOCOL_3_0, Frontend

if TYPE_CHECKING:
    from hypothesis.vendor.pretty import RepresentationPrinter

__all__ = [
    "EVERY_MODE",
    "NOT_STATEMENT",
    "Ending",
    "Opening",
    "Part",
    "PoolMode",
    "Stream",
    "no_wait",
    "part",
    "stream",
]


class PoolMode(enum.Enum):
    """When a pooler takes a server connection back from its client."""

    SESSION = "session"
    TRANSACTION = "transaction"
    STATEMENT = "statement"


EVERY_MODE = frozenset(PoolMode)
NOT_STATEMENT = EVERY_MODE - {PoolMode.STATEMENT}


class Ending(enum.Enum):
    """How a conversation ends."""

    TIDY = "finish what is open, run a last query, then Terminate"
    TERMINATE = "Terminate at once, whatever is open"
    VANISH = "hang up without a word"


@dataclass(frozen=True, slots=True)
class Part:
    """Messages that follow each other without a pause, their cuts, and whether to wait for the replies then.

    ``cuts`` are byte offsets, taken modulo the length of the part; between the pieces the client waits until the peer
    has read the piece before. Wait only where PostgreSQL has to send what it has (after Sync, Flush, Query and
    FunctionCall, and in a COPY): replies that nobody asked to flush may come earlier or later.
    """

    messages: tuple[Frontend, ...]
    cuts: tuple[int, ...] = ()
    bytewise: bool = False
    wait: bool = True

    @property
    def data(self) -> bytes:
        """All bytes of the part."""
        return b"".join(message.data for message in self.messages)

    def pieces(self) -> list[bytes]:
        """The bytes, cut."""
        data = self.data
        if self.bytewise:
            return [data[at : at + 1] for at in range(len(data))]
        offsets = sorted({cut % len(data) for cut in self.cuts} - {0}) if data else []
        return [data[start:end] for start, end in zip([0, *offsets], [*offsets, len(data)], strict=True)]

    def __str__(self) -> str:
        how = " (byte by byte)" if self.bytewise else f" (cut at {list(self.cuts)})" * bool(self.cuts)
        lines = [f"  > {message}" for message in self.messages]
        return "\n".join([*lines, f"  {'wait' if self.wait else 'go on'}{how}"])


@dataclass(frozen=True, slots=True)
class Opening:
    """What comes before the first query. ``preludes`` name what is sent first, in order: ``ssl`` and ``gss`` ask for
    encryption, ``cancel`` sends, on another connection, a CancelRequest that concerns nobody."""

    preludes: tuple[str, ...] = ()
    version: int = PROTOCOL_3_0
    parameters: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join([*self.preludes, f"{self.version >> 16}.{self.version & 0xFFFF}", str(dict(self.parameters))])


@dataclass(frozen=True, slots=True)
class Stream:
    """A whole conversation of one client. ``modes`` are the pool modes in which it may run unhindered."""

    name: str
    parts: tuple[Part, ...]
    modes: frozenset[PoolMode] = EVERY_MODE
    opening: Opening = field(default_factory=Opening)
    ending: Ending = Ending.TIDY

    @property
    def messages(self) -> Iterable[Frontend]:
        """All messages between the login and the ending."""
        return (message for part in self.parts for message in part.messages)

    def __str__(self) -> str:
        modes = ", ".join(sorted(mode.value for mode in self.modes))
        lines = [f"stream {self.name} ({modes} mode)", f"  opening: {self.opening}"]
        return "\n".join([*lines, *map(str, self.parts), f"  ending: {self.ending.value}"])

    __repr__ = __str__

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        # Hypothesis would print every byte of every field.
        printer.text(str(self))


def part(*messages: Frontend, cuts: Iterable[int] = (), bytewise: bool = False) -> Part:
    """Messages in one write, then a wait."""
    return Part(messages, tuple(cuts), bytewise)


def no_wait(*messages: Frontend, cuts: Iterable[int] = (), bytewise: bool = False) -> Part:
    """Messages in one write, and no wait for what they cause."""
    return Part(messages, tuple(cuts), bytewise, wait=False)


def stream(
    name: str,
    *parts: Part | Frontend,
    modes: frozenset[PoolMode] = EVERY_MODE,
    opening: Opening | None = None,
    ending: Ending = Ending.TIDY,
) -> Stream:
    """A stream of parts. A bare message is a part of its own, followed by a wait."""
    whole = tuple(each if isinstance(each, Part) else part(each) for each in parts)
    return Stream(name, whole, modes, opening or Opening(), ending)
