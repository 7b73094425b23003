"""A plugin for tests: it writes what its observers hear into a file, and does what comments in a statement ask for.

``/* rows */``: hear of the rows too. ``/* limit 3 rows */``, ``/* limit 90 bytes */``. ``/* set name=value */``.
``/* block */``, ``/* respond 5 */``: refuse it, or answer it with so many rows.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import msgspec

from interceptor import (
    Block,
    Column,
    Completion,
    Execution,
    Failure,
    Forward,
    Limits,
    Observer,
    Plan,
    Planned,
    PluginContext,
    Respond,
    Session,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)

_LIMIT = re.compile(r"/\* limit (\d+) (rows|bytes) \*/")
_SETTING = re.compile(r"/\* set (\S+)=(\S+) \*/")
_RESPOND = re.compile(r"/\* respond (\d+) \*/")


class Settings(msgspec.Struct, frozen=True):
    file: str


class Ends(Observer):
    """Hears of beginnings and ends."""

    def __init__(self, file: Path) -> None:
        self.file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, *told: object) -> None:
        os.write(self.file, json.dumps(told).encode() + b"\n")

    def started(self, execution: Execution) -> None:
        self.write("started", execution.original.statement.text)

    def finished(self, execution: Execution, completion: Completion) -> None:
        assert 0 <= completion.first <= completion.seconds
        self.write("finished", completion.tag, completion.rows, completion.size, completion.by, completion.target)

    def failed(self, execution: Execution, failure: Failure) -> None:
        self.write("failed", failure.sqlstate, failure.message, failure.by, failure.target)


class Rows(Ends):
    """Hears of all."""

    def described(self, execution: Execution, description: bytes) -> None:
        self.write("described", int.from_bytes(description[:2], "big"))

    def received(self, execution: Execution, rows: bytes) -> None:
        count, position = 0, 0
        while position < len(rows):
            assert rows[position] == ord("D")
            position += 1 + int.from_bytes(rows[position + 1 : position + 5], "big")
            count += 1
        assert position == len(rows)
        self.write("received", count, len(rows))


@plugin(config=Settings)
class Observing:
    def __init__(self, context: PluginContext[Settings]) -> None:
        self.ends = Ends(Path(context.config.file))
        self.rows = Rows(Path(context.config.file))

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> Planned:
        if "/* block */" in statement.text:
            return Plan(lambda execution: Block("42501", "no"))
        limits = {kind: int(number) for number, kind in _LIMIT.findall(statement.text)}
        settings = dict(_SETTING.findall(statement.text))
        if not limits and not settings:
            return None
        return Forward(limits=Limits(limits.get("rows", 0), limits.get("bytes", 0)), settings=settings)

    @hookimpl
    def virtual(self, statement: Statement, session: SessionClass) -> Planned:
        found = _RESPOND.search(statement.text)
        if found is None:
            return None
        count = int(found[1])
        return Plan(lambda execution: Respond((Column("n", "int4"),), ((n,) for n in range(count))))

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        return self.rows if "/* rows */" in statement.text else self.ends

    @hookimpl
    def transaction_ended(self, session: Session, committed: bool) -> None:
        done = session.transaction
        self.ends.write(
            "ended",
            committed,
            done.statements,
            done.wrote,
            done.locked,
            done.changed_schema,
            done.read_only,
            done.isolation,
        )

    @hookimpl
    def session_changed(self, session: Session) -> None:
        self.ends.write("changed", session.settings.get("work_mem"), session.role, session.settings_unknown)
