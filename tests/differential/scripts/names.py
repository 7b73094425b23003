"""Statements that SQL prepares, runs and takes away beside those of the protocol, under the same names."""

from __future__ import annotations

from tests.support.frontend import (
    Frontend,
    bind,
    close_statement,
    describe_statement,
    execute,
    parse,
    query,
    sync,
)
from tests.support.script import NOT_STATEMENT, Stream, part, stream

__all__ = ["NAME_STREAMS"]


def run(name: str = "s") -> list[Frontend]:
    return [bind(statement=name), execute()]


def make(sql: str, name: str = "s") -> list[Frontend]:
    return [parse(sql, name), *run(name)]


def sql(text: str) -> list[Frontend]:
    """By the extended protocol."""
    return [parse(text), bind(), execute()]


NAME_STREAMS: tuple[Stream, ...] = (
    stream(
        "DEALLOCATE in the batch that runs what it takes away",
        part(*make("SELECT 1"), sync()),
        part(*sql("DEALLOCATE s"), *run(), sync()),
        part(*run(), sync()),
        part(*make("SELECT 2"), sync()),
    ),
    stream(
        "DEALLOCATE that is undone by nothing",
        query("BEGIN"),
        part(*make("SELECT 1"), sync()),
        query("DEALLOCATE s"),
        query("ROLLBACK"),
        part(*run(), sync()),
        modes=NOT_STATEMENT,
    ),
    stream(
        "DEALLOCATE behind an error takes nothing away",
        part(*make("SELECT 1"), sync()),
        part(*sql("SELECT 1 / 0"), *sql("DEALLOCATE s"), sync()),
        part(*run(), sync()),
    ),
    stream(
        "DEALLOCATE that is parsed and not run",
        part(*make("SELECT 1"), sync()),
        part(parse("DEALLOCATE s"), sync()),
        part(*run(), sync()),
    ),
    stream(
        "PREPARE of a name that the protocol has",
        part(*make("SELECT 1"), sync()),
        query("PREPARE s AS SELECT 2"),
        part(*run(), sync()),
        query("EXECUTE s"),
    ),
    stream(
        "Parse of a name that PREPARE has",
        query("PREPARE s AS SELECT 2"),
        part(*make("SELECT 1"), sync()),
        part(*run(), sync()),
        part(close_statement("s"), sync()),
        part(*make("SELECT 3"), sync()),
        query("EXECUTE s"),
    ),
    stream(
        "a name from SQL to the protocol in one batch",
        query("PREPARE s AS SELECT 2"),
        part(*run(), *sql("DEALLOCATE s"), *make("SELECT 1"), describe_statement("s"), sync()),
        query("EXECUTE s"),
    ),
    stream(
        "a name from the protocol to SQL in one batch",
        part(*make("SELECT 1"), sync()),
        part(*run(), *sql("DEALLOCATE s"), *sql("PREPARE s AS SELECT 2"), *run(), describe_statement("s"), sync()),
        part(*run(), sync()),
        query("DEALLOCATE s"),
        part(*run(), sync()),
    ),
    stream(
        "DEALLOCATE ALL in the batch that runs what it takes away",
        part(*make("SELECT 1"), *make("SELECT 2", "t"), sync()),
        part(*run(), *sql("DEALLOCATE ALL"), *run("t"), sync()),
        part(*run(), sync()),
        part(*make("SELECT 3"), sync()),
    ),
    stream(
        "DISCARD ALL, and names are free again",
        part(*make("SELECT 1"), sync()),
        query("DISCARD ALL"),
        part(*run(), sync()),
        part(*make("SELECT 2"), sync()),
    ),
    stream(
        "a Query that deallocates and prepares",
        part(*make("SELECT 1"), sync()),
        query("DEALLOCATE s; PREPARE s AS SELECT 2"),
        part(*run(), describe_statement("s"), sync()),
        query("DEALLOCATE PREPARE s"),
        part(*make("SELECT 3"), sync()),
    ),
    stream(
        "DEALLOCATE that fails takes nothing away",
        part(*make("SELECT 1"), sync()),
        query("DEALLOCATE s; SELECT 1 / 0"),
        part(*run(), sync()),
        query("DEALLOCATE other"),
        part(*run(), sync()),
    ),
    stream(
        "names in quotes and in capitals",
        part(*make("SELECT 1", "A b"), *make("SELECT 2", "low"), sync()),
        query('EXECUTE "A b"'),
        query("EXECUTE LOW"),
        query('DEALLOCATE "A b"'),
        query("DEALLOCATE LOW"),
        part(*run("A b"), sync()),
        part(*run("low"), sync()),
    ),
    stream(
        "EXECUTE by message of a name of the protocol",
        part(*make("SELECT 1"), sync()),
        part(*sql("EXECUTE s"), close_statement("s"), *sql("EXECUTE s"), sync()),
        part(*run(), sync()),
    ),
)
