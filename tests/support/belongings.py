"""What a recorded client and its backend say where something of the session is in doubt."""

from __future__ import annotations

import re

from tests.support.recorder import COPY_DONE, SYNC, Recorder, answer, complete, is_set, message, parse, query, ready

__all__ = [
    "BATCH_END",
    "BOUND",
    "CET",
    "CLOSED",
    "DISCARD_SEQUENCES",
    "PARSED",
    "UTC",
    "make_private",
    "names_in",
    "prepare",
    "question",
    "say",
    "set_to",
    "text_of",
    "touch",
]

PARSED, BOUND, CLOSED = message("1"), message("2"), message("3")
CET = message("S", b"TimeZone\0CET\0")
UTC = message("S", b"TimeZone\0UTC\0")
BATCH_END = complete("SET") + ready()
DISCARD_SEQUENCES = query("DISCARD SEQUENCES")


def text_of(message: bytes) -> bytes:
    """The SQL of one Query message."""
    assert message[:1] == b"Q", message
    assert len(message) == int.from_bytes(message[1:5], "big") + 1, message
    return message[5:-1]


def say(recorder: Recorder, sent: bytes, answered: bytes) -> bytes:
    """Let the client send this and the backend answer that; returns what the backend is sent after the answer."""
    recorder.from_client(sent)
    recorder.take()
    recorder.from_backend(answered)
    to_backend, to_client = recorder.take()
    assert to_client == answered
    return to_backend


def question(recorder: Recorder, sent: bytes, answered: bytes) -> bytes:
    """As ``say``, where what the backend is sent is a question; its SQL."""
    released = recorder.released
    asked = text_of(say(recorder, sent, answered))
    assert recorder.released == released
    assert recorder.linked
    return asked


def names_in(question: bytes) -> set[str]:
    """The settings that a question names."""
    (names,) = re.findall(rb"ARRAY\[([^]]*)\]", question)
    return {name.decode().strip("'") for name in names.split(b", ") if name}


def set_to(recorder: Recorder, name: str, value: bytes) -> None:
    """The client sets this, by one SET."""
    question(recorder, query(f"SET {name} = 1"), complete("SET") + ready())
    recorder.from_backend(answer(is_set(name.lower(), value)))
    assert recorder.take() == (b"", b"")
    assert not recorder.linked


def prepare(recorder: Recorder, name: str, sql: str = "SELECT 1") -> bytes:
    """Prepare a statement by message; returns the name that the backend knows it by."""
    recorder.from_client(parse(sql, name) + SYNC)
    sent, _ = recorder.take()
    recorder.from_backend(PARSED + ready())
    recorder.take()
    return sent[5 : sent.index(0, 5)]


def make_private(recorder: Recorder, sql: str = "EXECUTE s") -> bytes:
    """Run a text that names prepared statements; returns what the backend is sent before it."""
    recorder.from_client(query(sql))
    sent, to_client = recorder.take()
    assert to_client == b""
    assert sent.endswith(query(sql))
    return sent[: -len(query(sql))]


def touch(recorder: Recorder, sql: str = "SELECT nextval('s')") -> None:
    """The client takes a value of a sequence, or may have."""
    if sql.startswith("COPY"):
        recorder.from_client(query(sql))
        recorder.from_backend(message("G", bytes(3)))
        recorder.from_client(COPY_DONE)
        recorder.from_backend(complete("COPY 0") + ready())
        recorder.take()
    else:
        say(recorder, query(sql), complete("X") + ready())
    assert not recorder.linked
