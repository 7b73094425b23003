"""The proxy of the demo: a process of its own with a configuration file, as it is run in earnest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from pooler.demo.database import SHOP, Database, shop_dsn
from pooler.demo.ports import choose_port

__all__ = ["POOL_SIZE", "DemoProxy", "ProxyError"]

POOL_SIZE = 20

_PREFERRED_PORT = 6432
_PORT_ATTEMPTS = 5
_START_TIMEOUT = 60.0  # seconds; with a cold disk the imports alone take some
_STOP_TIMEOUT = 15.0

_CONFIGURATION = """\
# The configuration of the demo's proxy.

[server]
listen_addr = "127.0.0.1"
listen_port = {port}
auth_type = "scram-sha-256"

# Clients log in with the user and the password of this connection string.
[databases.{database}]
primary = "{primary}"
pool_size = {pool_size}
"""


class ProxyError(RuntimeError):
    """The proxy did not start, or ended by itself. The text has the end of its log."""


class DemoProxy:
    """The proxy before a database; a context manager that stops it.

    Its working directory is ``folder``, whose watchdog thereby finds it when this process is killed.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        """Start nothing yet. Use ``start``."""
        self.port = 0
        self._folder = folder
        self._database = database
        self._log = folder / "proxy.log"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, database: Database) -> DemoProxy:
        """Start the proxy, on port 6432 if that is free, and wait until it listens. Raises ProxyError."""
        proxy = cls(folder, database)
        try:
            proxy._launch()
        except BaseException:
            proxy.stop()
            raise
        return proxy

    @property
    def dsn(self) -> str:
        """A connection URI, with the password."""
        return shop_dsn(self.port, self._database.password)

    def check(self) -> None:
        """Raises ProxyError if the proxy has ended."""
        if self._process is None or self._process.poll() is not None:
            raise ProxyError(self._explain("The proxy has ended"))

    def try_query(self) -> None:
        """Have psql, a link to which is in the folder, ask something through the proxy. Raises ProxyError."""
        done = subprocess.run(
            [str(self._folder / "psql"), self.dsn, "-XAtqc", "select 1"],
            cwd=self._folder, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.stdout != "1\n":
            raise ProxyError(f"The proxy did not answer: {done.stderr.strip()}")

    def stop(self) -> None:
        """Let the proxy close its connections and end, whatever its clients are at. Does nothing if it has ended."""
        if self._process is None:
            return
        # SIGTERM would wait for transactions that somebody left open in another terminal.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> DemoProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        for _ in range(_PORT_ATTEMPTS):
            self.port = choose_port(_PREFERRED_PORT)
            config = self._write_configuration()
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    # -P: the working directory is no place to import from.
                    [sys.executable, "-P", "-m", "pooler", "serve", "--config", str(config)],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C must reach the demo alone, which then stops all in its order
                )
            if self._listens():
                return
            if b"cannot listen" not in self._log.read_bytes():  # else somebody took the port since we looked
                break
        raise ProxyError(self._explain("The proxy did not start"))

    def _listens(self) -> bool:
        """Wait until the proxy listens; False if it ends or takes too long."""
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while b"listening on" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _write_configuration(self) -> Path:
        path = self._folder / "interceptor.toml"
        path.write_text(
            _CONFIGURATION.format(port=self.port, database=SHOP, primary=self._database.dsn, pool_size=POOL_SIZE)
        )
        return path

    def _explain(self, what: str) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"{what}. Its log ends with:", *lines])
