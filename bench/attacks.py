"""Connections that mean no good, as fast as one process makes them or as many as it may hold. Loopback only.

Each attack is bounded in time, in connections at once, and in connections held.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

__all__ = ["ATTACKS", "BALANCER", "PLAIN", "STRANGER", "attack"]

PLAIN = "127.0.0.1"
BALANCER = "127.0.0.9"
"""Connections from here have to begin with a header of the PROXY protocol."""
STRANGER = "mallory"

_AT_ONCE = 32
_MOST_HELD = 2_000
_PATIENCE = 30.0
_NICE = 10
"""Real attackers have processors of their own: ours leave the machine's to those whom they attack."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Deed = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _startup(user: str, database: str) -> bytes:
    body = struct.pack("!i", 0x0003_0000)
    body += b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


async def _receive(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


async def _wrong_password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SCRAM to its last step, with a proof that proves nothing."""
    writer.write(_startup(STRANGER, "bench"))
    await _receive(reader)
    nonce = secrets.token_urlsafe(18)
    first = f"n,,n=,r={nonce}".encode()
    writer.write(_message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
    said = (await _receive(reader))[4:].decode()
    combined = said.split(",")[0]
    proof = base64.b64encode(secrets.token_bytes(32)).decode()
    writer.write(_message(b"p", f"c=biws,{combined},p={proof}".encode()))
    await reader.read()


async def _wrong_database(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # As somebody who needs no password: otherwise that would be asked for first.
    writer.write(_startup("postgres", f"nowhere_{secrets.token_hex(4)}"))
    await reader.read()


async def _random_cancel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(struct.pack("!iiI4s", 16, 80877102, secrets.randbits(31), secrets.token_bytes(4)))
    await reader.read()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nothing at all."""


async def _half_a_packet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_startup(STRANGER, "bench")[:-3])


async def _half_a_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"PROXY TCP4 192.0.2.1 192.0")


async def _half_a_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The client's first message of TLS, after which the server waits."""
    writer.write(struct.pack("!ii", 8, 80877103))
    await reader.readexactly(1)
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    except ssl.SSLWantReadError:
        writer.write(outgoing.read())
    await reader.readexactly(1)


async def _piece_of_a_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The first bytes of the client's first message, which the server can't answer."""
    writer.write(struct.pack("!ii", 8, 80877103))
    await reader.readexactly(1)
    writer.write(b"\x16\x03\x01\x02\x00\x01")


async def _whole_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What costs the server most: its signature. Then nothing."""
    writer.write(struct.pack("!ii", 8, 80877103))
    await reader.readexactly(1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    await writer.start_tls(context)


ATTACKS: dict[str, tuple[Deed, str, bool]] = {
    "wrong passwords (SCRAM)": (_wrong_password, PLAIN, False),
    "databases that don't exist": (_wrong_database, PLAIN, False),
    "cancel requests, random keys": (_random_cancel, PLAIN, False),
    "connections that say nothing": (_silence, PLAIN, True),
    "halves of startup packets": (_half_a_packet, PLAIN, True),
    "pieces of TLS hellos": (_piece_of_a_hello, PLAIN, True),
    "whole TLS handshakes": (_whole_handshake, PLAIN, False),
    "halves of TLS handshakes": (_half_a_handshake, PLAIN, True),
    "halves of PROXY headers": (_half_a_header, BALANCER, True),
}
"""What is done with each connection, from which address, and whether it is held until the end."""


def attack(pipe: Connection, name: str, address: tuple[str, int], seconds: float) -> None:
    """The life of an attacking process. It says how many connections it has made."""
    os.nice(_NICE)
    pipe.send(asyncio.run(_attack(name, address, seconds)))


async def _attack(name: str, address: tuple[str, int], seconds: float) -> int:
    deed, source, held = ATTACKS[name]
    until = time.monotonic() + seconds
    kept: list[asyncio.StreamWriter] = []
    made = 0

    async def work() -> None:
        nonlocal made
        while time.monotonic() < until and len(kept) < _MOST_HELD:
            try:
                async with asyncio.timeout(_PATIENCE):
                    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
                    made += 1
                    await deed(reader, writer)
            except (OSError, EOFError, TimeoutError):
                continue
            if held:
                kept.append(writer)
            else:
                writer.close()

    await asyncio.gather(*[work() for _ in range(_AT_ONCE)])
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    for writer in kept:
        writer.close()
    return made
