"""The commands that look at plugins: ``plugins``, ``explain`` and ``check``. None of them serves anybody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from interceptor.hooks.installed import installed_statuses
from interceptor.hooks.loading import PluginsRefused
from interceptor.hooks.plugins import BrokenPlugin, PluginStatus
from interceptor.hooks.sources import PluginSources
from pooler.config import ANY_DATABASE, Config
from pooler.plugins.explaining import Explained, describe_decision, describe_facts, explain_statement
from pooler.plugins.trial import check_plugins
from pooler.server import Server

__all__ = ["Format", "check_config", "choose_login", "explain", "show_installed_plugins", "show_plugins"]

Format = Literal["text", "json"]

_WIDTH = 120
"""Columns where the output is no terminal."""
_STYLES = {
    "active": "green",
    "installed": "dim",
    "tripped": "yellow",
    "broken": "bold red",
    "block": "bold red",
    "none": "dim",
}


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, _WIDTH))


# --- interceptor plugins ---------------------------------------------------------------------------------------------


def show_plugins(config: Config) -> None:
    """Print a table of the plugins that the configuration names. Raises ConfigError."""
    with _quiet():
        statuses = _statuses(config)
    if statuses:
        _print_plugins(statuses)
    else:
        print("no plugins: the configuration names none under [plugins]")


def show_installed_plugins() -> None:
    """Print a table of the plugins that a configuration could name."""
    with _quiet():
        statuses = installed_statuses()
    _print_plugins(statuses)
    if any(one.state == "installed" for one in statuses):
        print("\nA plugin is on when the configuration has its table, such as [plugins.rules]; --config lists those.")


def _print_plugins(statuses: Sequence[PluginStatus]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Plugin", "Version", "State", "Policy", "Hooks"):
        table.add_column(heading, overflow="fold")
    for one in statuses:
        state = Text(one.state, _STYLES[one.state])
        # Of a broken plugin nobody knows the hooks; why it is broken stands in their place.
        table.add_row(one.name, one.version or "-", state, one.policy, Text(one.reason or ", ".join(one.hooks)))
    _console().print(table)


def _statuses(config: Config) -> tuple[PluginStatus, ...]:
    """Those of all plugins, also where one is broken without which the server would not start."""
    refused: tuple[BrokenPlugin, ...] = ()
    try:
        return _status(config)
    except PluginsRefused as error:
        refused = error.broken
    gone = {one.name for one in refused}
    sources = config.plugins
    rest = PluginSources(
        sources.file,
        tuple(file for file in sources.modules if file.name not in gone),
        {name: table for name, table in sources.tables.items() if name not in gone},
    )
    sound = _status(replace(config, plugins=rest))
    return (*sound, *[one.status() for one in refused])


def _status(config: Config) -> tuple[PluginStatus, ...]:
    server = Server(config)
    asyncio.run(server.host.stop(0))
    return server.plugins.status()


# --- interceptor explain ---------------------------------------------------------------------------------------------


def choose_login(config: Config, database: str | None, user: str | None) -> tuple[str, str]:
    """Database and user that a statement is explained for. Raises LookupError with a sentence for people."""
    if database is None:
        named = [name for name in config.databases if name != ANY_DATABASE]
        if len(named) != 1:
            raise LookupError(f"give --database: the configuration has {len(named)} databases with a name")
        database = named[0]
    found = config.find_database(database)
    if found is None:
        raise LookupError(f'there is no database "{database}" in the configuration')
    user = user or found.primary.user
    if user is None:
        raise LookupError(f'give --user: the connection string of the database "{database}" names none')
    return database, user


def explain(config: Config, sql: str, database: str, user: str, format: Format) -> None:
    """Print what each plugin would do with a statement, and why. Raises ConfigError and PluginsRefused."""
    with _quiet() as notes:
        explained = asyncio.run(_explain(config, sql, database, user))
    if format == "json":
        print(json.dumps(_as_json(explained, notes), indent=2, ensure_ascii=False))
    else:
        _print_explained(explained, notes)


async def _explain(config: Config, sql: str, database: str, user: str) -> Explained:
    server = Server(config)
    try:
        return await explain_statement(server, sql, database, user)
    finally:
        await server.host.stop(0)


def _as_json(explained: Explained, notes: list[str]) -> dict[str, object]:
    return {
        "sql": explained.sql,
        "database": explained.database,
        "user": explained.user,
        "role": explained.role,
        "search_path": explained.search_path,
        "statement": describe_facts(explained.facts),
        "plugins": [
            {
                "plugin": one.plugin,
                "phase": one.phase,
                "decision": one.decision,
                "reason": one.reason,
                "facts": list(one.facts),
                "value": describe_decision(one.value),
            }
            for one in explained.explanations
        ],
        "notes": notes,
    }


def _print_explained(explained: Explained, notes: list[str]) -> None:
    console = _console()
    statement = Table(box=None, pad_edge=False, show_header=False)
    statement.add_column(style="bold")
    statement.add_column(overflow="fold")
    statement.add_row("for", Text(f"{explained.user} at {explained.database}"))
    for name, items in describe_facts(explained.facts).items():
        if items:
            statement.add_row(name, Text(", ".join(items)))
    console.print(statement)
    console.print()
    if not explained.explanations:
        console.print("No plugin looks at statements: it would go to PostgreSQL as it is.")
    else:
        plans = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("Phase", "Plugin", "Decision", "Reason", "Facts"):
            plans.add_column(heading, overflow="fold")
        for one in explained.explanations:
            said = describe_decision(one.value)
            values = ", ".join(f"{name}: {value}" for name, value in said.items() if value != one.reason)
            decision = Text(one.decision, _STYLES.get(one.decision, "bold"))
            if values:
                decision.append(f"\n{values}", "not bold")
            plans.add_row(one.phase, one.plugin, decision, Text(one.reason), Text(", ".join(one.facts)))
        console.print(plans)
    for note in notes:
        console.print(Text(f"\nnote: {note}", "yellow"), soft_wrap=True)


# --- interceptor check -----------------------------------------------------------------------------------------------


def check_config(config: Config) -> list[str]:
    """What is wrong with the user file, the plugins, and the plugins' own files; a line or more for each.

    Raises ConfigError.
    """
    with _quiet():
        try:
            server = Server(config)
        except PluginsRefused as refused:
            return [str(one) for one in refused.broken]
        plugins = server.plugins
        problems = [str(one) for one in plugins.broken] + [str(one) for one in check_plugins(plugins)]
        asyncio.run(server.host.stop(0))
    return problems


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """What the proxy would log meanwhile is collected, and shown by the commands in their own way."""
    handler = _Collector()
    loggers = [logging.getLogger(name) for name in ("interceptor", "pooler")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.lines:
            self.lines.append(text)
