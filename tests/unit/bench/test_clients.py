"""The bench's own client, its holders of idle clients, and its runs of pgbench, on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import report
from bench.__main__ import application
from bench.cases import CASES
from bench.client import ServerSaid, open_client, query, wait_until_ready
from bench.holder import HolderFailed, holders
from bench.micro import time_case
from interceptor.testing.postgres import PostgresServer, free_port


def connections(server: PostgresServer) -> int:
    return int(
        server.psql(
            "select count(*) from pg_stat_activity where application_name = '' and usename = 'postgres'"
            " and client_addr is not null"
        )
    )


def test_a_client_logs_in_and_queries(postgres18: PostgresServer) -> None:
    address = (postgres18.host, postgres18.port)
    with open_client(address, user="postgres", database="postgres", source="127.0.0.1") as client:
        query(client, "select generate_series(1, 10000)")
        with pytest.raises(ServerSaid, match="division by zero"):
            query(client, "select 1/0")


def test_a_client_tells_what_the_server_said(postgres18: PostgresServer) -> None:
    with pytest.raises(ServerSaid, match='database "nowhere" does not exist'):
        open_client((postgres18.host, postgres18.port), user="postgres", database="nowhere")


def test_waiting_for_what_never_comes_says_why() -> None:
    with pytest.raises(TimeoutError, match=r"nothing answers at 127\.0\.0\.1:\d+: .*refused"):
        wait_until_ready(("127.0.0.1", free_port()), user="postgres", database="postgres", wait=0.1)


def test_idle_clients_are_held_until_they_are_closed() -> None:
    done: list[int] = []
    with (
        PostgresServer.start(settings={"max_connections": 60}, hba=["host all all 127.0.0.0/8 trust"]) as server,
        holders(40, (server.host, server.port), user="postgres", database="postgres") as held,
    ):
        held.open(done.append)
        assert connections(server) == 40
        held.query_once(done.append)
        held.close(done.append)
        assert sum(done) == 3 * 40
        with holders(61, (server.host, server.port), user="postgres", database="postgres") as too_many:
            with pytest.raises(HolderFailed, match=r"open: .*(too many clients|remaining connection slots)"):
                too_many.open(done.append)


@pytest.mark.slow
@pytest.mark.needs_pgbouncer
def test_the_whole_comparison_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(report, "DOCS", tmp_path)
    choice = ["--clients", "1,4", "--modes", "simple", "--targets", "direct,pgbouncer"]
    arguments = ["pgbench", "--quick", "--write", *choice]
    done = CliRunner().invoke(application, arguments)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "performance.md").read_text()
    assert "PgBouncer / PostgreSQL" in text
    assert "failed" not in text.lower()
    assert (tmp_path / "performance-throughput.svg").exists()
    assert len(list((tmp_path / "results").glob("pgbench-*.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["pgbench", "--targets", "oracle"], "'oracle' is not one of direct, pgbouncer, proxy"),
        (["pgbench", "--clients", "none"], "'none' is not a list of numbers"),
        (["pgbench", "--clients", "0"], "'0' is not a list of numbers"),
        (["idle", "--targets", ","], "name at least one of"),
    ],
)
def test_a_wrong_choice_is_refused_before_anything_starts(
    arguments: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for script in ("pgbench", "idle"):
        monkeypatch.delattr(f"bench.{script}.start_postgresql")
    done = CliRunner(env={"COLUMNS": "200"}).invoke(application, arguments)
    assert done.exit_code == 2
    assert complaint in done.output


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_hot_function_runs(case: object) -> None:
    found = next(one for one in CASES if one is case)
    assert time_case(found, repetitions=1).least_us > 0
