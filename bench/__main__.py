"""All benchmarks under one name: ``python -m bench``, or ``make bench``. Without a command, all that the docs show."""

from __future__ import annotations

import sys

import typer

from bench import idle, latency, pgbench

__all__ = ["application"]

application = typer.Typer(add_completion=False, help=__doc__)
application.command("pgbench")(pgbench.main)
application.command("latency")(latency.main)
application.command("idle")(idle.main)

if __name__ == "__main__":
    application() if len(sys.argv) > 1 else None
