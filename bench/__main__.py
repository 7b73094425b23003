"""All benchmarks under one name: ``python -m bench``, or ``make bench``. Without a command, all that the docs show."""

from __future__ import annotations

import typer
from rich.console import Console

from bench import floods, following, hotspots, idle, latency, many, micro, pgbench, plugins
from bench.report import running_as

__all__ = ["application"]

application = typer.Typer(add_completion=False)
application.command("pgbench")(pgbench.main)
application.command("latency")(latency.main)
application.command("idle")(idle.main)
application.command("micro")(micro.main)
application.command("following")(following.main)
application.command("plugins")(plugins.main)
application.command("many")(many.main)
application.command("floods")(floods.main)
application.command("hotspots")(hotspots.main)


@application.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Compare the proxy with PgBouncer and PostgreSQL. Without a command: all of these, some fifteen minutes."""
    if context.invoked_subcommand is not None:
        return
    code = 0
    for name, script in (
        ("pgbench", pgbench.main),
        ("latency", latency.main),
        ("following", following.main),
        ("plugins", plugins.main),
        ("idle", idle.main),
        ("many", many.main),
        ("floods", floods.main),
        ("micro", micro.main),
    ):
        Console(stderr=True).rule(name)
        with running_as(name):
            try:
                script()
            except typer.Exit as error:
                code = max(code, error.exit_code)
    raise typer.Exit(code)


if __name__ == "__main__":
    application()
