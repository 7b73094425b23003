"""The log of queries: one line for each execution that is worth one."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from interceptor import Completion, Execution, Failure
from interceptor_query_log.config import Config

__all__ = ["FIELDS", "MAX_KEYS", "Key", "Line", "Writer"]

Key: TypeAlias = tuple[str, str, str]
"""Database, user, canonical text."""

MAX_LOGGED: Final = 4000
"""Characters of a statement in a line."""

MAX_KEYS: Final = 10_000
"""Canonical texts that are shared; then all are forgotten."""

_MAX_VALUE: Final = 200
"""Characters of a parameter in a line."""

FIELDS: Final = {
    "duration_ms": "from the decision about it until its last answer",
    "rows": "that the client was sent",
    "by": "who answered or refused it: `backend`, `plugin`, or `proxy`",
    "plugin": "which plugin answered or refused it: the one of a cache, or of rules",
    "reason": "why, as that plugin says it: such as the rules that matched",
    "sqlstate": "of the error, where it failed",
    "query": "its canonical text, or with `values` the text that was sent",
    "parameters": "with `values`: what was bound, as text",
}
"""What a line of JSON has beside the fields of every line. docs/howto/log-queries.md is held to this."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line is about (``LogSubject`` of the server's log)."""

    fields: Mapping[str, str | float]

    def log_fields(self) -> Mapping[str, str | float]:
        """As ``LogSubject``."""
        return self.fields

    def __str__(self) -> str:
        return f"{self.fields['user']}@{self.fields['database']}"


class Writer:
    """Decides what is written, and how."""

    def __init__(self, config: Config, log: logging.Logger) -> None:
        self.logs_all = config.log == "all"
        self._slow = float(config.slow)
        self._sample = config.sample if config.log == "sampled" else 0.0
        self._values = config.values
        self._log = log
        self._keys: dict[Key, Key] = {}

    def shared(self, key: Key) -> Key:
        """The same key: many texts have one canonical text, and are to share it."""
        if len(self._keys) > MAX_KEYS:
            self._keys.clear()
        return self._keys.setdefault(key, key)

    def is_wanted(self, seconds: float, *, failed: bool) -> bool:
        """Whether an execution that took so long gets a line."""
        if self.logs_all or seconds >= self._slow:
            return True
        if not self._sample:
            return False
        return failed or random.random() < self._sample

    def on_finished(self, key: Key, execution: Execution, completion: Completion) -> None:
        """Write of one that went well."""
        self._write(
            key,
            execution,
            completion.seconds,
            f"{completion.tag}, {completion.rows} rows",
            {"rows": completion.rows, "by": completion.by, "target": completion.target},
            completion.plugin,
            completion.reason,
        )

    def on_failed(self, key: Key, execution: Execution, failure: Failure) -> None:
        """Write of one that failed. The error's own text may have values in it, and is left out."""
        self._write(
            key,
            execution,
            failure.seconds,
            f"failed with {failure.sqlstate} by the {failure.by}",
            {"sqlstate": failure.sqlstate, "by": failure.by, "target": failure.target},
            failure.plugin,
            failure.reason,
        )

    def _write(
        self,
        key: Key,
        execution: Execution,
        seconds: float,
        how: str,
        more: Mapping[str, str | int],
        plugin: str,
        reason: str,
    ) -> None:
        database, user, query = key
        if self._values:
            query = execution.original.statement.text
        query = query if len(query) <= MAX_LOGGED else f"{query[:MAX_LOGGED]}…"
        session = execution.session
        if plugin:
            more = {**more, "plugin": plugin, "reason": reason}
            how = f"{how} ({plugin}: {reason})" if reason else f"{how} ({plugin})"
        fields: dict[str, str | float] = {
            "client": session.id,
            "address": session.client_address,
            "database": database,
            "user": user,
            "duration_ms": round(seconds * 1000, 3),
            "query": query,
            **{name: value for name, value in more.items() if value != ""},
        }
        if self._values and execution.original.parameters:
            fields["parameters"] = _parameters(execution)
        # Whoever asks for this log wants each line of it: no bound on lines of one sort.
        self._log.info("%s: %.1f ms, %s: %s", Line(fields), seconds * 1000, how, query, extra={"unlimited": True})


def _parameters(execution: Execution) -> str:
    shown = []
    for number, bound in enumerate(execution.original.parameters, start=1):
        if bound.data is None:
            text = "NULL"
        elif bound.format == 0:
            text = repr(bound.data.decode("utf-8", "replace"))
        else:
            text = f"{len(bound.data)} bytes"
        shown.append(f"${number} = {text[:_MAX_VALUE]}")
    return ", ".join(shown)
