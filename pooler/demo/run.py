"""The demo from its first line to its last: set up, say what to try, wait, and leave nothing behind."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from interceptor.testing.postgres import PostgresServerError
from pooler.demo.database import Database
from pooler.demo.display import Display, Stage
from pooler.demo.folder import DemoFolder
from pooler.demo.proxy import POOL_SIZE, DemoProxy, ProxyError
from pooler.demo.shop import CUSTOMERS, ORDERS, STEPS
from pooler.demo.stopping import Stopped, StopRequest
from pooler.demo.tries import list_tries

__all__ = ["run_demo"]

_LOOK_INTERVAL = 1.0  # seconds between two looks whether all still runs


@dataclass(frozen=True, slots=True)
class _Demo:
    folder: Path
    database: Database
    replica: Database
    proxy: DemoProxy


def run_demo() -> int:
    """Run the demo until it is told to stop, and return the exit code: 0 if it was running by then.

    What it says goes to the standard output, progress and errors to the standard error. Signals are taken over for
    good: call it from the main thread of a process that does nothing else.
    """
    stop = StopRequest()
    progress = Console(stderr=True, highlight=False)
    was_running = False
    try:
        with ExitStack() as stack:
            try:
                demo = _set_up(stack, stop, progress)
                _tell(demo)
                was_running = True
                _watch(demo, stop)
            finally:
                if stop.received is not None:
                    _note(progress, "\nStopping ...")
    except (Stopped, PostgresServerError, ProxyError, OSError) as error:
        # Ctrl-C reaches initdb and psql too, whose failure is then no news, as is a terminal that is gone.
        if stop.received is None:
            _note(progress, f"interceptor: {error}", always=True)
            return 1
    assert stop.received is not None
    _note(progress, "Stopped. Nothing is left of the demo.")
    return 0 if was_running else 128 + stop.received


def _set_up(stack: ExitStack, stop: StopRequest, progress: Console) -> _Demo:
    """Start everything, and leave to ``stack`` how to stop it. Raises Stopped, PostgresServerError or ProxyError."""
    postgres, data = Stage("PostgreSQL 18"), Stage("Sample data", steps=len(STEPS))
    standby, front = Stage("Replica"), Stage("Proxy")
    with Display(progress, postgres, data, standby, front):
        with postgres.run():
            database = Database.start()
            stack.enter_context(database.server)
            postgres.detail = f"on port {database.server.port}"
        with data.run():
            for step in STEPS:
                stop.check()
                data.detail = step.title
                database.run(step.sql)
                data.done += 1
            data.detail = f"a shop: {CUSTOMERS:,} customers, {ORDERS:,} orders"
        stop.check()
        with standby.run():
            replica = database.create_replica()
            stack.enter_context(replica.server)
            standby.detail = f"on port {replica.server.port}, streaming"
        stop.check()
        with front.run():
            folder = stack.enter_context(DemoFolder())
            folder.fill(database.server)
            proxy = stack.enter_context(DemoProxy.start(folder.path, database))
            proxy.try_query()
            front.detail = f"on port {proxy.port}, {POOL_SIZE} connections"
        stop.check()
    return _Demo(folder.path, database, replica, proxy)


def _tell(demo: _Demo) -> None:
    """Say where everything is. Nothing is wrapped, so that each line can be pasted."""
    console = Console(highlight=False, soft_wrap=True)

    def say(text: str = "", style: str = "") -> None:
        console.print(Text(text, style=style))

    console.print(Text.assemble("Proxy:     ", (demo.proxy.dsn, "bold")))
    console.print(Text.assemble("Database:  ", (demo.database.dsn, "bold")))
    say()
    say("Five things to try, each a line to paste into another terminal:")
    for number, one in enumerate(list_tries(demo.folder, demo.proxy.dsn, demo.database.dsn), start=1):
        say()
        say(f"{number}. {one.title}", style="bold")
        say(one.line)
    say()
    say(f"A replica streams from the database:  {demo.replica.dsn}")
    say(f"The proxy's configuration and log:    {demo.folder}")
    say("Ctrl-C stops everything and leaves nothing behind.")


def _watch(demo: _Demo, stop: StopRequest) -> None:
    """Wait for the end. Raises Stopped; ProxyError or PostgresServerError if a part of the demo ends by itself."""
    while True:
        stop.wait(_LOOK_INTERVAL)
        demo.proxy.check()
        if not demo.database.server.pids():
            raise PostgresServerError("PostgreSQL has ended, and with it the demo.")


def _note(console: Console, text: str, always: bool = False) -> None:
    """Write to the terminal; elsewhere only what is to be said always."""
    if always or console.is_terminal:
        with suppress(OSError):  # the terminal may be gone
            console.print(Text(text), soft_wrap=True)
