"""A proxy whose plugin writes down what observers hear, and what it wrote: see tests/integration/observing.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, Value, run_proxy

__all__ = ["PLUGIN", "Log", "Told", "observed_proxy"]

PLUGIN = Path(__file__).parents[1] / "integration" / "observing.py"

Told = list[tuple[object, ...]]


class Log:
    """What the plugin wrote since this was made."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch()
        self._seen = len(file.read_text().splitlines())

    def take(self, *kinds: str) -> Told:
        """What was written since the last call, of these kinds if any are given."""
        lines = self._file.read_text().splitlines()
        told = [tuple(json.loads(line)) for line in lines[self._seen :]]
        self._seen = len(lines)
        wanted = kinds or ("started", "described", "received", "finished", "failed")
        return [one for one in told if one[0] in wanted]

    def ends(self) -> Told:
        """The ends among what was written, without the size and the text of an error."""
        return [
            one[:3] + one[4:] if one[0] == "finished" else one[:2] + one[3:] for one in self.take("finished", "failed")
        ]


@contextmanager
def observed_proxy(server: PostgresServer, database: str, file: Path, **settings: Value) -> Iterator[Proxy]:
    """A proxy before a new database, which has these settings, and a table ``t``; the plugin writes into the file."""
    server.create_database(database)
    server.psql("create table t (i int primary key deferrable initially deferred)", dbname=database)
    tables: Tables = {
        f"databases.{database}": {"primary": upstream(server, database), "pool_size": 2, **settings},
        "plugins": {"modules": [str(PLUGIN)]},
        "plugins.observing": {"file": str(file)},
    }
    with run_proxy(tables) as made:
        yield made
    server.drop_database(database)
