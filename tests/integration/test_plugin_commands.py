"""``interceptor plugins``, ``explain`` and ``check``, run as commands over the examples and over broken plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Tables, Value, to_toml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

NOWHERE = "postgresql://app@127.0.0.1:1/app"

CHECKED = """
from __future__ import annotations
from interceptor import *

@hookimpl
def guard(statement, session):
    async def wait(execution):
        return Block("42501", "no drops")
    return wait if "drop" in statement.text.lower() else None

@hookimpl
def check(trial):
    for sql in ("DROP TABLE a", "TRUNCATE a"):
        if not isinstance(trial.decide(sql).action, Block):
            yield f"rules.toml:7: {sql} is let through"
"""

RESOLVING = """
from __future__ import annotations
from interceptor import *

@plugin(version="2", needs_catalogue=True)
class Resolving:
    def __init__(self, context):
        pass

    @hookimpl
    def guard(self, statement, session):
        resolution = statement.resolution
        if resolution.closures is None:
            return Plan(reason="no catalogue")
        names = resolution.closures.names
        found = [names.relation(resolution.scope, name.name, name.schema) for name in statement.facts.reads]
        snapshot = resolution.closures.snapshot
        return Plan(reason="reads", facts=tuple(".".join(snapshot.qualified_name(one)) for one in found))
