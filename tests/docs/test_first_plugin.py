"""docs/tutorial/first-plugin.md, followed to the letter."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Tables, run_proxy

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial" / "first-plugin.md").read_text()
FILES = dict(re.findall(r"^```\w+ ([\w.]+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SQL = [block.strip() for block in re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60)


def test_check_is_content_and_names_the_mistake_that_the_page_proposes(folder: Path) -> None:
    done = run(folder, "-m", "pooler", "check", "--config", "interceptor.toml")
    assert done.returncode == 0, done.stderr
    config = folder / "interceptor.toml"
    config.write_text(config.read_text().replace("kinds =", "kindz ="))
    done = run(folder, "-m", "pooler", "check", "--config", "interceptor.toml")
    assert done.returncode != 0
    assert "kindz" in done.stdout + done.stderr


def test_the_test_of_the_page_passes(folder: Path) -> None:
    done = run(folder, "test_careful.py")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def client(folder: Path, postgres18: PostgresServer) -> Iterator[psycopg.Connection]:
    postgres18.create_database("first_plugin")
    tables: Tables = {
        "databases.first_plugin": {"primary": upstream(postgres18, "first_plugin")},
        "plugins": {"modules": [str(folder / "careful.py")]},
        "plugins.careful": {"kinds": ["delete", "update"]},
    }
    with (
        run_proxy(tables) as proxy,
        psycopg.connect(proxy.dsn("first_plugin"), autocommit=True) as made,
    ):
        yield made
    postgres18.drop_database("first_plugin")


def test_the_statements_of_the_page_are_answered_as_it_says(client: psycopg.Connection) -> None:
    setup, refused, passes, answered = SQL
    *made, last = setup.splitlines()
    for line in made:
        client.execute(line)
    for line in [last, *refused.splitlines()]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="needs a WHERE clause"):
            client.execute(line)
    assert client.execute(passes).rowcount == 1
    rules = client.execute(answered).fetchall()
    assert [f" {rule} " in PAGE or f" {rule}\n" in PAGE for (rule,) in rules] == [True, True]
    assert "(2 rows)" in PAGE
