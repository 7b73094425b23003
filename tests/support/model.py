"""A model of a PostgreSQL backend: what it answers, and whether anything is outstanding, for a few texts of SQL.

Written from PostgreSQL's documentation and postgres.c (PostgresMain, SocketBackend), not from the product, so that the
two can disagree. Answers are kept back until the server would flush them. It has no data: what a statement does is told
by its text (``TEXTS``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import unpack_from

from tests.support.recorder import (
    ASKS_BY_NAME,
    ASKS_FOR_ALL,
    COPY_IN,
    ROW_DESCRIPTION,
    complete,
    error,
    found,
    is_set,
    message,
    ready,
    row,
)

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
SETS_ANOTHER = b"SELECT set_config('work_mem', '5MB', false)"
SHOWS = b"SELECT current_setting('TimeZone'), current_setting('work_mem')"
RESETS = b"RESET ALL"
LISTENS = b"LISTEN news"
UNLISTENS = b"UNLISTEN *"
LOCKS = b"SELECT pg_advisory_lock(1)"
UNLOCKS = b"SELECT pg_advisory_unlock(1)"
DISCARDS = b"DISCARD ALL"
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
    SETS_ANOTHER,
    SHOWS,
    RESETS,
    LISTENS,
    UNLISTENS,
    LOCKS,
    UNLOCKS,
    DISCARDS,
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


_DEFAULTS = {"timezone": b"UTC", "work_mem": b"4MB"}
_SET_CONFIG = re.compile(rb"pg_catalog\.set_config\('(\w+)', (?:(NULL)|'([^']*)'), (true|false)\)")
_NAMES = re.compile(rb"ARRAY\[([^]]*)\]")


@dataclass
class _Portal:
    text: bytes
    done: bool = False


@dataclass
class _Held:
    """What its session has that a transaction may take back."""

    settings: dict[str, bytes] = field(default_factory=dict)
    listens: bool = False

    def copy(self) -> _Held:
        return _Held(dict(self.settings), self.listens)


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
    locks: int = 0
    """How often its session holds the advisory lock."""
    asked: int = 0
    """Questions of the proxy's that it has answered."""
    _input: bytes = b""
    _flushed: bytes = b""
    _rows: int = 0
    _zone_told: bytes = _DEFAULTS["timezone"]
    _kept: _Held = field(default_factory=_Held)
    _open: _Held = field(default_factory=_Held)
    _local: dict[str, bytes] = field(default_factory=dict)
    """What is set until the end of the transaction."""
    _sql_made: set[bytes] = field(default_factory=set)
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

    @property
    def settings(self) -> dict[str, bytes]:
        """The committed settings of its session, those as after login too."""
        return {**_DEFAULTS, **self._kept.settings}

    @property
    def _current(self) -> dict[str, bytes]:
        return {**_DEFAULTS, **self._open.settings, **self._local}

    def holds(self, settings: Mapping[str, bytes]) -> bool:
        """Whether its committed settings are those of a session in which these are set."""
        return self.settings == {**_DEFAULTS, **settings}

    @property
    def listens(self) -> bool:
        return self._kept.listens

    @property
    def zone_told(self) -> bytes:
        """The TimeZone that it reported last."""
        return self._zone_told

    @property
    def named_statements(self) -> set[bytes]:
        return self._statements.keys() - {b""}

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
            self._local.clear()
            self._kept = self._open.copy()
        zone = self._current["timezone"]
        if zone != self._zone_told:
            self._zone_told = zone
            self._send(message("S", b"TimeZone\0" + zone + b"\0"))
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
        self._open = self._kept.copy()
        self._local.clear()
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
            if self._answer_proxy(text):
                self._end_of_query()
                return
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
        elif text in (SETS, RESETS, LISTENS, UNLISTENS, DISCARDS):
            self._change_session(text)
        elif text == COPY_TO:
            self._send(message("H", bytes(5)) + message("d", self.name) + message("c") + complete("COPY 1"))
        elif text in (b"BEGIN", b"COMMIT", b"ROLLBACK"):
            self._control(text)
        elif text in TEXTS_OF_PREPARED:
            self._run_prepared(text, described=described)
        else:
            if text == NOTICES:
                self._send(NOTICE)
            self._send((ROW_DESCRIPTION if described else b"") + row(self.name + b" " + self._value(text)))
            if limit == 1:
                self._send(message("s"))
                return False
            self._send(complete("SELECT 1"))
        return True

    def _value(self, text: bytes) -> bytes:
        """What a SELECT answers; what it does to the session is done."""
        if text == SETS_ANOTHER:
            self._local.pop("work_mem", None)
            self._open.settings["work_mem"] = b"5MB"
        elif text == SHOWS:
            return b", ".join(self._current.values())
        elif text == LOCKS:
            self.locks += 1
        elif text == UNLOCKS:
            had = self.locks > 0
            self.locks -= had
            return b"t" if had else b"f"
        return text

    def _change_session(self, text: bytes) -> None:
        if text in (SETS, RESETS):
            self._local.clear()
        if text == SETS:
            self._open.settings["timezone"] = b"CET"
        elif text == RESETS:
            self._open.settings.clear()
        elif text == DISCARDS:
            if self.status != "I":
                raise _Failed("25001", "DISCARD ALL cannot run inside a transaction block")
            self._open = _Held()
            self._kept = _Held()
            self.locks = 0
            self._drop_statements()
        else:
            self._open.listens = text == LISTENS
        self._send(
            complete({SETS: "SET", RESETS: "RESET", DISCARDS: "DISCARD ALL"}.get(text, text.split()[0].decode()))
        )

    def _drop_statements(self) -> None:
        self._statements = {name: each for name, each in self._statements.items() if not name}
        self._sql_made.clear()

    # --- The proxy's own queries -----------------------------------------------------------------------------------

    def _answer_proxy(self, text: bytes) -> bool:
        """Answer a question of the proxy's, or do what it wants. False if the text is none of these."""
        rows: list[bytes] = []
        if text.startswith(ASKS_BY_NAME):
            names = _NAMES.findall(text)[0].replace(b"'", b"").split(b", ")
            current = self._current
            rows = [
                is_set(name.decode(), current[name.decode()])
                if name.decode() in current
                else found("set", name.decode())
                for name in names
            ]
        elif text.startswith(ASKS_FOR_ALL):
            rows = [is_set(name, value) for name, value in self._open.settings.items()]
            rows += [found("has", "LISTEN")] * self._open.listens + [found("has", "ADVISORY_LOCK")] * (self.locks > 0)
            rows += [found("has", "PREPARED_STATEMENT")] * bool(self._sql_made)
            rows.append(found("count", "", str(len(self.named_statements)).encode()))
            if b"'statement'" in text:
                rows += [
                    found("statement", name.decode(), self._statements[name], "")
                    for name in sorted(self.named_statements - self._sql_made)
                ]
        elif _SET_CONFIG.search(text):
            assert _SET_CONFIG.sub(b"", text).strip(b"SELECT ,") == b"", text
            for name, gone, value, local in _SET_CONFIG.findall(text):
                if local == b"true":
                    self._local[name.decode()] = _DEFAULTS[name.decode()] if gone else value
                    continue
                self._local.pop(name.decode(), None)
                if gone:
                    self._open.settings.pop(name.decode(), None)
                else:
                    self._open.settings[name.decode()] = value
            rows = [row()]
        elif text.startswith(b"RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"):
            head, _, calls = text.partition(b"; SELECT ")
            self._open.settings.clear()
            if head.endswith(b"; DEALLOCATE ALL"):
                self._drop_statements()
            for part in head.split(b"; "):
                self._send(complete(part.split()[0].decode()))
            return self._answer_proxy(b"SELECT " + calls) if calls else True
        elif text == b"DISCARD SEQUENCES":
            self._send(complete("DISCARD SEQUENCES"))
            return True
        else:
            return False
        if self.status == "E":
            raise _Failed("25P02", _ABORTED)
        self.asked += text.startswith((ASKS_BY_NAME, ASKS_FOR_ALL))
        self._send(ROW_DESCRIPTION + b"".join(rows) + complete(f"SELECT {len(rows)}"))
        return True

    def _run_prepared(self, text: bytes, *, described: bool) -> None:
        known = b"s" in self._statements
        if text == DEALLOCATE_ALL:
            self._drop_statements()
            self._send(complete("DEALLOCATE ALL"))
        elif text == PREPARE:
            if known:
                raise _Failed("42P05", 'prepared statement "s" already exists')
            self._statements[b"s"] = b"SELECT 'a'"
            self._sql_made.add(b"s")
            self._send(complete("PREPARE"))
        elif not known:
            raise _no_statement(b"s")
        elif text == DEALLOCATE:
            del self._statements[b"s"]
            self._sql_made.discard(b"s")
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
        self._local.clear()
        if tag == "ROLLBACK":
            self._open = self._kept.copy()
        else:
            self._kept = self._open.copy()

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
            if body[:1] == b"S":
                self._sql_made.discard(body[1:-1])
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
