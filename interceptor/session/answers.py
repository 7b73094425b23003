"""Answers that plugins give, as portals: described, and run at once or in parts (Execute with a row limit)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from interceptor.errors import QUERY_CANCELED
from interceptor.hooks.answers import PIECE_ROWS, Answer, Piece, describe_columns, over_limit
from interceptor.hooks.decisions import Block, Replay, Respond, Shape
from interceptor.protocol import messages
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.rows import encode_command_complete, encode_error_fields, encode_parameter_description
from interceptor.protocol.text_style import DEFAULT_STYLE, TextStyle
from interceptor.session.positions import map_position

if TYPE_CHECKING:
    from interceptor.hooks.chain import Outcome
    from interceptor.hooks.statement import Statement
    from interceptor.hooks.waits import Waits
    from interceptor.session.observed import Run

PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"


def encode_block(block: Block, style: TextStyle = DEFAULT_STYLE) -> bytes:
    """The ErrorResponse of a Block."""
    fields = (
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
    )
    return encode_error_fields(fields, style)


CANCELED: Final = encode_block(Block(QUERY_CANCELED.sqlstate, "canceling statement due to user request"))


def encode_refusal(outcome: Outcome, style: TextStyle) -> bytes:
    """The ErrorResponse of an outcome that is a Block. Its position is one of the text that it was decided about."""
    block = outcome.action
    assert isinstance(block, Block)
    execution = outcome.execution
    return encode_block(relocated(block, execution.original.statement, execution.statement), style)


def relocated(block: Block, original: Statement, decided_about: Statement) -> Block:
    """A Block with its position in the client's text, or none."""
    if not block.position or decided_about is original:
        return block
    return replace(block, position=map_position(original.text, decided_about.text, block.position))


def encode_shape(shape: Shape, style: TextStyle) -> bytes:
    """The answer to a Describe of a statement."""
    oids = [find_type(name).oid for name in shape.parameters]
    rows = NO_DATA if shape.columns is None else describe_columns(shape.columns, (), style)
    return encode_parameter_description(oids) + rows


class LocalPortal:
    """The answer to one execution. Rows are taken from it once."""

    __slots__ = (
        "_answer",
        "_closed",
        "_in_parts",
        "_limits",
        "_replayed",
        "_sent_bytes",
        "_sent_rows",
        "count",
        "description",
        "outcome",
        "run",
        "stands",
        "tag",
    )

    def __init__(self, outcome: Outcome, waits: Waits, formats: Sequence[int], style: TextStyle) -> None:
        """Raises ValueError for result formats that don't go with the columns."""
        decision = outcome.action
        self.outcome = outcome
        self.run: Run | None = None
        """Whom its observers are told of."""
        self.stands = False
        """The backend has, or had, a portal of ours that shares its fate (``stand_ins``)."""
        self.count = 0
        """Rows sent by the Execute under way, or the last one."""
        self._answer: Answer | None = None
        self._replayed: Iterator[bytes] | None = None
        self._in_parts = False
        self._closed = False
        self._limits = outcome.limits if outcome.limits.rows or outcome.limits.bytes else None
        self._sent_rows = self._sent_bytes = 0
        if isinstance(decision, Replay):
            self.description = messages.encode_message(messages.ROW_DESCRIPTION, decision.description)
            self.tag = decision.tag
            self._replayed = iter(decision.rows)
            return
        assert isinstance(decision, Respond) and outcome.hook is not None
        self.description = describe_columns(decision.columns, formats, style)
        self.tag = ""
        self._answer = Answer(decision, outcome.hook, waits, formats=formats, style=style, limits=outcome.limits)

    def pull(self, most: int) -> Piece | Awaitable[Piece]:
        """The next rows, at most ``most`` if that is not 0."""
        if self._answer is not None:
            return self._answer.pull(most)
        assert self._replayed is not None
        if not most and not self._in_parts:
            piece = next(self._replayed, None)
            if piece is None:
                return Piece(b"", 0, done=True)
            counts = self.run is not None or self._limits is not None
            return self._within_limits(Piece(piece, _count(piece) if counts else 0))
        return self._within_limits(self._take_rows(self._replayed, most or PIECE_ROWS))

    def _within_limits(self, piece: Piece) -> Piece:
        """The piece of a Replay, or what ends it: an Answer sees to its limits itself."""
        limits = self._limits
        if limits is None:
            return piece
        self._sent_rows += piece.rows
        self._sent_bytes += len(piece.messages)
        if (limits.rows and self._sent_rows > limits.rows) or (limits.bytes and self._sent_bytes > limits.bytes):
            return Piece(b"", 0, block=over_limit(limits))
        return piece

    def _take_rows(self, pieces: Iterator[bytes], most: int) -> Piece:
        """So many rows of a Replay, whose pieces may have several."""
        made: list[bytes] = []
        rows = 0
        self._in_parts = True
        while rows < most:
            piece = next(pieces, None)
            if piece is None:
                return Piece(b"".join(made), rows, done=True)
            position = 0
            while position < len(piece) and rows < most:
                position += 1 + int.from_bytes(piece[position + 1 : position + 5], "big")
                rows += 1
            made.append(piece[:position])
            if position < len(piece):
                self._replayed = pieces = chain((piece[position:],), pieces)
        return Piece(b"".join(made), rows)

    def complete(self) -> bytes:
        """The CommandComplete message. As PostgreSQL's, it counts the rows of the last Execute alone."""
        if self._answer is not None:
            return encode_command_complete(self._answer.tag(self.count))
        return encode_command_complete(f"SELECT {self.count}" if self._in_parts else self.tag)

    def close(self) -> Awaitable[None] | None:
        """Nobody wants more of it. An awaitable has to be awaited. Done once, whoever asks first."""
        if self._closed or self._answer is None:
            return None
        self._closed = True
        return self._answer.close()


def _count(rows: bytes) -> int:
    """How many DataRow messages these are."""
    count = position = 0
    while position < len(rows):
        position += 1 + int.from_bytes(rows[position + 1 : position + 5], "big")
        count += 1
    return count
