"""One connection that we ask questions over: the extended protocol, one statement at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from struct import Struct
from typing import Final

from interceptor.errors import BACKEND_LOST, HELPER_QUERY, BackendError
from interceptor.protocol import messages
from interceptor.services import Parameter, Row, Value
from pooler.helpers.incoming import MAX_MESSAGE, Incoming
from pooler.helpers.values import Decode, decoder, encode_parameter
from pooler.login import LoggedIn

__all__ = ["MAX_MESSAGE", "HelperConnection"]

_INT16: Final = Struct("!H")
_INT32: Final = Struct("!i")
_FIELD: Final = Struct("!IHIhiH")

_IGNORED: Final = frozenset(
    [messages.NOTICE_RESPONSE, messages.NOTIFICATION_RESPONSE, messages.PARAMETER_STATUS, messages.PARSE_COMPLETE,
     messages.BIND_COMPLETE, messages.NO_DATA, messages.EMPTY_QUERY_RESPONSE, messages.COMMAND_COMPLETE]
)  # fmt: skip


class HelperConnection(Incoming):
    """A connection that has logged in. The caller asks one thing at a time, and closes it.

    After a BackendError whose failure isn't HELPER_QUERY the connection is gone (``closed``).
    """

    def __init__(self, logged_in: LoggedIn) -> None:
        super().__init__(logged_in)
        self.process_id = logged_in.process_id
        self.in_transaction = False

    async def pages(
        self, sql: str, parameters: Sequence[Parameter], size: int, timeout: float
    ) -> AsyncGenerator[list[Row], None]:
        """Run one statement, and give its rows in lists of at most ``size``.

        ``timeout``: seconds that the server may take for each of them. Raises BackendError; when it is the statement
        that failed, or when the iterator is closed early, the connection stays usable.
        """
        self._check()
        self.transport.write(_encode_statement(sql, parameters, size))
        more = _encode_execute(size) + messages.FLUSH_MESSAGE
        synced = False
        decoders: list[Decode] = []
        rows: list[Row] = []
        try:
            while True:
                kind, body = await self.next(timeout)
                if kind == messages.DATA_ROW:
                    rows.append(_decode_row(body, decoders))
                elif kind == messages.ROW_DESCRIPTION:
                    decoders = _decode_description(body)
                elif kind == messages.PORTAL_SUSPENDED:
                    yield rows
                    rows = []
                    self._check()  # it may have ended while the rows were looked at
                    self.transport.write(more)
                elif kind == messages.ERROR_RESPONSE:
                    raise _statement_error(body)
                elif kind in (messages.COMMAND_COMPLETE, messages.EMPTY_QUERY_RESPONSE):
                    break
                elif kind not in _IGNORED:
                    raise self.broken(f"message type {kind} in answer to a statement")
            synced = True
            await self._sync(timeout)
            if rows:
                yield rows
        finally:
            if not synced and not self.closed:
                await self._sync(timeout)

    def close(self) -> None:
        """Say goodbye. ``wait_closed`` tells when the server has hung up."""
        if not self.closed:
            self.closed = True
            if not self.transport.is_closing():
                self.transport.write(messages.TERMINATE_MESSAGE)
                self.transport.close()

    # --- Inside ------------------------------------------------------------------------------------------------------

    async def _sync(self, timeout: float) -> None:
        """End the statement: what it still had to say is dropped."""
        self.transport.write(messages.SYNC_MESSAGE)
        while True:
            kind, body = await self.next(timeout)
            if kind == messages.READY_FOR_QUERY:
                self.in_transaction = body != b"I"
                return

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.closed:
            raise BackendError(BACKEND_LOST, f"the connection to the server at {self.address} is closed")


def _encode_statement(sql: str, parameters: Sequence[Parameter], size: int) -> bytes:
    """Parse, Bind, Describe, Execute, Flush; the unnamed statement and portal, all in text."""
    encoded = [encode_parameter(value) for value in parameters]
    values = b"".join(b"\xff\xff\xff\xff" if one is None else _INT32.pack(len(one)) + one for one in encoded)
    return b"".join(
        [
            messages.encode_message(messages.PARSE, b"\0" + sql.encode() + b"\0\0\0"),
            messages.encode_message(messages.BIND, b"\0\0\0\0" + _INT16.pack(len(encoded)) + values + b"\0\0"),
            messages.encode_message(messages.DESCRIBE, b"P\0"),
            _encode_execute(size),
            messages.FLUSH_MESSAGE,
        ]
    )


def _encode_execute(size: int) -> bytes:
    return messages.encode_message(messages.EXECUTE, b"\0" + _INT32.pack(size))


def _decode_description(body: bytes) -> list[Decode]:
    (count,) = _INT16.unpack_from(body)
    position = 2
    decoders = []
    for _ in range(count):
        position = body.index(0, position) + 1
        _table, _column, type_oid, *_rest = _FIELD.unpack_from(body, position)
        decoders.append(decoder(type_oid))
        position += _FIELD.size
    return decoders


def _decode_row(body: bytes, decoders: Sequence[Decode]) -> Row:
    position = 2
    values: list[Value] = []
    for decode in decoders:
        (length,) = _INT32.unpack_from(body, position)
        position += 4
        if length < 0:
            values.append(None)
        else:
            values.append(decode(body[position : position + length]))
            position += length
    return tuple(values)


def _statement_error(body: bytes) -> BackendError:
    fields = messages.decode_error_fields(body)
    return BackendError(
        HELPER_QUERY,
        fields.get("M", "the server gave no reason"),
        sqlstate=fields.get("C", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
    )
