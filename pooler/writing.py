"""Writing to a socket at once, where the event loop would write at the end of its turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["direct_writer"]


def direct_writer(transport: asyncio.Transport) -> Callable[[bytes], None]:
    """A function that does what ``transport.write`` does, but hands the bytes to the kernel before it returns.

    uvloop collects what is written in a turn of the loop, and writes when all that came has been dealt with. So who
    waits for an answer would wait for what we do after it, too. What the kernel doesn't take goes through the
    transport, whose flow control holds as ever, and so does what follows until the transport has nothing left.

    Where the transport encrypts what it is given, this is its own ``write``.
    """
    if transport.get_extra_info("encrypts"):
        return transport.write
    return _Writer(transport, transport.get_extra_info("socket").fileno()).write


class _Writer:
    """What a connection needs to write. A function with these two in its cells would take three times the memory of
    an idle client, and methods that are bound beforehand more."""

    __slots__ = ("_number", "_transport")

    def __init__(self, transport: asyncio.Transport, number: int) -> None:
        self._transport = transport
        self._number = number

    def write(self, data: bytes) -> None:
        transport = self._transport
        # Once it closes, the number may soon be that of another connection.
        if transport.is_closing() or transport.get_write_buffer_size() or not data:
            transport.write(data)
            return
        try:
            sent = os.write(self._number, data)
        except OSError:
            # Full, or broken: the transport finds out which, and does what is to be done.
            transport.write(data)
            return
        if sent < len(data):
            transport.write(data[sent:])
