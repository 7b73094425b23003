"""The command ``interceptor``."""

from __future__ import annotations

import asyncio
import logging
import sys
import typing
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from interceptor.errors import ConfigError
from pooler.config import Config, ConfigErrors, config_from_upstream, load_config
from pooler.server import Server, serve

app = typer.Typer(
    help="Interceptor: a PostgreSQL pooling proxy whose queries can be programmed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_stderr = Console(stderr=True, highlight=False)

ConfigOption = Annotated[Path | None, typer.Option("--config", help="The configuration, a TOML file.", dir_okay=False)]
UpstreamOption = Annotated[
    str | None, typer.Option("--upstream", metavar="DSN", help="Serve this one database, without a configuration.")
]
ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="With --upstream: where to listen.")
]


@app.command("serve")
def serve_command(config: ConfigOption = None, upstream: UpstreamOption = None, listen: ListenOption = None) -> None:
    """Run the proxy until it is told to stop."""
    loaded = _load(config, upstream, listen)
    logging.basicConfig(
        level=logging.DEBUG if loaded.server.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        server = Server(loaded)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(server))
    except ConfigError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot listen: {error.strerror or error}")


@app.command()
def check(config: Annotated[Path, typer.Option("--config", help="The configuration, a TOML file.")]) -> None:
    """Check a configuration, and name everything that is wrong with it."""
    loaded = _load(config, None, None)
    try:
        Server(loaded)
    except ConfigError as error:
        _fail(str(error))
    typer.echo(f"{config}: correct; databases: {', '.join(loaded.databases) or 'none'}")


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
    _stderr.print(f"interceptor: {text}", soft_wrap=True, markup=False)
    sys.exit(2)


def main() -> None:
    """The entry point."""
    app()
