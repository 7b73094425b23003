"""Which command some words are, who may run it, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interceptor.errors import CONSOLE_REFUSED, CONSOLE_SYNTAX, ClientError
from pooler.console.changing import CHANGES, HELP, Change
from pooler.console.columns import COLUMNS, OLDER_COLUMNS, Columns
from pooler.console.courtesy import courtesy
from pooler.console.showing import SHOWS
from pooler.console.words import Word
from pooler.reports.plugins import gather, plugin_command, run_plugin_command

if TYPE_CHECKING:
    from interceptor import PythonValue
    from interceptor.services import ConsoleCommand
    from pooler.server import Server

__all__ = ["Answer", "Command", "Console", "find_command"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has brought."""

    rows: Sequence[Sequence[PythonValue]] = ()
    notices: tuple[tuple[str, str], ...] = ()
    """Messages and details of NOTICEs that come first."""


@dataclass(frozen=True, slots=True)
class Command:
    """One statement, ready to run. Its columns are known before it is run: Describe asks for them."""

    tag: str
    columns: Columns
    run: Callable[[], Awaitable[Answer]]
    transaction: str = ""
    """What it does to the transaction that drivers think they are in: "begin", "end" or nothing."""


@dataclass(frozen=True, slots=True)
class Console:
    """Who asks, and whom."""

    server: Server
    user: str
    is_admin: bool
    """Whether the user may change things."""
    knows_older: bool = False
    """Whether it is shown ``OLDER_COLUMNS`` too."""


_ADMIN_ONLY: Final = frozenset({"FDS"})
"""What is for admin_users alone, as in PgBouncer."""


def find_command(console: Console, words: Sequence[Word]) -> Command:
    """The command of one statement. Raises ClientError, not fatal, where there is none or the user may not run it."""
    contributed = plugin_command(console.server, words)
    if contributed is not None and not _is_own(words):
        return _contributed(console, tuple(words), *contributed)
    first = words[0].keyword
    if first in ("SHOW", "SELECT") and len(words) == 2 and words[1].upper() in SHOWS:
        return _show(console, words[1].upper())
    if first == "SHOW" and len(words) == 2 and words[1].upper() == "HELP":
        return _fixed("SHOW", Answer(notices=(("Console usage", _help(console.server)),)))
    change, rest = _change(words)
    courteous = None if change is not None and first == "RESET" else courtesy(words)
    if courteous is not None:
        tag, columns, rows, transaction = courteous
        return _fixed(tag, Answer(rows), columns, transaction)
    if change is None:
        raise ClientError(
            CONSOLE_SYNTAX,
            f"invalid command '{_shorten(' '.join(words))}', use SHOW HELP;",
            hint="This is the admin console. Statements of SQL go to one of the databases.",
            fatal=False,
        )
    arguments = change.read(rest)
    _require_admin(console, first)

    async def run() -> Answer:
        return Answer(notices=tuple((text, "") for text in await change.run(console.server, arguments)))

    return Command(change.tag(arguments), (), run)


def _change(words: Sequence[Word]) -> tuple[Change | None, Sequence[Word]]:
    """The command that these words begin with, and what is behind its name."""
    name = " ".join(word.keyword for word in words[:2])
    if name in CHANGES:
        return CHANGES[name], words[2:]
    return CHANGES.get(words[0].keyword), words[1:]


def _show(console: Console, name: str) -> Command:
    if name in _ADMIN_ONLY:
        _require_admin(console, f"SHOW {name}")
    columns = COLUMNS[name]
    if console.knows_older:
        columns += OLDER_COLUMNS.get(name, ())

    async def run() -> Answer:
        rows = await SHOWS[name](console.server)
        return Answer([row[: len(columns)] for row in rows] if name in OLDER_COLUMNS else rows)

    return Command("SHOW", columns, run)


def _fixed(tag: str, answer: Answer, columns: Columns = (), transaction: str = "") -> Command:
    async def run() -> Answer:
        return answer

    return Command(tag, columns, run, transaction)


def _is_own(words: Sequence[Word]) -> bool:
    """Whether it is one of the console's own commands, which no plugin takes away."""
    first = words[0].keyword
    if first == "SHOW":
        return len(words) > 1 and words[1].upper() in {*SHOWS, "HELP"}
    if first == "SET":
        return len(words) < 3 or words[2].upper() in ("=", "TO")
    return _change(words)[0] is not None


def _require_admin(console: Console, name: str) -> None:
    if not console.is_admin:
        raise ClientError(
            CONSOLE_REFUSED,
            f'the user "{console.user}" may look, but may not run {name}: admin access needed',
            hint="The users who may are those of admin_users in the configuration.",
            fatal=False,
        )


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


# --- Of plugins --------------------------------------------------------------------------------------------------


def _contributed(
    console: Console, words: tuple[str, ...], command: ConsoleCommand, arguments: tuple[str, ...]
) -> Command:
    """A command that changes something is told to every process, and answers in text what this one answered."""
    name = command.name.upper()
    server = console.server
    words = tuple([str(word) for word in words])  # for another process, which knows plain texts
    if not command.changes:

        async def show() -> Answer:
            if command.gather is None:
                return Answer(await run_plugin_command(server, words))
            return Answer(gather(command, await server.node.tell_all("GATHER", words)))

        return Command(name.split()[0], command.columns, show)
    _require_admin(console, name)

    async def change() -> Answer:
        rows = (await server.node.tell_all("PLUGIN", words))[0]
        return Answer([[None if value is None else str(value) for value in row] for row in rows])

    return Command(name, tuple((column, "text") for column, _ in command.columns), change)


def _help(server: Server) -> str:
    lines = [HELP, *(f"\t{one.value.name}" for one in server.host.console_commands)]
    return "\n" + "\n".join(lines)
