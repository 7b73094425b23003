"""The rows of a Respond as messages: pulled as the client reads, checked, counted, and closed at the end.

What goes wrong ends the answer with an error for the client, whatever the policy: rows may have been sent already, and
nobody else has the rest.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from typing import Final, cast

from interceptor.errors import PLUGIN_FAILED, RESULT_LIMIT
from interceptor.hooks.containment import Hook, HookFailure, is_awaitable
from interceptor.hooks.decisions import Block, Column, Limits, Respond, Row
from interceptor.hooks.gathering import PIECE_BYTES, PIECE_SECONDS, Gatherer
from interceptor.hooks.waits import Waits
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.rows import ColumnDescription, RowEncoder, encode_row_description
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle

__all__ = ["Answer", "Piece", "describe_columns", "over_limit"]

PIECE_ROWS: Final = 500


def describe_columns(columns: Sequence[Column], formats: Sequence[int] = (), style: TextStyle = DEFAULT_STYLE) -> bytes:
    """The RowDescription message of columns. Raises ValueError if formats and columns don't go together."""
    return encode_row_description(_descriptions(columns), formats, style)


def _descriptions(columns: Sequence[Column]) -> list[ColumnDescription]:
    return [ColumnDescription(one.name, find_type(one.type), one.table, one.number) for one in columns]


def over_limit(limits: Limits) -> Block:
    """What ends a result that is larger than it may be."""
    bounds = [f"{limits.rows} rows"] if limits.rows else []
    bounds += [f"{limits.bytes} bytes"] if limits.bytes else []
    return Block(
        RESULT_LIMIT.sqlstate,
        f"({RESULT_LIMIT.code}) the result is larger than it may be: {' and '.join(bounds)}",
        hint="Ask for less, with LIMIT or a narrower WHERE clause.",
    )


class Piece:
    """Some rows of an answer."""

    __slots__ = ("block", "done", "messages", "rows")

    def __init__(self, messages: bytes, rows: int, *, done: bool = False, block: Block | None = None) -> None:
        self.messages: Final = messages
        """DataRow messages."""
        self.rows: Final = rows
        self.done: Final = done
        """There are no more. False says nothing: the next piece may be empty."""
        self.block: Final = block
        """The answer has failed, after these rows."""


class _Unfit(Exception):
    """A row does not fit the columns."""


class Answer:
    """One portal's answer. Pull pieces until one is ``done`` or has a ``block``; ``close`` it in any case."""

    __slots__ = ("_encoder", "_hook", "_limits", "_respond", "_rows", "_sent_bytes", "_sent_rows", "_waits")

    def __init__(
        self,
        respond: Respond,
        hook: Hook,
        waits: Waits,
        *,
        formats: Sequence[int] = (),
        style: TextStyle = DEFAULT_STYLE,
        limits: Limits | None = None,
    ) -> None:
        """``hook``: of the plugin that decided it (``Outcome.hook``). Raises ValueError if the client's formats are
        neither none, one, nor as many as there are columns."""
        self._respond: Final = respond
        self._hook: Final = hook
        self._waits: Final = waits
        self._limits: Final = limits or Limits()
        self._encoder: Final = RowEncoder(_descriptions(respond.columns), formats, style)
        self._rows: Iterator[Row] | Gatherer | None = None
        self._sent_rows = 0
        self._sent_bytes = 0

    def tag(self, rows: int) -> str:
        """The command tag after an Execute that returned so many rows."""
        return self._respond.tag or f"SELECT {rows}"

    def pull(self, most: int = 0) -> Piece | Awaitable[Piece]:
        """The next rows, at most ``most`` if that is not 0. Nothing is raised, and a call must end before the next."""
        if self._rows is None:
            started = self._hook.call(self._start)
            if isinstance(started, (Block, HookFailure)):
                return self._ended(started)
        most = min(most, PIECE_ROWS) if most else PIECE_ROWS
        if isinstance(self._rows, Gatherer):
            return self._pull_later(self._rows, most)
        made: list[bytes] = []
        return self._finish(made, self._hook.call_always(self._collect, self._rows, most, made))

    def _start(self) -> None:
        rows: object = self._respond.rows
        if hasattr(rows, "__aiter__"):
            self._rows = Gatherer(aiter(cast("AsyncIterable[Row]", rows)), self._hook, self._waits, self._encoded)
        else:
            self._rows = iter(cast("Sequence[Row]", rows))

    def _collect(self, rows: Iterator[Row], most: int, made: list[bytes]) -> bool:
        """Fill ``made`` with messages. Returns whether there are no more rows."""
        size, end = 0, time.monotonic() + PIECE_SECONDS
        for row in rows:
            made.append(self._encoded(row))
            size += len(made[-1])
            if len(made) >= most or size >= PIECE_BYTES or time.monotonic() > end:
                return False
        return True

    async def _pull_later(self, gatherer: Gatherer, most: int) -> Piece:
        return self._finish(*await gatherer.pull(most))

    def _encoded(self, row: Row) -> bytes:
        try:
            return self._encoder.encode(row)
        except ValueError as error:
            raise _Unfit(str(error)) from None

    def _finish(self, made: list[bytes], answer: object) -> Piece:
        limits = self._limits
        self._sent_rows += len(made)
        self._sent_bytes += sum(map(len, made))
        if (limits.rows and self._sent_rows > limits.rows) or (limits.bytes and self._sent_bytes > limits.bytes):
            return Piece(b"", 0, block=over_limit(limits))
        if isinstance(answer, bool):
            return Piece(b"".join(made), len(made), done=answer)
        return self._ended(answer, made)

    def _ended(self, answer: object, made: Sequence[bytes] = ()) -> Piece:
        if isinstance(answer, Block):
            block = answer
        else:
            assert isinstance(answer, HookFailure)
            block = answer.as_block()
            if isinstance(answer.error, _Unfit):
                name = self._hook.plugin.name
                block = Block(
                    PLUGIN_FAILED.sqlstate,
                    f"({PLUGIN_FAILED.code}) a row of the plugin {name} is wrong: {answer.error}",
                )
        return Piece(b"".join(made), len(made), block=block)

    def close(self) -> Awaitable[None] | None:
        """Let the source of the rows know that no more are wanted. An awaitable has to be awaited."""
        rows, source = self._rows, self._respond.rows
        if isinstance(rows, Gatherer):
            return self._close_later(rows, source)
        if rows is not None and rows is not source:
            self._hook.call_always(_close, rows)
        closing = self._hook.call_always(_close, source)
        return self._end(cast("Awaitable[object]", closing)) if is_awaitable(closing) else None

    async def _close_later(self, gatherer: Gatherer, source: object) -> None:
        await gatherer.close()
        if source is not gatherer.rows:
            closing = self._hook.call_always(_close, source)
            if is_awaitable(closing):
                await self._end(cast("Awaitable[object]", closing))

    async def _end(self, closing: Awaitable[object]) -> None:
        await self._hook.wait(closing, self._waits)


def _close(rows: object) -> object:
    """Close what can be closed. What is awaitable has to be awaited."""
    closing = cast("Callable[[], object] | None", getattr(rows, "aclose", None) or getattr(rows, "close", None))
    return None if closing is None else closing()
