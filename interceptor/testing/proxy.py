"""A real proxy before a real PostgreSQL, for the tests of a plugin.

>>> with ProxyServer.start("my_plugin.py", config={"words": ["secret"]}) as proxy:
...     connection = psycopg.connect(proxy.dsn())

What is between the two can be made to fail: ``proxy.network`` delays, stalls, cuts and refuses, ``proxy.kill_backends``
ends what serves clients, ``proxy.fail_hooks`` lets hooks of plugins raise, and ``proxy.postgres`` can be stopped.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from interceptor.testing.watchdog import Watchdog

__all__ = ["ProxyError", "ProxyServer"]

START_TIMEOUT: Final = 30.0  # seconds
STOP_TIMEOUT: Final = 20.0
_LISTENING: Final = re.compile(rb"listening on .* port (\d+)")

_FAULTS: Final = """
from pathlib import Path
from interceptor.testing.faults import fail_as_told

fail_as_told(Path(__file__).with_name("faults"))
"""


class ProxyError(RuntimeError):
    """The proxy did not start, or did not stop. The text ends with its log."""


class ProxyServer:
    """A proxy in a process of its own, and what is behind it. Close it, or use ``with``."""

    def __init__(self, stack: ExitStack, directory: Path, postgres: PostgresServer, database: str) -> None:
        """Use ``start``."""
        self._stack = stack
        self._directory = directory
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None
        self.host = "127.0.0.1"
        self.port = 0
        self.postgres: Final = postgres
        """The server behind it."""
        self.network: Final = stack.enter_context(CutRelay(postgres.host, postgres.port))
        """What all of the proxy's connections to the server go through, those of its helpers too."""

    @classmethod
    def start(
        cls,
        *plugins: Path | str,
        config: Mapping[str, object] | None = None,
        configs: Mapping[str, Mapping[str, object]] | None = None,
        postgres: PostgresServer | None = None,
        database: str = "app",
        server: Mapping[str, object] | None = None,
        databases: Mapping[str, object] | None = None,
    ) -> ProxyServer:
        """Start a proxy with these plugins: files, or names of installed ones. It takes a second or two.

        ``config`` is that of the first plugin, ``configs`` those of all by their names. ``database`` is the name for
        clients, and made on the server if it is not there; without ``postgres`` a server of its own is started too, and
        closed with the proxy. ``server`` and ``databases`` are further settings of ``[server]`` and of
        ``[databases.NAME]``. Clients log in without a password. Raises ProxyError.
        """
        stack = ExitStack()
        try:
            if postgres is None:
                postgres = stack.enter_context(PostgresServer.start())
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interceptor-proxy-")))
            watchdog = Watchdog(directory)
            stack.callback(watchdog.dismiss)
            made = cls(stack, directory, postgres, database)
            names = [Path(one).stem if str(one).endswith(".py") else str(one) for one in plugins]
            tables = {name: dict((configs or {}).get(name, {})) for name in names}
            if config is not None:
                tables[names[0]] = dict(config)
            files = [str(Path(one).absolute()) for one in plugins if str(one).endswith(".py")]
            made._write(files, tables, server or {}, databases or {})
            made._launch()
        except BaseException:
            stack.close()
            raise
        return made

    def dsn(self, user: str = "postgres", dbname: str = "") -> str:
        """Where to connect."""
        return f"postgresql://{user}@{self.host}:{self.port}/{dbname or self._database}"

    @property
    def pid(self) -> int:
        """Of the proxy's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self._directory / "log").read_text(errors="replace")

    # Faults

    def kill_backends(self) -> int:
        """End all that serves the database, clients' and helpers' connections alike. Returns how many there were."""
        ended = self.postgres.psql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            f" where datname = $name${self._database}$name$ and pid <> pg_backend_pid()"
        )
        return int(ended)

    def fail_hooks(self, *names: str) -> None:
        """From now on these hooks raise, and no others: ``my_plugin.guard``; without names none does.

        Names are as in ``interceptor.testing.faults.failing_hooks``.
        """
        # In one step, for the proxy reads it at each call.
        new = self._directory / "faults.new"
        new.write_text("\n".join(names))
        new.rename(self._directory / "faults")

    # Life

    def stop(self) -> int:
        """Tell it to stop, and return its exit code. Raises ProxyError if it takes more than 20 s."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ProxyError(self._explain(f"did not stop within {STOP_TIMEOUT:g} s")) from None

    def close(self) -> None:
        """End it, and remove all that it left."""
        self._stack.close()

    def __enter__(self) -> ProxyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ProxyServer on {self.host}:{self.port} before {self.postgres!r}>"

    # How it is made

    def _write(
        self,
        files: list[str],
        plugins: Mapping[str, Mapping[str, object]],
        server: Mapping[str, object],
        databases: Mapping[str, object],
    ) -> None:
        there = self.postgres.psql(f"select count(*) from pg_database where datname = $name${self._database}$name$")
        if there == "0":
            self.postgres.create_database(self._database)
        faults = self._directory / "interceptor_faults.py"
        faults.write_text(_FAULTS)
        upstream = f"postgresql://postgres@{self.network.host}:{self.network.port}/{self._database}"
        tables: dict[str, Mapping[str, object]] = {
            "server": {"listen_addr": self.host, "listen_port": 0, "auth_type": "trust", **server},
            f"databases.{json.dumps(self._database)}": {"primary": upstream, **databases},
            "plugins": {"modules": [str(faults), *files]},
            **{f"plugins.{json.dumps(name)}": config for name, config in plugins.items()},
        }
        text = "".join(_table(name, values) for name, values in tables.items())
        (self._directory / "interceptor.toml").write_text(text)

    def _launch(self) -> None:
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pooler", "serve", "--config", "interceptor.toml"],
                # There the watchdog finds it; what can be imported here can be imported there.
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(one) for one in sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._stack.callback(self._end)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            found = _LISTENING.search((self._directory / "log").read_bytes())
            if found:
                self.port = int(found[1])
                return
            if self._process.poll() is not None:
                raise ProxyError(self._explain(f"ended with {self._process.returncode}"))
            if time.monotonic() > deadline:
                raise ProxyError(self._explain(f"did not listen within {START_TIMEOUT:g} s"))
            time.sleep(0.01)

    def _end(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _explain(self, what: str) -> str:
        return f"The proxy {what}. Its log:\n{self.log}"


def _table(name: str, values: Mapping[str, object]) -> str:
    """A table of TOML. JSON's texts, numbers, booleans and lists are TOML's too; tables in it become tables."""
    lines = [f"[{name}]"]
    inner = ""
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner += _table(f"{name}.{json.dumps(key)}", value)
        else:
            lines.append(f"{json.dumps(key)} = {json.dumps(value)}")
    return "\n".join(lines) + "\n" + inner
