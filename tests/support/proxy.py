"""The proxy as a process, as its users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.warm import WarmProcess, start_warm

Value = str | int | float | bool | list[str]
Tables = Mapping[str, Mapping[str, Value]]

START_TIMEOUT = END_TIMEOUT = 60.0
_ROOT = Path(__file__).parents[2]
_RECORD_OF_PLUGIN = re.compile(
    r"^\S+ \S+ ERROR interceptor\.plugins: plugin .*\n(?:(?!\d{4}-\d\d-\d\d ).*\n)*", re.MULTILINE
)
_LISTENING = re.compile(rb"listening on .* port (\d+)")


@dataclass(frozen=True)
class Proxy:
    """A running proxy."""

    host: str
    port: int
    process: WarmProcess | subprocess.Popen[bytes]
    directory: Path
    log_file: str = "log"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.directory / self.log_file).read_text(errors="replace")

    def dsn(self, dbname: str = "app", user: str = "postgres", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{self.host}:{self.port}/{dbname}"

    def stop(self) -> int:
        """Tell it to stop at once, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, as soon as it has ended. Raises TimeoutExpired."""
        return self.process.wait(END_TIMEOUT)


@contextmanager
def run_proxy(tables: Tables, files: Mapping[str, str] | None = None, *, plugins_fail: bool = False) -> Iterator[Proxy]:
    """Run the proxy with a configuration of these tables (``{"server": {...}, "databases.app": {...}}``).

    It listens on a free port of 127.0.0.1. ``files`` are written beside the configuration. An AssertionError or another
    unexpected exception in its log fails the test at the end; with ``plugins_fail`` those of plugins don't.
    """
    with tempfile.TemporaryDirectory(prefix="interceptor-") as name:
        directory = Path(name)
        for file, content in (files or {}).items():
            (directory / file).write_text(content)
        server: dict[str, Value] = {"listen_addr": "127.0.0.1", "listen_port": 0, "auth_type": "trust"}
        server["ban_failures"] = 0  # or a test of many failed logins would end up outside
        merged = {**tables, "server": {**server, **tables.get("server", {})}}
        config = directory / "interceptor.toml"
        config.write_text(to_toml(merged))
        # The plugins of this tree, wherever those are that are installed.
        environment = {**os.environ, "PYTHONPATH": str(_ROOT / "plugins")}
        process = start_warm(["serve", "--config", str(config)], directory / "log", environment, _ROOT)
        try:
            proxy = Proxy("127.0.0.1", wait_for_port(process, directory / "log"), process, directory)
            yield proxy
            proxy.stop()
            assert "Traceback" not in (_RECORD_OF_PLUGIN.sub("", proxy.log) if plugins_fail else proxy.log), proxy.log
        finally:
            process.kill()
            process.wait()


def to_toml(tables: Tables) -> str:
    """These tables as TOML. JSON's strings, numbers, booleans and lists are TOML's too."""
    lines = []
    for table, settings in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def wait_for_port(process: WarmProcess | subprocess.Popen[bytes], log: Path) -> int:
    """The port that a proxy says it listens on, in its log, as soon as it does."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        found = _LISTENING.search(log.read_bytes())
        if found:
            return int(found[1])
        assert process.poll() is None, f"the proxy ended with {process.returncode}: {log.read_text()}"
        time.sleep(0.02)
    raise AssertionError(f"the proxy did not listen within {START_TIMEOUT} s: {log.read_text()}")
