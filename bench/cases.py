"""The hot functions that ``bench.micro`` times: one entry in ``CASES`` for each.

A case that stands for a query gets what pgbench -S and PostgreSQL send, byte for byte, without a socket in between.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

from interceptor.errors import BackendError, ClientError
from interceptor.protocol.framing import FrameBuffer
from interceptor.session import BackendSession, ClientSession, PoolMode
from interceptor.session.listening import Notifications
from interceptor.session.reported import reported_of
from interceptor.session.settings import settings_of, transition
from interceptor.sql.analysis import StatementCache, analyse
from interceptor.sql.effects import Effect
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.statements import analyse_facts

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """Something to time. ``prepare`` makes the function, which does the work ``calls`` times when it is called once."""

    name: str
    prepare: Callable[[], Callable[[], object]]
    calls: int = 1
    budget_us: float | None = None


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


_ROW_DESCRIPTION = _message(b"T", struct.pack("!h", 1) + b"abalance\0" + struct.pack("!ihihih", 16384, 3, 23, 4, -1, 0))
_ROW = _message(b"D", struct.pack("!hi", 1, 1) + b"0")
_COMPLETE = _message(b"C", b"SELECT 1\0")
_READY = _message(b"Z", b"I")
_SQL = b"SELECT abalance FROM pgbench_accounts WHERE aid = %d;"
_QUERIES = 4096  # different texts, so that a simple query is as new to the cache as pgbench's are


class _ClientHost:
    """A client whose socket takes everything, and whose pool has always one backend."""

    def __init__(self) -> None:
        self.sent = 0
        reported = reported_of({b"standard_conforming_strings": b"on", b"client_encoding": b"UTF8"})
        self.backend_session = BackendSession(_BackendHost(), reported)
        self.session = ClientSession(self, PoolMode.TRANSACTION, StatementCache().effects, reported)

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    @property
    def is_full(self) -> bool:
        return False

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        raise AssertionError("no plugin is at work here")

    async def drain(self) -> None:
        raise AssertionError("no plugin is at work here")

    def acquire(self, target: str | None) -> BackendSession | None:
        self.backend_session.link(self.session)
        return self.backend_session

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        raise AssertionError(pins)

    def notifications(self) -> Notifications | None:
        return None

    def catch_up(self) -> None:
        pass

    def on_defining(self) -> None:
        raise AssertionError("nothing is made")

    def on_uncovering(self) -> None:
        raise AssertionError("nothing is taken away")

    def on_defined(self) -> None:
        raise AssertionError("nothing is defined")

    def on_finished(self) -> None:
        raise AssertionError

    def on_failed(self, error: ClientError) -> None:
        raise AssertionError(error)

    def pause_reading(self) -> None:
        raise AssertionError

    def resume_reading(self) -> None:
        raise AssertionError


class _BackendHost:
    """A backend whose socket takes everything."""

    def write(self, data: bytes) -> None:
        pass

    def cancel(self, on_done: Callable[[bool], None]) -> None:
        raise AssertionError("no result has a limit here")

    @property
    def is_full(self) -> bool:
        return False

    async def drain(self) -> None:
        raise AssertionError("no plugin is at work here")

    def release(self) -> None:
        pass

    def on_error(self, sqlstate: bytes) -> None:
        """Nobody counts."""

    def on_failed(self, error: BackendError) -> None:
        raise AssertionError(error)


def _conversation(requests: list[bytes], reply: bytes) -> Callable[[], object]:
    """A function that asks the next of ``requests`` and hands in ``reply``, all the way through the session engine."""
    host = _ClientHost()
    ask, answer = host.session.feed, host.backend_session.feed
    turn = 0

    def query() -> None:
        nonlocal turn
        ask(requests[turn])
        answer(reply)
        turn = (turn + 1) % len(requests)

    query()
    assert host.sent == len(reply), "the reply did not come through"
    assert host.session.backend is None, "the backend was not released"
    return query


def _simple_query() -> Callable[[], object]:
    requests = [_message(b"Q", _SQL % number + b"\0") for number in range(_QUERIES)]
    return _conversation(requests, _ROW_DESCRIPTION + _ROW + _COMPLETE + _READY)


def _extended_query() -> Callable[[], object]:
    request = _message(b"P", b"\0" + _SQL.replace(b"%d", b"$1") + b"\0\0\0")
    request += _message(b"B", b"\0\0" + struct.pack("!hhi", 0, 1, 5) + b"12345" + struct.pack("!hh", 1, 0))
    request += _message(b"D", b"P\0") + _message(b"E", b"\0\0\0\0\0") + _message(b"S", b"")
    reply = _message(b"1", b"") + _message(b"2", b"") + _ROW_DESCRIPTION + _ROW + _COMPLETE + _READY
    return _conversation([request], reply)


def _large_result() -> Callable[[], object]:
    request = _message(b"Q", _SQL % 1 + b"\0")
    return _conversation([request], _ROW_DESCRIPTION + _ROW * 1000 + _COMPLETE + _READY)


def _frame_buffer() -> Callable[[], object]:
    """A login's worth of messages from a backend, found one by one."""
    frames = b"".join(_message(b"S", b"name of a parameter\0its value\0") for _ in range(16))
    buffer = FrameBuffer(1024)

    def find_frames() -> None:
        buffer.feed(frames)
        while buffer.next_frame() is not None:
            pass

    return find_frames


def _seen_text() -> Callable[[], object]:
    effects = StatementCache().effects
    sql = _SQL.replace(b"%d", b"$1")
    return lambda: effects(sql)


def _unseen_text() -> Callable[[], object]:
    numbers = count()
    effects = StatementCache().effects
    return lambda: effects(_SQL % next(numbers))


def _five_settings() -> Callable[[], object]:
    """What a backend is sent for a client with five settings after one with five others of the same names."""
    names = ("app.tenant", "application_name", "search_path", "statement_timeout", "work_mem")
    one, other = (settings_of({name: value for name in names}) for value in (b"first", b"second"))
    return lambda: transition(one, other)


def _parsed_text() -> Callable[[], object]:
    """A primary-key SELECT that no quick look can judge, as it calls a function."""
    numbers = count()
    return lambda: analyse(b"SELECT upper(name) FROM customers WHERE id = %d" % next(numbers))


def _seen_facts() -> Callable[[], object]:
    cache = FactsCache()
    sql = b"SELECT id, name, email FROM users WHERE id = $1"
    cache.facts(sql)
    return lambda: cache.facts(sql)


def _unseen_facts() -> Callable[[], object]:
    return lambda: analyse_facts(b"SELECT id, name, email FROM users WHERE id = $1")


CASES = (
    Case("a simple query and its answer, session engine", _simple_query),
    Case("an extended query and its answer, session engine", _extended_query),
    Case("a row of a large result, session engine", _large_result, calls=1000),
    Case("a frame of a login, by FrameBuffer", _frame_buffer, calls=16),
    Case("the effects of a seen text", _seen_text),
    Case("the effects of an unseen primary-key SELECT", _unseen_text, budget_us=25),
    Case("the effects of an unseen SELECT that must be parsed", _parsed_text),
    Case("from five settings of a client to those of the next", _five_settings),
    Case("the facts of a seen text", _seen_facts),
    Case("the facts of an unseen primary-key SELECT", _unseen_facts, budget_us=25),
)
