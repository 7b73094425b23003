"""What is measured: PostgreSQL itself, PgBouncer before it, and the proxy before it, each started for the run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bench.client import wait_until_ready
from interceptor.testing.postgres import PostgresServer

__all__ = [
    "DATABASE",
    "TARGETS",
    "USER",
    "Backend",
    "Target",
    "direct",
    "find_pgbouncer",
    "free_port",
    "pgbouncer",
    "pgbouncer_version",
    "proxy",
    "start_postgresql",
    "start_targets",
]

TARGETS = ("direct", "pgbouncer", "proxy")
DATABASE = "bench"
USER = "postgres"
POOL_SIZE = 20
MAX_CLIENTS = 200_000  # never the limit: that is the descriptors of the process
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Backend:
    """The PostgreSQL behind all targets."""

    address: tuple[str, int]
    pid: int
    pgbench: Path
    version: str


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to measure. ``pid`` is the root of the pooler's processes, None where there is no pooler.

    ``prepared`` is how many clients can use prepared statements at once, where backends are shared by transaction.
    """

    name: str
    label: str
    address: tuple[str, int]
    pid: int | None
    version: str
    prepared: int = MAX_CLIENTS


@contextmanager
def start_postgresql(max_connections: int = 300) -> Iterator[Backend]:
    """An embedded PostgreSQL 18 with an empty database to fill, calm enough to measure by."""
    settings: dict[str, str | int | bool] = {
        "max_connections": max_connections,
        "shared_buffers": "256MB",
        "autovacuum": False,
        "jit": False,
        "max_wal_size": "4GB",
        "log_min_messages": "fatal",
    }
    # Idle clients come from many addresses.
    hba = ["host all all 127.0.0.0/8 trust"]
    with _ended_by_sigterm(), PostgresServer.start(version=18, settings=settings, hba=hba) as server:
        address = (server.host, server.port)
        server.create_database(DATABASE)
        version = server.psql("show server_version")
        yield Backend(address, server.pids()[0], server.bin("pgbench"), version)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that every server that was started is stopped."""

    def leave(signum: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def direct(backend: Backend) -> Target:
    """PostgreSQL with nothing before it."""
    return Target("direct", "PostgreSQL", backend.address, None, backend.version)


def find_pgbouncer(named: Path | None = None) -> Path | None:
    """The PgBouncer to use: the one named, or the first on the PATH (Debian keeps it out of a user's)."""
    if named is not None:
        return named
    found = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def pgbouncer_version(program: Path) -> tuple[int, ...]:
    """Its version as numbers, such as (1, 25, 0)."""
    said = _run([str(program), "--version"])
    found = re.search(r"PgBouncer (\d+(?:\.\d+)*)", said)
    if found is None:
        raise RuntimeError(f"{program.name} --version says {said!r}, which names no version")
    return tuple(int(part) for part in found[1].split("."))


@contextmanager
def pgbouncer(backend: Backend, program: Path) -> Iterator[Target]:
    """One PgBouncer process in transaction mode, with no limit on its clients."""
    version = pgbouncer_version(program)
    prepared = MAX_CLIENTS if version >= (1, 21) else 0  # max_prepared_statements came with it
    with _directory() as directory:
        address = ("127.0.0.1", free_port())
        (directory / "users.txt").write_text(f'"{USER}" ""\n')
        lines = [
            "[databases]",
            f"{DATABASE} = host={backend.address[0]} port={backend.address[1]} dbname={DATABASE} user={USER}",
            "[pgbouncer]",
            f"listen_addr = {address[0]}",
            f"listen_port = {address[1]}",
            "unix_socket_dir =",
            "auth_type = trust",
            f"auth_file = {directory / 'users.txt'}",
            "pool_mode = transaction",
            f"default_pool_size = {POOL_SIZE}",
            f"max_client_conn = {MAX_CLIENTS}",
            "ignore_startup_parameters = extra_float_digits",
            "listen_backlog = 4096",
            "log_connections = 0",
            "log_disconnections = 0",
            "log_stats = 0",
        ]
        if prepared:
            lines.append("max_prepared_statements = 200")
        config = directory / "pgbouncer.ini"
        config.write_text("\n".join(lines) + "\n")
        # As root it refuses to run; told of a user, it becomes that one.
        become = ["-u", "nobody"] if os.geteuid() == 0 else []
        with _process([str(program), *become, str(config)], directory / "log", address) as pid:
            yield Target("pgbouncer", "PgBouncer", address, pid, ".".join(map(str, version)), prepared)


@contextmanager
def proxy(
    backend: Backend,
    *,
    tree: Path | None = None,
    name: str = "proxy",
    settings: str = "",
    rules: str | None = None,
    module: Sequence[str] = ("pooler",),
    auth: str = "trust",
    auth_file: Path | None = None,
) -> Iterator[Target]:
    """The proxy with PgBouncer's settings, of the sources in ``tree``, by default these.

    ``settings`` is TOML to add to [server]; ``rules`` the text of a rules file, where plugins are on; ``module`` is
    what to run, with arguments to stand before the command.
    """
    tree = (tree or _ROOT).resolve()
    with _directory() as directory:
        address = ("127.0.0.1", free_port())
        (directory / "users.txt").write_text(f'"{USER}" ""\n')
        host, port = backend.address
        config = directory / "interceptor.toml"
        config.write_text(
            f"""[server]
listen_addr = "{address[0]}"
listen_port = {address[1]}
pool_mode = "transaction"
default_pool_size = {POOL_SIZE}
max_client_conn = {MAX_CLIENTS}
auth_type = "{auth}"
auth_file = "{auth_file or directory / "users.txt"}"
{settings}

[databases.{DATABASE}]
primary = "postgresql://{USER}@{host}:{port}/{DATABASE}"
{"[plugins.rules]" if rules is not None else ""}
{'file = "rules.toml"' if rules is not None else ""}
"""
        )
        if rules is not None:
            (directory / "rules.toml").write_text(rules)
        command = [sys.executable, "-m", *module, "serve", "--config", str(config)]
        environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'plugins'}"}
        with _process(command, directory / "log", address, cwd=tree, environment=environment) as pid:
            yield Target(name, "Interceptor" if name == "proxy" else name, address, pid, "")


@contextmanager
def start_targets(
    backend: Backend, names: Sequence[str], *, program: Path | None = None, tree: Path | None = None
) -> Iterator[list[Target]]:
    """Start the targets ``names`` in this order, leaving PgBouncer out where there is none.

    ``program`` names a PgBouncer; ``tree`` is a second checkout of the proxy to measure beside this one.
    """
    with ExitStack() as stack:
        started: list[Target] = []
        for name in names:
            if name == "direct":
                started.append(direct(backend))
            elif name == "proxy":
                started.append(stack.enter_context(proxy(backend)))
            elif (found := find_pgbouncer(program)) is not None:
                started.append(stack.enter_context(pgbouncer(backend, found)))
        if tree is not None:
            started.append(
                stack.enter_context(proxy(backend, tree=tree.resolve(), name=f"proxy@{tree.resolve().name}"))
            )
        yield started


@contextmanager
def _process(
    command: list[str],
    log: Path,
    address: tuple[str, int],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Run ``command`` until the block ends, and give its pid once it answers queries at ``address``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=environment
        )
    try:
        try:
            wait_until_ready(address, user=USER, database=DATABASE)
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from error
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _directory() -> Iterator[Path]:
    """A new directory that another user may read, as PgBouncer gives up being root."""
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def free_port() -> int:
    """A TCP port of the loopback address that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout.strip()
