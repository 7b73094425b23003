"""docs/howto/rewrite-queries.md: its plugins, loaded together, and its statements, answered as it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Tables, run_proxy

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "rewrite-queries.md").read_text()
FILES = dict(re.findall(r"^```python ([\w.]+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
STATEMENTS = re.findall(r"^```sql\n(.*?)\n```\n+(?:```\n(.*?)\n```)?", PAGE, re.MULTILINE | re.DOTALL)

TABLES = """
create table numbers (number int);
insert into numbers select generate_series(1, 100);
create table orders (item text, tenant text);
insert into orders values ('apples', 'ours'), ('pears', 'ours'), ('secrets', 'theirs');
create table stock (item text, left_over int);
create table bookings (amount int);
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, postgres18: PostgresServer) -> Iterator[psycopg.Connection]:
    folder = tmp_path_factory.mktemp("rewrites")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    postgres18.create_database("rewrites")
    postgres18.psql(TABLES, dbname="rewrites")
    assert {f"./{name}" for name in FILES} == set(re.findall(r'"(\./\w+\.py)"', PAGE))
    tables: Tables = {
        "databases.rewrites": {"primary": upstream(postgres18, "rewrites")},
        "plugins": {"modules": [str(folder / name) for name in FILES]},
    }
    with (
        run_proxy(tables) as proxy,
        psycopg.connect(proxy.dsn("rewrites"), application_name="ours", autocommit=True) as made,
    ):
        yield made
    postgres18.drop_database("rewrites")


def answer(client: psycopg.Connection, sql: str, *, extended: bool) -> str:
    with client.cursor() if extended else psycopg.ClientCursor(client) as cursor:
        try:
            cursor.execute(sql.encode(), prepare=extended)
        except psycopg.Error as error:
            return f"ERROR: {error.diag.message_primary}"
        if cursor.description is None:
            return ""
        return "\n".join(" | ".join(map(str, row)) for row in cursor)


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_the_statements_of_the_page_are_answered_as_it_says(client: psycopg.Connection, extended: bool) -> None:
    assert len(STATEMENTS) == 6
    client.execute("truncate bookings")
    for sql, expected in STATEMENTS:
        assert answer(client, sql, extended=extended) == expected


def test_the_clients_own_columns_are_described(client: psycopg.Connection) -> None:
    for cursor in (client.cursor(), psycopg.ClientCursor(client)):
        cursor.execute("SELECT item, left_over FROM stock")
        assert cursor.pgresult is not None
        assert cursor.pgresult.ftable(0) > 0


def test_an_error_points_into_the_clients_text(client: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn) as raised:
        client.execute("SELECT nope FROM numbers")
    assert raised.value.diag.statement_position == "8"
