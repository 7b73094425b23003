"""A model of a PostgreSQL backend: what it answers, and whether anything is outstanding, for a few texts of SQL.

Written from PostgreSQL's documentation and postgres.c (PostgresMain, SocketBackend), not from the product, so that the
two can disagree. Answers are kept back until the server would flush them. It has no data: what a statement does is told
by its text (``TEXTS``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import unpack_from

from tests.support.recorder import COPY_IN, ROW_DESCRIPTION, complete, error, message, ready, row

__all__ = ["TEXTS", "TEXTS_OF_PREPARED", "ModelServer"]

SYNTAX_ERROR = b"this is no SQL"
PREPARE = b"PREPARE s AS SELECT 'a'"
EXECUTE = b"EXECUTE s"
DEALLOCATE = b"DEALLOCATE s"
DEALLOCATE_ALL = b"DEALLOCATE ALL"
COPY_FROM = b"COPY t FROM STDIN"
COPY_TO = b"COPY t TO STDOUT"
FAILS = b"SELECT 1/0"
NOTICES = b"SELECT notice()"
SETS = b"SET TimeZone = 'CET'"
TEXTS = (
    b"SELECT 'a'",
    b"SELECT 'b'",
    FAILS,
    b"BEGIN",
    b"COMMIT",
    b"ROLLBACK",
    b"",
    COPY_FROM,
    COPY_TO,
    NOTICES,
    SETS,
    SYNTAX_ERROR,
)
"""What it understands."""

TEXTS_OF_PREPARED = (PREPARE, EXECUTE, DEALLOCATE, DEALLOCATE_ALL)
"""And what SQL has for prepared statements."""

BAD_ROW = b"bad"
"""CopyData that holds this makes a COPY fail."""

NOTICE = message("N", b"SNOTICE\0VNOTICE\0C00000\0Mhear\0\0")
NO_DATA = message("n")


class _Failed(Exception):
    """A statement or a message failed, with this SQLSTATE and text."""

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.reply = message("E", f"SERROR\0VERROR\0C{sqlstate}\0M{text}\0\0".encode())


def _no_statement(name: bytes) -> _Failed:
    text = (
        f'prepared statement "{name.decode()}" does not exist' if name else "unnamed prepared statement does not exist"
    )
    return _Failed("26000", text)


def _no_portal(name: bytes) -> _Failed:
    return _Failed("34000", f'portal "{name.decode()}" does not exist')


_ABORTED = "current transaction is aborted, commands ignored until end of transaction block"


@dataclass
class _Portal:
    text: bytes
    done: bool = False


@dataclass
class ModelServer:
    """One backend, from the end of its login on. ``name`` is in every row, so that answers can be told apart."""

    name: bytes = b"server"
    status: str = "I"
    closed: bool = False
    skipping: bool = False
    """Up to the next Sync."""
    copying: str = ""
    """"Q" or "E": COPY FROM STDIN was begun by a Query or an Execute."""
    unflushed: bytes = b""
    _input: bytes = b""
    _flushed: bytes = b""
    _rows: int = 0
    _statements: dict[bytes, bytes] = field(default_factory=dict)
    _portals: dict[bytes, _Portal] = field(default_factory=dict)

    @property
    def outstanding(self) -> bool:
        """Whether it is in the midst of anything: a message, a batch, a COPY, a transaction, an unsent answer."""
        return bool(self._input or self.unflushed or self.skipping or self.copying or self.status != "I")

    @property
    def mid_message(self) -> bool:
        """Whether the beginning of a message has come, and not its end."""
        return bool(self._input)

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client, and return what the server sends."""
        self._input += data
        while not self.closed and len(self._input) >= 5:
            (length,) = unpack_from("!I", self._input, 1)
            if len(self._input) <= length:
                break
            kind, body = self._input[:1].decode("latin-1"), self._input[5 : length + 1]
            self._input = self._input[length + 1 :]
            self._on_message(kind, body)
        flushed, self._flushed = self._flushed, b""
        return flushed

    def _send(self, data: bytes) -> None:
        self.unflushed += data

    def _flush(self) -> None:
        self._flushed += self.unflushed
        self.unflushed = b""

    def _end_of_query(self) -> None:
        if self.status == "I":
            self._portals.clear()
        self._send(ready(self.status))
        self._flush()

    def _on_message(self, kind: str, body: bytes) -> None:
        if kind == "X":
            self.closed = True
        elif self.copying:
            self._on_copy_message(kind, body)
        elif kind == "S":
            self.skipping = False
            self._end_of_query()
        elif kind in "dcf" or self.skipping:
            pass
        elif kind == "H":
            self._flush()
        elif kind == "Q":
            self._on_query(body)
        elif kind == "F":
            self._on_function_call()
        else:
            try:
                self._on_extended(kind, body)
            except _Failed as failed:
                self._fail(failed)
                self.skipping = True
                self._flush()

    def _fail(self, failed: _Failed) -> None:
        self._send(failed.reply)
        if self.status == "T":
            self.status = "E"

    def _on_function_call(self) -> None:
        if self.status == "E":
            self._send(_Failed("25P02", _ABORTED).reply)
        else:
            self._send(message("V", b"\xff\xff\xff\xff"))
        self._end_of_query()

    def _on_query(self, body: bytes) -> None:
        self._statements.pop(b"", None)
        self._portals.pop(b"", None)
        text = body[:-1]
        try:
            self._check(text)
            if text == COPY_FROM:
                self._begin_copy("Q")
                return
            self._run(text, described=True)
        except _Failed as failed:
            self._fail(failed)
        self._end_of_query()

    def _check(self, text: bytes) -> None:
        if text == SYNTAX_ERROR:
            raise _Failed("42601", "syntax error")
        if self.status == "E" and text not in (b"", b"COMMIT", b"ROLLBACK"):
            raise _Failed("25P02", _ABORTED)

    def _run(self, text: bytes, *, described: bool, limit: int = 0) -> bool:
        """Run a statement. False if it stopped at ``limit`` rows."""
        if text == b"":
            self._send(message("I"))
        elif text == FAILS:
            raise _Failed("22012", "division by zero")
        elif text == SETS:
            self._send(complete("SET") + message("S", b"TimeZone\0CET\0"))
        elif text == COPY_TO:
            self._send(message("H", bytes(5)) + message("d", self.name) + message("c") + complete("COPY 1"))
        elif text in (b"BEGIN", b"COMMIT", b"ROLLBACK"):
            self._control(text)
        elif text in TEXTS_OF_PREPARED:
            self._run_prepared(text, described=described)
        else:
            if text == NOTICES:
                self._send(NOTICE)
            self._send((ROW_DESCRIPTION if described else b"") + row(self.name + b" " + text))
            if limit == 1:
                self._send(message("s"))
                return False
            self._send(complete("SELECT 1"))
        return True

    def _run_prepared(self, text: bytes, *, described: bool) -> None:
        known = b"s" in self._statements
        if text == DEALLOCATE_ALL:
            self._statements = {name: each for name, each in self._statements.items() if not name}
            self._send(complete("DEALLOCATE ALL"))
        elif text == PREPARE:
            if known:
                raise _Failed("42P05", 'prepared statement "s" already exists')
            self._statements[b"s"] = b"SELECT 'a'"
            self._send(complete("PREPARE"))
        elif not known:
            raise _no_statement(b"s")
        elif text == DEALLOCATE:
            del self._statements[b"s"]
            self._send(complete("DEALLOCATE"))
        elif self._statements[b"s"] in TEXTS_OF_PREPARED or not self._statements[b"s"].startswith(b"SELECT"):
            raise _Failed("0A000", "not for EXECUTE")
        else:
            self._run(self._statements[b"s"], described=described)

    def _control(self, text: bytes) -> None:
        if text == b"BEGIN":
            self._send((NOTICE if self.status == "T" else b"") + complete("BEGIN"))
            self.status = "T"
            return
        if self.status == "I":
            self._send(NOTICE)
        tag = "ROLLBACK" if self.status == "E" else text.decode()
        self._send(complete(tag))
        self.status = "I"

    # --- The extended protocol -------------------------------------------------------------------------------------

    def _on_extended(self, kind: str, body: bytes) -> None:
        if kind == "P":
            self._on_parse(*body.split(b"\0")[:2])
        elif kind == "B":
            self._on_bind(*body.split(b"\0")[:2])
        elif kind == "D":
            self._on_describe(body[:1], body[1:-1])
        elif kind == "E":
            name, limit = body.split(b"\0", 1)
            self._on_execute(name, int.from_bytes(limit, "big"))
        elif kind == "C":
            (self._statements if body[:1] == b"S" else self._portals).pop(body[1:-1], None)
            self._send(message("3"))
        else:
            raise AssertionError(f"no message of a client: {kind!r}")

    def _on_parse(self, name: bytes, text: bytes) -> None:
        if not name:
            self._statements.pop(b"", None)
        self._check(text)
        if name and name in self._statements:
            raise _Failed("42P05", f'prepared statement "{name.decode()}" already exists')
        self._statements[name] = text
        self._send(message("1"))

    def _on_bind(self, portal: bytes, statement: bytes) -> None:
        if statement not in self._statements:
            raise _no_statement(statement)
        self._check(self._statements[statement])
        if portal and portal in self._portals:
            raise _Failed("42P03", f'cursor "{portal.decode()}" already exists')
        self._portals[portal] = _Portal(self._statements[statement])
        self._send(message("2"))

    def _on_describe(self, what: bytes, name: bytes) -> None:
        known = what == b"S" and name in self._statements
        if not known and not (what == b"P" and name in self._portals):
            raise _no_statement(name) if what == b"S" else _no_portal(name)
        text = self._statements[name] if known else self._portals[name].text
        returns_rows = text.startswith(b"SELECT")
        if self.status == "E" and returns_rows:
            raise _Failed("25P02", _ABORTED)
        if known:
            self._send(message("t", b"\0\0"))
        self._send(ROW_DESCRIPTION if returns_rows else NO_DATA)

    def _on_execute(self, name: bytes, limit: int) -> None:
        portal = self._portals.get(name)
        if portal is None:
            raise _no_portal(name)
        self._check(portal.text)
        if portal.done and portal.text.startswith(b"SELECT"):
            self._send(complete("SELECT 0"))
        elif portal.done and portal.text != b"":
            raise _Failed("55000", "portal cannot be run")
        elif portal.text == COPY_FROM:
            portal.done = True
            self._begin_copy("E")
        else:
            portal.done = True
            self._run(portal.text, described=False, limit=limit)
            if self.status == "I" and portal.text in (b"COMMIT", b"ROLLBACK"):
                self._portals.clear()

    # --- COPY FROM STDIN -------------------------------------------------------------------------------------------

    def _begin_copy(self, by: str) -> None:
        self.copying = by
        self._rows = 0
        self._send(COPY_IN)
        self._flush()

    def _on_copy_message(self, kind: str, body: bytes) -> None:
        if kind in "SH":
            return
        if kind == "d" and BAD_ROW not in body:
            self._rows += 1
            return
        by, self.copying = self.copying, ""
        if kind == "c":
            self._send(complete(f"COPY {self._rows}"))
        else:
            self._fail(_Failed("22P02", "COPY failed"))
            if kind not in "df":
                self._send(error("out of place", "FATAL"))
                self.closed = True
                self._flush()
                return
            self.skipping = by == "E"
            if self.skipping:
                self._flush()
        if by == "Q":
            self._end_of_query()
