"""Conversations as turns: what the client sends, and what PostgreSQL answers to it. In transaction mode, unpinned."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.recorder import (
    COPY_DONE,
    COPY_IN,
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    bind,
    close,
    complete,
    describe,
    error,
    execute,
    message,
    parse,
    query,
    ready,
    row,
)

NOTICE = message("N", b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0")
PARSED, BOUND, CLOSED = message("1"), message("2"), message("3")
NO_PARAMETERS = message("t", b"\0\0")


@dataclass(frozen=True)
class Turn:
    """``sent`` reaches the backend as ``forwarded`` (by default as it is), and ``answer`` reaches the client."""

    sent: bytes
    answer: bytes
    released: bool = True
    forwarded: bytes | None = None


CONVERSATIONS: dict[str, list[Turn]] = {
    "simple query": [Turn(query("SELECT 1"), RESULT + ready())] * 2,
    "empty query": [Turn(query(""), message("I") + ready())],
    "error and notice": [
        Turn(query("SELECT 1"), NOTICE + error() + ready()),
        Turn(query("SELECT 2"), RESULT + ready()),
    ],
    "several queries in one write": [Turn(query("SELECT 1") + query("SELECT 2"), (RESULT + ready()) * 2)],
    "several results of one query": [Turn(query("SELECT 1; SELECT 2"), RESULT * 2 + ready())],
    "transaction": [
        Turn(query("BEGIN"), complete("BEGIN") + ready("T"), released=False),
        Turn(query("SELECT 1"), RESULT + ready("T"), released=False),
        Turn(query("SELECT 1/0"), error() + ready("E"), released=False),
        Turn(query("ROLLBACK"), complete("ROLLBACK") + ready()),
    ],
    "extended": [
        Turn(
            parse("SELECT 1") + bind() + describe("P") + execute() + SYNC,
            PARSED + BOUND + RESULT + ready(),
        )
    ],
    "two batches in one write": [
        Turn((parse("SELECT 1") + bind() + execute() + SYNC) * 2, (PARSED + BOUND + row() + complete() + ready()) * 2)
    ],
    "error in the middle of a batch": [
        Turn(
            parse("SELECT 1") + bind() + execute() + parse("SELECT x") + bind() + execute() + SYNC,
            PARSED + BOUND + row() + complete() + error() + ready(),
        ),
        Turn(query("SELECT 1"), RESULT + ready()),
    ],
    "error, and the rest of the batch comes later": [
        Turn(parse("SELECT x"), error(), released=False),
        Turn(bind() + execute() + query("SELECT 1"), b"", released=False, forwarded=b""),
        Turn(SYNC, ready()),
    ],
    "flush": [
        Turn(parse("SELECT 1") + describe("S") + FLUSH, PARSED + NO_PARAMETERS + ROW_DESCRIPTION, released=False),
        Turn(bind() + execute() + SYNC, BOUND + row() + complete() + ready()),
    ],
    "portal with a row limit": [
        Turn(query("BEGIN"), complete("BEGIN") + ready("T"), released=False),
        Turn(
            parse("SELECT 1") + bind(portal="p") + execute("p", 1) + SYNC,
            PARSED + BOUND + row() + message("s") + ready("T"),
            released=False,
        ),
        Turn(execute("p") + close("P", "p") + SYNC, row() + complete() + CLOSED + ready("T"), released=False),
        Turn(query("COMMIT"), complete("COMMIT") + ready()),
    ],
    "the unnamed statement on another backend": [
        Turn(parse("SELECT 1") + SYNC, PARSED + ready()),
        Turn(
            bind() + execute() + SYNC,
            BOUND + row() + complete() + ready(),
            forwarded=parse("SELECT 1") + bind() + execute() + SYNC,
        ),
        Turn(
            describe("S") + SYNC,
            NO_PARAMETERS + ROW_DESCRIPTION + ready(),
            forwarded=parse("SELECT 1") + describe("S") + SYNC,
        ),
    ],
    "no unnamed statement after a simple query": [
        Turn(parse("SELECT 1") + SYNC, PARSED + ready()),
        Turn(query("SELECT 2"), RESULT + ready()),
        Turn(bind() + SYNC, error() + ready(), forwarded=close("S") + bind() + SYNC),
    ],
    "no unnamed statement after a failed Parse": [
        Turn(parse("SELECT 1") + SYNC, PARSED + ready()),
        Turn(parse("SELECT x") + SYNC, error() + ready()),
        Turn(bind() + SYNC, error() + ready(), forwarded=close("S") + bind() + SYNC),
    ],
    "copy in": [
        Turn(query("COPY t FROM STDIN"), COPY_IN, released=False),
        Turn(message("d", b"1\n") * 3, b"", released=False),
        Turn(message("d", b"2\n") + COPY_DONE, complete("COPY 4") + ready()),
    ],
    "copy in, extended, with a Sync that is ignored": [
        Turn(parse("COPY t FROM STDIN") + bind() + execute() + SYNC, PARSED + BOUND + COPY_IN, released=False),
        Turn(
            message("d", b"1\n") + SYNC + FLUSH + COPY_DONE,
            complete("COPY 1"),
            released=False,
            forwarded=message("d", b"1\n") + SYNC + FLUSH + COPY_DONE + FLUSH,
        ),
        Turn(SYNC, ready()),
    ],
    "copy in that fails": [
        Turn(query("COPY t FROM STDIN"), COPY_IN, released=False),
        Turn(message("d", b"x\n"), error() + ready()),
        Turn(message("d", b"y\n") + COPY_DONE, b"", forwarded=b""),
        Turn(query("SELECT 1"), RESULT + ready()),
    ],
    "copy out": [
        Turn(
            query("COPY t TO STDOUT"),
            message("H", bytes(5)) + message("d", b"1\n") * 3 + COPY_DONE + complete("COPY 3") + ready(),
        )
    ],
    "close": [Turn(close("P", "p") + close("S") + SYNC, CLOSED * 2 + ready())],
    "parameter that came back": [
        Turn(
            query("SET LOCAL x = 1"),
            message("S", b"TimeZone\0CET\0") + complete("SET") + message("S", b"TimeZone\0UTC\0") + ready(),
        )
    ],
}

# A Sync alone needs no backend, and neither does copy data that nobody asked for.
WITHOUT_BACKEND = {"sync alone": (SYNC, ready()), "stray copy data": (message("d", b"1") + COPY_DONE + FLUSH, b"")}
