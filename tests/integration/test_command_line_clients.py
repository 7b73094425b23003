"""psql, pgbench and pg_dump through the proxy, those of each server's own version."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_for

DATABASE = "command_line"


@pytest.fixture(scope="module")
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    postgres.create_database(DATABASE)
    postgres.psql("create table item (id int primary key, name text)", dbname=DATABASE)
    tables: Tables = {
        "databases.transaction": {"primary": upstream(postgres, DATABASE), "pool_size": 2},
        "databases.session": {"primary": upstream(postgres, DATABASE), "pool_mode": "session"},
        "databases.statement": {"primary": upstream(postgres, DATABASE), "pool_mode": "statement", "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    postgres.drop_database(DATABASE)


@pytest.fixture(params=["transaction", "session"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(
    postgres: PostgresServer, program: str, *arguments: str, script: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return subprocess.run(
        [str(postgres.bin(program)), *arguments],
        input=script,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def psql(postgres: PostgresServer, dsn: str, script: str, folder: Path) -> tuple[list[str], str]:
    """Lines of output, and all errors."""
    done = run(postgres, "psql", "-XAtq", dsn, script=script, folder=folder)
    return done.stdout.splitlines(), done.stderr


def test_psql_runs_a_script_of_everything(proxy: Proxy, postgres: PostgresServer, mode: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("1,one\n2,two\n3,three\n")
    script = r"""
        truncate item;
        \copy item from 'in.csv' csv
        \copy (select * from item order by id desc) to 'out.csv' csv
        select count(*) from item;
        begin;
        insert into item values (4, 'four');
        savepoint a;
        insert into item values (1, 'twice');
        rollback to a;
        commit;
        select count(*) from item;
        select 1/0;
        select id, name from item where id < 3 \gdesc
        select 'watched' \watch i=0.01 c=3
        select $1::text || $2 \bind 'bo' 'und' \g
        select 'one' \; select 'two';
        \set FETCH_COUNT 2
        select name from item order by id;
        select 'made ' || 'by gexec' \gexec
        \d item
        \connect
        select 'connected again';
    """
    seen = psql(postgres, proxy.dsn(mode), script, tmp_path)
    assert (tmp_path / "out.csv").read_text() == "3,three\n2,two\n1,one\n"
    assert seen == psql(postgres, postgres.dsn(DATABASE), script, tmp_path)
    assert seen[0][-1] == "connected again"
    assert seen[1].count("ERROR") == 3


def test_psql_gets_the_error_of_a_copy_that_fails_at_its_first_row(
    proxy: Proxy, postgres: PostgresServer, mode: str, tmp_path: Path
) -> None:
    """Trap 27."""
    (tmp_path / "bad.csv").write_text("no number,x\n" * 1_000_000)
    lines, errors = psql(postgres, proxy.dsn(mode), "\\copy item from 'bad.csv' csv\nselect 'goes on';\n", tmp_path)
    assert 'invalid input syntax for type integer: "no number"' in errors
    assert lines == ["goes on"]


def test_psql_is_interrupted_by_control_c(proxy: Proxy, postgres: PostgresServer, mode: str) -> None:
    command = [str(postgres.bin("psql")), "-XAtq", proxy.dsn(mode)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"select pg_sleep(600);\n")
        process.stdin.flush()
        with Activity(postgres, DATABASE) as activity:
            activity.wait_for_query("pg_sleep(600)")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=30)
            assert b"canceling statement due to user request" in complaints
            wait_for("the query is gone", lambda: "active" not in activity.states())


@pytest.fixture
def bank(postgres: PostgresServer) -> Iterator[None]:
    """pgbench's own tables, made directly on the server."""
    done = run(postgres, "pgbench", "-i", "-q", "-s", "2", postgres.dsn(DATABASE))
    assert done.returncode == 0, done.stderr
    yield
    postgres.psql("drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers", dbname=DATABASE)


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_moves_money_by_ten_clients_on_two_backends_and_the_books_balance(
    proxy: Proxy, postgres: PostgresServer, bank: None, protocol: str
) -> None:
    # A thread for each client: pgbench waits for the answer to a Parse, and a client of the same thread may be in the
    # midst of a transaction on the very backend that is waited for.
    arguments = ["-n", "-c", "10", "-j", "10", "-t", "30", "-M", protocol, proxy.dsn("transaction")]
    done = run(postgres, "pgbench", *arguments)
    assert done.returncode == 0, done.stderr
    assert "number of transactions actually processed: 300/300" in done.stdout
    balances = postgres.psql(
        "select (select sum(delta) from pgbench_history), (select sum(bbalance) from pgbench_branches),"
        " (select sum(tbalance) from pgbench_tellers), (select sum(abalance) from pgbench_accounts),"
        " (select count(*) from pgbench_history)",
        dbname=DATABASE,
    ).split("|")
    assert len(set(balances[:4])) == 1
    assert balances[4] == "300"


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_reads_in_statement_mode(proxy: Proxy, postgres: PostgresServer, bank: None, protocol: str) -> None:
    arguments = ["-n", "-S", "-c", "10", "-t", "50", "-M", protocol]
    done = run(postgres, "pgbench", *arguments, proxy.dsn("statement"))
    assert done.returncode == 0, done.stderr
    assert "number of transactions actually processed: 500/500" in done.stdout


def test_pgbench_pipelines_and_reconnects(
    proxy: Proxy, postgres: PostgresServer, bank: None, mode: str, tmp_path: Path
) -> None:
    script = tmp_path / "pipeline.sql"
    script.write_text(
        "\\startpipeline\nselect 1;\nselect count(*) from pgbench_branches;\n\\syncpipeline\nselect 2;\n\\endpipeline\n"
        if postgres.version >= 17
        else "\\startpipeline\nselect 1;\nselect count(*) from pgbench_branches;\nselect 2;\n\\endpipeline\n"
    )
    arguments = ["-n", "-C", "-c", "4", "-t", "20", "-M", "extended", "-f", str(script)]
    done = run(postgres, "pgbench", *arguments, proxy.dsn(mode))
    assert done.returncode == 0, done.stderr
    assert "80/80" in done.stdout


def test_pgbench_initializes_through_the_proxy(proxy: Proxy, postgres: PostgresServer, mode: str) -> None:
    done = run(postgres, "pgbench", "-i", "-I", "dtgvpd", "-q", "-s", "1", proxy.dsn(mode))
    assert done.returncode == 0, done.stderr


def test_pg_dump_and_restore_through_the_proxy(
    proxy: Proxy, postgres: PostgresServer, mode: str, tmp_path: Path
) -> None:
    """pg_dump empties its search_path by set_config, which must not stay with the backend."""
    postgres.psql("truncate item; insert into item select i, 'x' from generate_series(1, 1000) i", dbname=DATABASE)
    dump = tmp_path / "dump"
    done = run(postgres, "pg_dump", "-Fc", "-t", "item", "-f", str(dump), proxy.dsn(mode))
    assert done.returncode == 0, done.stderr
    done = run(postgres, "pg_restore", "--clean", "-d", proxy.dsn(mode), str(dump))
    assert done.returncode == 0, done.stderr
    lines, errors = psql(postgres, proxy.dsn(mode), "select count(*) from item; show search_path;", tmp_path)
    assert (lines, errors) == (["1000", '"$user", public'], "")
