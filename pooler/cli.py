"""The command ``interceptor``."""

from __future__ import annotations

import asyncio
import os
import sys
import typing
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from interceptor.errors import BackendError, ConfigError
from interceptor.hooks.loading import PluginsRefused
from pooler.config import Config, ConfigErrors, config_from_upstream, load_config
from pooler.config.convert import parse_value
from pooler.config.dsn import upstream as upstream_kind
from pooler.config.values import Unfit
from pooler.logs import give_up_unwritten, set_up_logging
from pooler.processes.parent import Parent, needs_processes
from pooler.processes.takeover import TakeoverRefused
from pooler.server import Server
from pooler.serving import serve

# What only some commands need is imported by them: whoever serves starts in less time.

app = typer.Typer(
    help="Interceptor: a PostgreSQL pooling proxy whose queries can be programmed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration, a TOML file.", dir_okay=False)]
NeededConfig = Annotated[Path, typer.Option("--config", help="The configuration, a TOML file.")]
UpstreamOption = Annotated[
    str | None, typer.Option("--upstream", metavar="DSN", help="Serve this one database, without a configuration.")
]
ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="With --upstream: where to listen.")
]


class OutputFormat(Enum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


@app.command("serve")
def serve_command(
    config: ConfigOption = None,
    upstream: UpstreamOption = None,
    listen: ListenOption = None,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Take the place of the proxy that runs: needs run_dir.")
    ] = False,
) -> None:
    """Run the proxy until it is told to stop."""
    loaded = _load(config, upstream, listen)
    if takeover and loaded.server.run_dir is None:
        _fail("--takeover needs a run_dir in the configuration, where the proxy that runs can be reached")
    set_up_logging(loaded.server)
    try:
        if needs_processes(loaded):
            sys.exit(Parent(loaded, _say, takeover=takeover).run())
        server = Server(loaded)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(server))
    except ConfigError as error:
        _fail(str(error))
    except PluginsRefused as refused:
        _fail(f"{refused}\nA plugin that must not be missing is broken, so the server does not start.")
    except TakeoverRefused as error:
        _fail(f"cannot take over: {error}")
    except OSError as error:
        _fail(f"cannot listen: {error.strerror or error}")
    finally:
        give_up_unwritten()


@app.command()
def check(config: NeededConfig) -> None:
    """Check a configuration and its plugins, and name everything that is wrong with them."""
    from pooler.plugin_commands import check_config

    loaded = _load(config, None, None)
    try:
        problems = check_config(loaded)
    except ConfigError as error:
        _fail(str(error))
    if problems:
        for problem in problems:
            _say(problem)
        sys.exit(1)
    typer.echo(f"{config}: correct; databases: {', '.join(loaded.databases) or 'none'}")


@app.command("plugins")
def plugins_command(config: ConfigOption = None) -> None:
    """List the plugins of a configuration, or those that are installed: version, state, policy, and their hooks."""
    from pooler.plugin_commands import show_installed_plugins, show_plugins

    if config is None:
        show_installed_plugins()
        return
    try:
        show_plugins(_load(config, None, None))
    except ConfigError as error:
        _fail(str(error))


@app.command("explain")
def explain_command(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="The statement.")],
    config: NeededConfig,
    database: Annotated[str | None, typer.Option("--database", help="As clients name it.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Who sends it.")] = None,
    format: Annotated[OutputFormat, typer.Option("--format", help="For people, or for programs.")] = OutputFormat.TEXT,
) -> None:
    """Say what each plugin would do with a statement, and why. The statement is not run."""
    from pooler.plugin_commands import choose_login, explain

    loaded = _load(config, None, None)
    try:
        chosen = choose_login(loaded, database, user)
        explain(loaded, sql, *chosen, format.value)
    except LookupError as error:
        _fail(str(error.args[0]))
    except (ConfigError, PluginsRefused) as error:
        _fail(str(error))


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="PGBOUNCER_INI", help="PgBouncer's configuration.", dir_okay=False)],
) -> None:
    """Print the configuration of a PgBouncer as one of ours, with a comment for what has no counterpart."""
    from pooler.importing import import_pgbouncer, what_is_missing

    try:
        imported = import_pgbouncer(file)
    except ConfigError as error:
        _fail(str(error))
    typer.echo(imported.toml, nl=False)
    problems = [*imported.incomplete, *what_is_missing(imported)]
    names = ", ".join(imported.without)
    _say(f"{imported.taken} taken over" + (f"; without a counterpart, see the comments: {names}" if names else ""))
    for problem in problems:
        _say(f"to be completed: {problem}")
    sys.exit(1 if problems else 0)


@app.command("top")
def top_command(
    console: Annotated[str, typer.Argument(metavar="DSN", help="The console: postgresql://USER@HOST:PORT/interceptor")],
    interval: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between two pictures.")] = 2.0,
    count: Annotated[int, typer.Option("--count", min=0, help="How many pictures; 0: until Ctrl-C.")] = 0,
) -> None:
    """Watch a running proxy: pools, statements and plugins, the busiest first."""
    from pooler.top import run_top

    try:
        upstream = parse_value(upstream_kind, console, os.environ)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_top(upstream, interval, count))
    except Unfit as unfit:
        _fail(str(unfit))
    except BackendError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        return


@app.command()
def demo() -> None:
    """Start PostgreSQL with a sample shop and the proxy before it, and say what to try. Ctrl-C ends it."""
    # Not at the top: the package needs what an installation without the extra "demo" lacks.
    from pooler.demo import run_demo

    sys.exit(run_demo())


def _load(config: Path | None, upstream: str | None, listen: str | None) -> Config:
    if (config is None) == (upstream is None):
        _fail("give either --config FILE or --upstream DSN")
    if config is not None and listen is not None:
        _fail("--listen goes with --upstream; with --config the file says where to listen")
    try:
        if config is not None:
            return load_config(config)
        assert upstream is not None
        return config_from_upstream(upstream, listen)
    except (ConfigErrors, ConfigError) as error:
        _fail(str(error))


def _fail(text: str) -> typing.NoReturn:
    _say(text)
    sys.exit(2)


def _say(text: str) -> None:
    typer.echo(f"interceptor: {text}", err=True)


def main() -> None:
    """The entry point."""
    app()
