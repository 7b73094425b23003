"""Streams of a client's messages for the model: likely ones, and ones in any order."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.model import BAD_ROW, COPY_FROM, TEXTS, TEXTS_OF_PREPARED
from tests.support.recorder import (
    COPY_DONE,
    FLUSH,
    SYNC,
    TERMINATE,
    bind,
    close,
    describe,
    execute,
    message,
    parse,
    query,
)

__all__ = ["streams"]

_texts = st.sampled_from([text.decode() for text in TEXTS * 2 + TEXTS_OF_PREPARED])
_plain = st.sampled_from(["SELECT 'a'", "SELECT 'b'"])
_names = st.sampled_from(["", "", "", "s", "s", "t", "u"])
_portals = st.sampled_from(["", "", "p"])
_padding = st.sampled_from([b"", b"", b"", b"x" * 300])
"""Longer than the limits that the tests set."""


def _copy_data(row: bytes, padding: bytes) -> bytes:
    return message("d", row + padding)


def _function_call() -> bytes:
    return message("F", bytes(10))


_copy_rows = st.lists(st.builds(_copy_data, st.sampled_from([b"1", b"1", b"1", BAD_ROW]), _padding), max_size=4).map(
    b"".join
)
_copy_end = st.sampled_from([COPY_DONE, COPY_DONE, message("f", b"why\0"), message("f", BAD_ROW + b"\0"), b""])
_noise = st.sampled_from([b"", b"", b"", SYNC, FLUSH])

_single = st.one_of(
    st.builds(query, _texts),
    st.builds(parse, _texts, _names),
    st.builds(bind, _names, _portals),
    st.builds(describe, st.sampled_from(["S", "P"]), _names),
    st.builds(execute, _portals, st.sampled_from([0, 0, 1])),
    st.builds(close, st.sampled_from(["S", "P"]), _names),
    st.sampled_from([SYNC, SYNC, FLUSH]),
    st.builds(_function_call),
)
"""Any message but those of a COPY, in any order."""

_batch = st.builds(
    lambda text, name, describes, executes, ends: (
        parse(text, name) + bind(name) + (describe("P") if describes else b"") + (execute() if executes else b"") + ends
    ),
    _texts.filter(lambda text: text.encode() != COPY_FROM),
    _names,
    st.booleans(),
    st.booleans(),
    st.sampled_from([SYNC, SYNC, SYNC, FLUSH, b""]),
)
_reuse = st.builds(
    lambda name, begin, ends: (
        begin + {"b": bind(name) + execute(), "d": describe("S", name), "c": close("S", name)}[ends]
    ),
    _names,
    st.sampled_from([b"", b"", bind("nowhere"), query("BEGIN")]),
    st.sampled_from("bdc"),
).map(lambda batch: batch + SYNC)
"""What needs a statement of a batch before."""

_copy = st.builds(
    lambda extended, first, rows, middle, more, end, sync: (
        (parse(COPY_FROM.decode()) + bind() + execute() + first if extended else query(COPY_FROM.decode()))
        + rows
        + middle
        + more
        + end
        + (SYNC if extended or sync else b"")
    ),
    st.booleans(),
    _noise,
    _copy_rows,
    _noise,
    _copy_rows,
    _copy_end,
    st.booleans(),
)

_transaction = st.builds(
    lambda inner, end: query("BEGIN") + b"".join(inner) + query(end),
    st.lists(st.one_of(st.builds(query, _plain), _batch, _copy), max_size=3),
    st.sampled_from(["COMMIT", "ROLLBACK"]),
)


def streams() -> st.SearchStrategy[bytes]:
    """A client's whole stream, after its login."""
    query_of_any = st.builds(query, _texts.filter(lambda text: text.encode() != COPY_FROM))
    parts = st.lists(st.one_of(query_of_any, _batch, _reuse, _copy, _transaction, _single), max_size=8)
    return st.builds(lambda part, end: b"".join(part) + end, parts, st.sampled_from([b"", SYNC, SYNC, TERMINATE]))
