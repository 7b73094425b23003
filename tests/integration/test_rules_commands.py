"""``interceptor check`` and ``interceptor explain`` with a rules file, as people run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CORPUS
from tests.support.proxied import upstream
from tests.support.proxy import to_toml

EXAMPLE = (CORPUS / "rules.toml").read_text()
NOWHERE = "postgresql://app@127.0.0.1:1/app"
TESTS = """
[[test]]
sql = "DELETE FROM orders"
expect = "block:no-unbounded-writes"

[[test]]
sql = "SELECT value FROM vault.secret"
user = "payroll"
expect = "{expect}"
"""


def run(
    folder: Path, command: str, *arguments: str, rules: str = EXAMPLE, primary: str = NOWHERE
) -> subprocess.CompletedProcess[str]:
    (folder / "rules.toml").write_text(rules)
    config = folder / "interceptor.toml"
    config.write_text(
        to_toml({
            "server": {"auth_type": "trust"},
            "databases.app": {"primary": primary},
            "plugins.rules": {"file": "rules.toml"},
        })
    )  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "pooler", command, "--config", str(config), *arguments],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip


def test_check_runs_the_tests_of_the_file(tmp_path: Path) -> None:
    done = run(tmp_path, "check", rules=EXAMPLE + TESTS.format(expect="allow"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "correct" in done.stdout


def test_check_names_the_test_that_fails(tmp_path: Path) -> None:
    rules = EXAMPLE + TESTS.format(expect="block:secrets")
    line = rules[: rules.rindex("[[test]]")].count("\n") + 1
    done = run(tmp_path, "check", rules=rules)
    assert done.returncode == 1
    assert done.stderr == (
        f"interceptor: plugin rules: {tmp_path}/rules.toml:{line}: test[1]: expected block:secrets, found allow: "
        "SELECT value FROM vault.secret\n"
    )


@pytest.mark.parametrize(("command", "code"), [("check", 1), ("serve", 2)])
def test_a_wrong_file_is_told_with_line_and_key(tmp_path: Path, command: str, code: int) -> None:
    rules = EXAMPLE.replace('where = "missing"', 'where = "absent"', 1)
    line = rules[: rules.index("where = ")].count("\n") + 1
    done = run(tmp_path, command, rules=rules)
    assert done.returncode == code
    assert f'rules.toml:{line}: rule[0].where: expected one of "missing"' in done.stderr


def test_explain_names_the_rule_and_what_it_matched_on(tmp_path: Path, postgres18: PostgresServer) -> None:
    postgres18.create_database("explained")
    for sql in (
        "create schema vault; create table vault.secret (id int, value text); create view shown as table vault.secret",
        "create function told() returns text language plpgsql as "
        "$$ begin return (select max(value) from vault.secret); end $$",
    ):
        postgres18.psql(sql, dbname="explained")
    try:
        primary = upstream(postgres18, "explained")
        done = run(tmp_path, "explain", "--format", "json", "SELECT told() FROM shown", primary=primary)
        (guard,) = [one for one in json.loads(done.stdout)["plugins"] if one["phase"] == "guard"]
        assert (guard["decision"], guard["reason"]) == ("block", "blocked by secrets")
        assert guard["value"]["sqlstate"] == "42501"
        assert guard["facts"] == [
            "block by secrets: it touches the table vault.secret through public.shown",
            "block by secrets: it touches the table vault.secret in the function public.told",
        ]
        passed = run(tmp_path, "explain", "--user", "payroll", "--format", "json", "TABLE shown", primary=primary)
        (guard,) = [one for one in json.loads(passed.stdout)["plugins"] if one["phase"] == "guard"]
        assert guard["decision"] == "none"
    finally:
        postgres18.drop_database("explained")
