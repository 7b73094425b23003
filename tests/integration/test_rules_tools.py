"""What people and frameworks run every day passes the rules of the example: psql's commands, pg_dump, migrations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CORPUS
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

ROLES = ("analyst_jo", "payroll", "reader")
COMMANDS = r"""
\d
\d+
\d *.*
\d+ orders
\d+ hr.employees
\d+ v_secret
\dt+ *.*
\df+ *.*
\di+
\dv+
\dm+
\ds+
\dT+
\dD+
\dC+
\do+
\da
\dn+
\du+
\dp
\ddp
\dx+
\dy+
\dF+
\dFd+
\dFp+
\dL+
\dO+
\dd
\des+
\det+
\dew+
\deu+
\dP+
\dAc+
\dAf+
\dAo+
\dAp+
\dX
\dRs+
\drds
\drg
\dl+
\dconfig
\db+
\l+
\z
\sf f_sql
\sv v_secret
\conninfo
select id from orders where id = $1 \bind 1 \g
select id, customer from orders \gdesc
select customer, paid, count(*) from orders group by 1, 2 \crosstabview
select 'select 1' \gexec
begin;
declare c cursor for select id from orders;
fetch all c;
savepoint a;
rollback to a;
commit;
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    server = postgres18
    file = tmp_path_factory.mktemp("tools") / "rules.toml"
    file.write_text((CORPUS / "rules.toml").read_text())
    for role in ROLES:
        server.psql(f"drop role if exists {role}")
    server.create_database("tools")
    server.create_database("shop")
    server.psql((CORPUS / "world.sql").read_text(), dbname="tools")
    tables: Tables = {
        "databases.tools": {"primary": upstream(server, "tools"), "pool_size": 2},
        "databases.shop": {"primary": upstream(server, "shop"), "pool_size": 2},
        "plugins.rules": {"file": str(file)},
    }
    with run_proxy(tables) as running:
        yield running
    for database in ("tools", "shop"):
        server.drop_database(database)
    for role in ROLES:
        server.psql(f"drop role {role}")


def run(server: PostgresServer, proxy: Proxy, program: str, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [server.bin(program), "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", *arguments, "tools"],
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return f"{done.stderr}{done.returncode}"


def test_what_psql_asks(postgres18: PostgresServer, proxy: Proxy) -> None:
    assert run(postgres18, proxy, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", stdin=COMMANDS) == "0"


def test_a_dump_of_what_may_be_read(postgres18: PostgresServer, proxy: Proxy) -> None:
    assert run(postgres18, proxy, "pg_dump", "-t", "public.orders", "-t", "public.customers") == "0"


def test_a_dump_of_a_secret(postgres18: PostgresServer, proxy: Proxy) -> None:
    assert "touches the table vault.secret" in run(postgres18, proxy, "pg_dump", "-t", "vault.secret")


def test_migrations_of_django(proxy: Proxy) -> None:
    chosen = {"host": proxy.host, "port": proxy.port, "database": "shop", "settings": {}}
    done = subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--noinput"],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.integration.django_shop.settings",
            "DJANGO_SHOP": json.dumps(chosen),
        },
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
