"""Answers that a plugin gives: rows from Python, encoded as the client asked, pulled as fast as it reads.

A ``LocalAnswer`` is a portal: it can be described, and run in parts (Execute with a row limit).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

from interceptor.errors import PLUGIN_ANSWER
from interceptor.hooks.decisions import Blocked, Replay, Respond, Row
from interceptor.protocol import messages
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.rows import (
    ColumnDescription,
    RowEncoder,
    encode_command_complete,
    encode_error_fields,
    encode_row_description,
)
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle

if TYPE_CHECKING:
    from interceptor.hooks.decisions import Block, Column

PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"

PIECE: Final = 32 * 1024
"""Bytes of rows that are made before the client's socket is looked at again."""


class AnswerFailed(Exception):
    """The plugin's rows ended with an error, which the client is to get: the ErrorResponse message."""

    def __init__(self, error: bytes, reason: str) -> None:
        super().__init__(reason)
        self.error = error


def encode_block(block: Block, style: TextStyle = DEFAULT_STYLE) -> bytes:
    """The ErrorResponse of a Block."""
    return encode_error_fields(
        (
            ("S", "ERROR"),
            ("V", "ERROR"),
            ("C", block.sqlstate),
            ("M", block.message),
            ("D", block.detail),
            ("H", block.hint),
            ("P", str(block.position) if block.position else ""),
            ("s", block.schema),
            ("t", block.table),
            ("c", block.column),
            ("n", block.constraint),
        ),
        style,
    )


def describe(columns: tuple[Column, ...]) -> tuple[ColumnDescription, ...]:
    """The columns as RowDescription has them."""
    return tuple(
        ColumnDescription(column.name, find_type(column.type), column.table, column.number) for column in columns
    )


class LocalAnswer:
    """The answer to one execution. Rows are taken from it once."""

    __slots__ = ("_encoder", "_rows", "count", "description", "plugin", "tag")

    def __init__(
        self,
        decision: Respond | Replay,
        plugin: str,
        formats: tuple[int, ...] = (),
        style: TextStyle = DEFAULT_STYLE,
    ) -> None:
        """``plugin`` is named where its rows don't fit. Raises AnswerFailed for formats that don't fit the columns."""
        self.plugin = plugin
        self.count = 0
        self._encoder: RowEncoder | None = None
        self._rows: Iterator[Row] | AsyncIterator[Row] | Iterator[bytes]
        if isinstance(decision, Replay):
            self.description = messages.encode_message(messages.ROW_DESCRIPTION, decision.description)
            self.tag = decision.tag
            self.count = decision.count
            self._rows = iter(decision.rows)
            return
        columns = describe(decision.columns)
        try:
            self.description = encode_row_description(columns, formats, style)
            self._encoder = RowEncoder(columns, formats, style)
        except ValueError as error:
            raise self._failure(str(error), "08P01") from None
        self.tag = decision.tag
        rows = decision.rows
        self._rows = aiter(rows) if hasattr(rows, "__aiter__") else iter(rows)

    @property
    def waits(self) -> bool:
        """Whether its rows have to be awaited."""
        return hasattr(self._rows, "__anext__")

    def take(self, max_rows: int) -> tuple[bytes, bool]:
        """The next rows, some ``PIECE`` of bytes or ``max_rows`` (0: any number), and whether these are the last.

        Only if it doesn't wait. Raises AnswerFailed.
        """
        out: list[bytes] = []
        size = taken = 0
        rows = self._rows
        assert isinstance(rows, Iterator)
        while size < PIECE and (not max_rows or taken < max_rows):
            try:
                row = next(rows)
                piece = self._encode(row)
            except StopIteration:
                return b"".join(out), True
            except AnswerFailed:
                raise
            except Exception as error:
                raise self._fault(error) from error
            out.append(piece)
            taken += 1
            size += len(piece)
        return b"".join(out), False

    async def take_later(self, max_rows: int) -> tuple[bytes, bool, int]:
        """As ``take``, with the number of rows, of rows that have to be awaited."""
        out: list[bytes] = []
        size = taken = 0
        rows = self._rows
        assert isinstance(rows, AsyncIterator)
        while size < PIECE and (not max_rows or taken < max_rows):
            try:
                piece = self._encode(await anext(rows))
            except StopAsyncIteration:
                return b"".join(out), True, taken
            except AnswerFailed:
                raise
            except Exception as error:
                raise self._fault(error) from error
            out.append(piece)
            taken += 1
            size += len(piece)
        return b"".join(out), False, taken

    def complete(self) -> bytes:
        """The CommandComplete message."""
        return encode_command_complete(self.tag or f"SELECT {self.count}")

    async def close(self) -> None:
        """Nobody wants more of it: let the plugin's iterator end."""
        rows = self._rows
        if hasattr(rows, "aclose"):
            await rows.aclose()
        elif hasattr(rows, "close"):
            rows.close()

    def _encode(self, row: Row | bytes) -> bytes:
        if self._encoder is None:
            assert isinstance(row, bytes)
            return row
        self.count += 1
        try:
            return self._encoder.encode(row)  # type: ignore[arg-type]
        except ValueError as error:
            raise self._failure(str(error), "22P02") from None

    def _fault(self, error: Exception) -> AnswerFailed:
        if isinstance(error, Blocked):
            return AnswerFailed(encode_block(error.block), error.block.message)
        return self._failure(f"{type(error).__name__}: {error}", PLUGIN_ANSWER.sqlstate)

    def _failure(self, reason: str, sqlstate: str) -> AnswerFailed:
        text = f"({PLUGIN_ANSWER.code}) the plugin {self.plugin} gave an answer that can't be sent: {reason}"
        return AnswerFailed(messages.encode_error("ERROR", sqlstate, text), text)
