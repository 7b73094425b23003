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
    buffered = transport.get_write_buffer_size
    is_closing = transport.is_closing
    later = transport.write
    number = transport.get_extra_info("socket").fileno()
    write_now = os.write

    def write(data: bytes) -> None:
        # Once it closes, the number may soon be that of another connection.
        if is_closing() or buffered() or not data:
            later(data)
            return
        try:
            sent = write_now(number, data)
        except OSError:
            # Full, or broken: the transport finds out which, and does what is to be done.
            later(data)
            return
        if sent < len(data):
            later(data[sent:])

    return write
