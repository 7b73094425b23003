"""The demo's temporary folder: the proxy's configuration and log, and what the lines to paste need."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.watchdog import Watchdog
from pooler.demo.shop import SHOPPING

__all__ = ["DemoFolder"]

_PROGRAMS = ("psql", "pgbench")


class DemoFolder:
    """A context manager: the folder is gone at its end, and soon after this process is killed.

    Then whatever has its working directory in it is ended too, see ``interceptor.testing.watchdog``.
    """

    def __init__(self) -> None:
        # /tmp and not TMPDIR: the path is part of lines to paste, which stay short and need no quotes for it. Resolved,
        # because the watchdog compares it with working directories.
        self.path = Path(tempfile.mkdtemp(prefix="interceptor-demo-", dir="/tmp")).resolve()
        self._watchdog = Watchdog(self.path)

    def fill(self, server: PostgresServer) -> None:
        """Put in what the lines to paste need. Links make short lines of PostgreSQL's programs, wherever they are."""
        for name in _PROGRAMS:
            (self.path / name).symlink_to(server.bin(name))
        (self.path / "shopping.sql").write_text(SHOPPING)

    def __enter__(self) -> DemoFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._watchdog.dismiss()