"""


def example_tables(**more: Mapping[str, Value]) -> Tables:
    return {
        "server": {"auth_type": "trust"},
        "databases.app": {"primary": NOWHERE, "replicas": ["postgresql://10.0.0.2"]},
        "plugins": {"modules": [str(path) for path in sorted(EXAMPLES.glob("*.py"))]},
        "plugins.block_word": {"words": ["dblink"]},
        "plugins.read_elsewhere": {"target": "replica1", "functions": ["count"]},
        **more,
    }


def run(
    tmp_path: Path, command: str, *arguments: str, tables: Tables | None = None, **files: str
) -> subprocess.CompletedProcess[str]:
    for name, content in files.items():
        (tmp_path / f"{name}.py").write_text(content)
    if tables is None:
        tables = example_tables()
    config = tmp_path / "interceptor.toml"
    config.write_text(to_toml(tables))
    return subprocess.run(
        [sys.executable, "-m", "pooler", command, "--config", str(config), *arguments],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip


def of_files(*names: str, primary: str = NOWHERE) -> Tables:
    return {
        "server": {"auth_type": "trust"},
        "databases.app": {"primary": primary},
        "plugins": {"modules": [f"{name}.py" for name in names]},
    }


# --- plugins ---------------------------------------------------------------------------------------------------------


def test_plugins_lists_the_examples(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["Plugin", "Version", "State", "Policy", "Hooks"],
        ["block_word", "1.0", "active", "by", "phase", "guard"],
        ["read_elsewhere", "1.0", "active", "by", "phase", "route"],
        ["hello", "-", "active", "by", "phase", "virtual"],
    ]


def test_plugins_lists_sound_ones_beside_one_that_must_not_be_missing(tmp_path: Path) -> None:
    source = "from interceptor import *\n@hookimpl\ndef guard(statement, session): ...\n1 / 0\n"
    done = run(tmp_path, "plugins", tables=of_files("checked", "bad"), checked=CHECKED, bad=source)
    assert done.returncode == 0
    sound, broken = done.stdout.splitlines()[1:3]
    assert sound.split() == ["checked", "-", "active", "by", "phase", "check,", "guard"]
    assert broken.split()[:4] == ["bad", "-", "broken", "closed"]
    assert "bad.py:4" in done.stdout.replace("\n", "").replace(" ", "")


def test_without_plugins_there_is_a_sentence(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins", tables={"server": {"auth_type": "trust"}, "databases.app": {"primary": NOWHERE}})
    assert done.returncode == 0
    assert "no plugins" in done.stdout


def test_without_a_configuration_the_installed_plugins_are_listed(tmp_path: Path) -> None:
    package = tmp_path / "broken_one"
    package.mkdir()
    (package / "__init__.py").write_text("from interceptor import hookimpl\n\n1 / 0\n")
    distribution = tmp_path / "broken_one-3.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-one\nVersion: 3\n")
    (distribution / "entry_points.txt").write_text("[interceptor]\nbroken_one = broken_one\n")
    done = subprocess.run(
        [sys.executable, "-m", "pooler", "plugins"],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert lines["broken_one"][:4] == ["broken_one", "3", "broken", "open"]
    assert "ZeroDivisionError" in done.stdout
    assert lines["rules"][2:4] == ["installed", "closed"]
    assert "guard," in lines["rules"]
    assert lines["query_log"][2:5] == ["installed", "by", "phase"]


def test_an_unknown_plugin_is_an_error_with_its_line(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins", tables=example_tables(**{"plugins.helo": {}}))
    assert done.returncode == 2
    assert "plugins.helo: no plugin of this name" in done.stderr
    assert 'did you mean "hello"' in done.stderr


# --- explain ---------------------------------------------------------------------------------------------------------


def explained(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    assert done.returncode == 0, done.stderr
    return {one["plugin"]: one for one in json.loads(done.stdout)["plugins"]}


def test_explain_says_per_plugin_what_is_decided_and_why(tmp_path: Path) -> None:
    done = run(tmp_path, "explain", "--format", "json", "SELECT count(*) FROM orders")
    document = json.loads(done.stdout)
    assert document["database"] == document["user"] == "app"
    assert document["statement"] == {
        "kinds": ["select"], "reads": ["orders"], "writes": [], "defines": [], "calls": ["count"], "opaque": [],
    }  # fmt: skip
    plugins = explained(done)
    assert plugins["read_elsewhere"] == {
        "plugin": "read_elsewhere",
        "phase": "route",
        "decision": "route",
        "reason": "a read that calls nothing unknown",
        "facts": [],
        "value": {"target": "replica1"},
    }
    assert plugins["block_word"]["decision"] == plugins["hello"]["decision"] == "none"


def test_explain_shows_a_block_a_step_and_facts(tmp_path: Path) -> None:
    blocked = explained(run(tmp_path, "explain", "--format", "json", "SELECT dblink('x')"))
    assert blocked["block_word"]["decision"] == "block"
    assert blocked["block_word"]["value"] == {
        "sqlstate": "42501", "message": "this word is not allowed here", "detail": 'The word is "dblink".',
    }  # fmt: skip
    assert blocked["read_elsewhere"]["facts"] == ["dblink"]
    answered = explained(run(tmp_path, "explain", "--format", "json", "select hello()"))
    assert (answered["hello"]["decision"], answered["hello"]["reason"]) == ("at execution", "it asks for hello()")


def test_explain_as_text_names_all_of_it(tmp_path: Path) -> None:
    done = run(tmp_path, "explain", "SELECT dblink('x') FROM orders")
    for text in ("app at app", "orders", "dblink", "block_word", "42501", "this word is not allowed here", "hello"):
        assert text in done.stdout
    assert done.stderr == ""


def test_explain_reads_what_no_plugin_looks_at(tmp_path: Path) -> None:
    done = run(tmp_path, "explain", "SELEC 1", tables=of_files())
    assert done.returncode == 0
    assert "unreadable" in done.stdout
    assert "No plugin looks at statements" in done.stdout


def test_explain_takes_a_text_that_is_long(tmp_path: Path) -> None:
    done = run(tmp_path, "explain", "--format", "json", f"SELECT * FROM t WHERE i IN ({'1, ' * 20_000}1)")
    assert explained(done)["read_elsewhere"]["decision"] == "route"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--database", "other"], 'there is no database "other"'),
        (["--database", "own"], "give --user"),
        ([], "give --database: the configuration has 2 databases"),
    ],
)
def test_explain_asks_for_what_it_must_know(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    tables = example_tables(**{"databases.own": {"primary": "postgresql://127.0.0.1:1/own"}})
    done = run(tmp_path, "explain", *arguments, "SELECT 1", tables=tables)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_explain_resolves_names_where_a_plugin_asks(tmp_path: Path, postgres18: PostgresServer) -> None:
    postgres18.psql("create role seer login; alter role seer set search_path = insight; create schema insight")
    postgres18.psql("create table insight.explained (i int); grant usage on schema insight to seer")
    try:
        tables = of_files("resolving", primary=upstream(postgres18, "postgres", "seer"))
        done = run(tmp_path, "explain", "--format", "json", "TABLE explained", tables=tables, resolving=RESOLVING)
        assert explained(done)["resolving"]["facts"] == ["insight.explained"]
        document = json.loads(done.stdout)
        assert (document["role"], document["search_path"], document["notes"]) == ("seer", "insight", [])
    finally:
        postgres18.psql("drop schema insight cascade; drop role seer")


def test_explain_says_when_the_server_can_not_be_asked(tmp_path: Path) -> None:
    done = run(tmp_path, "explain", "TABLE x", tables=of_files("resolving"), resolving=RESOLVING)
    assert done.returncode == 0
    assert "no catalogue" in done.stdout
    assert "note: " in done.stdout
    assert "cannot connect to the server" in done.stdout


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_finds_the_examples_correct(tmp_path: Path) -> None:
    done = run(tmp_path, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "correct" in done.stdout


def test_check_names_what_a_plugin_finds_wrong(tmp_path: Path) -> None:
    done = run(tmp_path, "check", tables=of_files("checked"), checked=CHECKED)
    assert done.returncode == 1
    assert done.stderr == "interceptor: plugin checked: rules.toml:7: TRUNCATE a is let through\n"


def test_check_names_each_broken_plugin_with_file_and_line(tmp_path: Path) -> None:
    raising = "from interceptor import *\n\n@hookimpl\ndef check(trial):\n    return [1 / 0]\n"
    broken = "from interceptor import *\n@hookimpl\ndef observ(statement, session): ...\n"
    done = run(tmp_path, "check", tables=of_files("raising", "broken"), raising=raising, broken=broken)
    assert done.returncode == 1
    one, other = done.stderr.splitlines()
    assert one.endswith("broken.py:2: there is no hook observ; did you mean observe?")
    assert other.endswith("raising.py:5: its hook check raised ZeroDivisionError: division by zero")


def test_check_tells_a_wrong_table_of_a_plugin_with_its_line(tmp_path: Path) -> None:
    done = run(tmp_path, "check", tables=example_tables(**{"plugins.block_word": {"word": ["x"]}}))
    assert done.returncode == 1
    assert 'interceptor.toml:9: plugins.block_word.word: unknown setting; did you mean "words"?' in done.stderr
