"""A plugin of the differential tests: what it decides is the same at each execution of a text, and must change nothing.

Which decision a text gets depends on the text alone. An observer hears of every execution, and says in the log what it
should not have heard.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec

from interceptor import (
    Column,
    Completion,
    Execution,
    Failure,
    Group,
    Observer,
    Plan,
    PluginContext,
    PythonValue,
    Respond,
    Rewrite,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)
from tests.support.backend import Reply, row_values
from tests.support.frontend import query
from tests.support.wire import Endpoint, WireClient

SAFE = frozenset(["count", "generate_series", "lower", "upper", "length"])
"""Functions that say the same in any session."""

READERS: dict[int, tuple[str, Callable[[str], PythonValue]]] = {
    16: ("bool", lambda text: text == "t"),
    20: ("int8", int),
    23: ("int4", int),
    25: ("text", str),
}


class Settings(msgspec.Struct, frozen=True):
    host: str
    port: int
    database: str
    user: str


class Listener(Observer):
    """Holds the promises that observers are given."""

    def __init__(self) -> None:
        self.open: set[Execution] = set()

    def expect(self, what: str, *, sound: bool) -> None:
        if not sound:
            print(f"unexpected for an observer: {what}", flush=True)

    def started(self, execution: Execution) -> None:
        self.expect("started twice", sound=execution not in self.open)
        self.open.add(execution)

    def described(self, execution: Execution, description: bytes) -> None:
        self.expect("described, not started", sound=execution in self.open)
        count = int.from_bytes(description[:2], "big")
        self.expect("a description", sound=description.count(b"\0") >= count)

    def received(self, execution: Execution, rows: bytes) -> None:
        self.expect("received, not started", sound=execution in self.open)
        position = 0
        while position < len(rows):
            self.expect("a DataRow", sound=rows[position : position + 1] == b"D")
            position += 1 + int.from_bytes(rows[position + 1 : position + 5], "big")
        self.expect("whole rows", sound=position == len(rows))

    def finished(self, execution: Execution, completion: Completion) -> None:
        self.expect("finished, not started", sound=execution in self.open)
        self.open.discard(execution)
        if completion.tag.startswith("SELECT ") and completion.by == "plugin":
            self.expect(f"{completion.rows} rows and {completion.tag}", sound=completion.rows >= 0)

    def failed(self, execution: Execution, failure: Failure) -> None:
        self.expect("failed, not started", sound=execution in self.open)
        self.expect(f"a SQLSTATE: {failure.sqlstate}", sound=len(failure.sqlstate) == 5)
        if not failure.retried:
            self.open.discard(execution)


@plugin(version="1.0", config=Settings)
class Decided:
    def __init__(self, context: PluginContext[Settings]) -> None:
        settings = context.config
        self.endpoint = Endpoint(settings.host, settings.port, settings.database, settings.user)
        self.server: WireClient | None = None
        self.listener = Listener()

    @hookimpl
    def rewrite(self, statement: Statement, session: SessionClass) -> Plan | None:
        # As in undecided.py.
        if not statement.facts.statements or statement.facts.opaque or not statement.text.isascii():
            return None
        choice = zlib.crc32(statement.sql) % 3
        return None if choice == 0 else Plan(Rewrite(statement.text + " " * (choice - 1)))

    @hookimpl
    def virtual(self, statement: Statement, session: SessionClass) -> Plan | None:
        facts = statement.facts
        if zlib.crc32(statement.sql) % 2 or facts.opaque or len(facts.statements) != 1 or facts.parameters:
            return None
        if not statement.text.isascii() or len(statement.sql) > 10_000:
            return None
        if any(one.group is not Group.READ or one.locking or one.into or one.reads for one in facts.all):
            return None
        if any(use.name.name not in SAFE for one in facts.all for use in one.functions):
            return None
        if self.server is None:
            self.server = WireClient.connect(self.endpoint)
        server = self.server
        seen, ready = len(server.replies), server.ready_count
        server.send(query(statement.text))
        server.read_until_ready(ready + 1)
        respond = _respond(server.replies[seen:])
        return None if respond is None else Plan(respond)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer:
        return self.listener


def _respond(replies: list[Reply]) -> Respond | None:
    """What a server said, in Python's values, if they are of the types that every session shows alike."""
    if [one.tag for one in replies if one.tag != b"D"] != [b"T", b"C", b"Z"]:
        return None
    body, columns, readers = replies[0].body, [], []
    position = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(0, position)
        kind = READERS.get(int.from_bytes(body[end + 7 : end + 11], "big"))
        if kind is None:
            return None
        columns.append(Column(body[position:end].decode(), kind[0]))
        readers.append(kind[1])
        position = end + 19
    rows = [
        tuple(
            None if value is None else read(value.decode())
            for read, value in zip(readers, row_values(one), strict=True)
        )
        for one in replies
        if one.tag == b"D"
    ]
    return Respond(tuple(columns), rows)
