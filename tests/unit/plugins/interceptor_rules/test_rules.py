"""Rules through the plugin: what decides, what acts, and what holds where nothing does."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from interceptor import Block, Forward, Limits, Statement
from interceptor.catalogue import Scope
from interceptor.hooks.chain import Chain
from interceptor.sql.bodies import functions_made
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts
from interceptor.testing.harness import PluginHarness
from interceptor_rules.judging import judge
from interceptor_rules.loading import read_rules
from interceptor_rules.reading import MessageReader
from interceptor_rules.who import Whom
from interceptor_rules.world import Worlds
from tests.unit.plugins.interceptor_rules.conftest import MakeRules


def outcome(harness: PluginHarness, sql: str, user: str = "app", path: str | None = "public") -> object:
    return harness.decide(sql, session=harness.session(user=user, search_path=path)).action


def blocked(harness: PluginHarness, sql: str, user: str = "app", path: str | None = "public") -> str:
    action = outcome(harness, sql, user, path)
    return action.message if isinstance(action, Block) else ""


def rule(name: str, action: str = "block", **keys: str) -> str:
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[[rule]]\nname = "{name}"\naction = "{action}"\n{more}'


# --- What decides ------------------------------------------------------------------------------------------------


def test_the_first_rule_that_allows_or_blocks_decides(make_rules: MakeRules) -> None:
    harness = make_rules(
        rule("good", "allow", users='["app"]')
        + rule("watch", "log", tables='["t"]')
        + rule("bad", tables='["t"]', message='"no"')
    )
    assert blocked(harness, "SELECT * FROM t") == ""
    assert blocked(harness, "SELECT * FROM t", "other") == "no"


def test_an_allow_rule_must_cover_all_that_a_statement_touches(make_rules: MakeRules) -> None:
    harness = make_rules(
        'default = "block"\non_opaque = "allow"\n'
        + rule("ours", "allow", tables='["ours.*"]', statements='["select", "insert"]')
        + rule("mine", "allow", tables='["mine.t"]', functions='["lower"]')
    )
    assert blocked(harness, "SELECT * FROM ours.a, ours.b") == ""
    assert blocked(harness, "INSERT INTO ours.a SELECT * FROM ours.b") == ""
    assert blocked(harness, "SELECT * FROM ours.a, theirs.b")
    assert blocked(harness, "SELECT (SELECT x FROM theirs.b) FROM ours.a")
    assert blocked(harness, "WITH d AS (DELETE FROM ours.a) SELECT * FROM ours.b")
    assert blocked(harness, "SELECT 1")
    assert blocked(harness, "SELECT lower(a) FROM mine.t") == ""
    assert blocked(harness, "SELECT upper(a) FROM mine.t")
    assert blocked(harness, "SELECT * FROM ours.a; SELECT * FROM theirs.a")


def test_opaque_statements(make_rules: MakeRules) -> None:
    harness = make_rules(rule("admin", "allow", users='["admin"]') + rule("t", tables='["t"]'))
    for sql in ("DO $$ BEGIN END $$", "CALL p()", "EXECUTE x", "SELECT made_by_somebody()", "COPY x TO PROGRAM 'y'"):
        assert "may do more" in blocked(harness, sql), sql
        assert blocked(harness, sql, "admin") == "", sql
    harness = make_rules('on_opaque = "allow"\n' + rule("t", tables='["t"]', message='"t"'))
    assert blocked(harness, "DO $$ BEGIN PERFORM f(); END $$") == ""
    assert blocked(harness, "DO $$ BEGIN PERFORM 1 FROM t; END $$") == "t"


def test_trusted_functions(make_rules: MakeRules) -> None:
    harness = make_rules('trusted_functions = ["billing.*", "f"]\n' + rule("t", tables='["t"]'))
    assert blocked(harness, "SELECT billing.charge(1), f()") == ""
    assert blocked(harness, "CALL billing.close()") == ""
    assert blocked(harness, "SELECT g()")
    assert blocked(harness, "CREATE FUNCTION billing.x() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert blocked(harness, "ALTER FUNCTION x() RENAME TO f")


def test_extensions_that_are_trusted_may_be_installed(make_rules: MakeRules) -> None:
    harness = make_rules(rule("t", tables='["t"]'))
    assert blocked(harness, 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"') == ""
    assert blocked(harness, "CREATE EXTENSION hstore WITH SCHEMA public VERSION '1.8'") == ""
    for sql in ("CREATE EXTENSION earthdistance CASCADE", "CREATE EXTENSION dblink", "ALTER EXTENSION hstore UPDATE"):
        assert "may do more" in blocked(harness, sql)
    harness = make_rules('trusted_extensions = ["postgis*"]\n' + rule("t", tables='["t"]'))
    assert blocked(harness, "CREATE EXTENSION postgis_raster") == ""
    assert "may do more" in blocked(harness, "CREATE EXTENSION hstore")


def test_unparsable_statements(make_rules: MakeRules) -> None:
    texts = ["SELEC", "SELECT " + "(" * 6000 + "1" + ")" * 6000, "SELECT 1 " + "-- x" * 300_000, "SELECT 'a"]
    harness = make_rules(rule("admin", "allow", users='["admin"]'))
    for sql in texts:
        assert "can't be analysed" in blocked(harness, sql)
        assert blocked(harness, sql, "admin") == ""
    harness = make_rules('on_unparsable = "allow"\n')
    assert [blocked(harness, sql) for sql in texts] == ["", "", "", ""]


def test_with_an_unknown_path_a_name_may_be_any_of_that_name(make_rules: MakeRules) -> None:
    harness = make_rules(rule("a", tables='["vault.*"]'))
    assert blocked(harness, "SELECT * FROM t", path=None)
    assert blocked(harness, "SELECT * FROM t", path="public") == ""
    assert blocked(harness, "SELECT * FROM t", path="vault")
    assert blocked(harness, "SELECT * FROM public.t", path=None) == ""
    assert blocked(harness, "SELECT * FROM orders", path=None) == ""


def test_without_a_catalogue_a_name_may_be_anything(make_rules: MakeRules) -> None:
    harness = make_rules('on_opaque = "allow"\n' + rule("a", tables='["vault.*"]', message='"a"'), catalogue=None)
    assert blocked(harness, "SELECT * FROM t") == "a"
    assert blocked(harness, "SELECT * FROM public.t") == "", "on_opaque allows what a view may hide"
    harness = make_rules(rule("a", tables='["vault.*"]'), catalogue=None)
    assert "may do more" in blocked(harness, "SELECT * FROM public.t")
    assert blocked(harness, "SELECT 1") == ""


# --- Who and when ------------------------------------------------------------------------------------------------


def test_the_role_of_the_moment_counts(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", roles='["boss"]', statements='["delete"]'))
    session = harness.session(role="boss")
    sql = "DELETE FROM public.t WHERE id = 1"
    assert isinstance(harness.decide(sql, session=session).action, Block)
    session.role, session.table = "clerk", None
    assert not isinstance(harness.decide(sql, session=session).action, Block)
    session.role, session.table = None, None
    assert isinstance(harness.decide(sql, session=session).action, Block), "it may be the boss"


def test_a_transaction_counts_at_each_execution(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", in_transaction="false", statements='["delete"]'))
    sql = "DELETE FROM public.t WHERE id = 1"
    assert isinstance(harness.decide(sql).action, Block)
    assert not isinstance(harness.decide(sql, in_transaction=True).action, Block)
    at_parse = harness.at_parse(sql)
    assert at_parse is not None
    assert at_parse.block is None, "only the execution tells"


def test_hours(make_rules: MakeRules, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = make_rules(rule("r", hours='"09:00-17:00"', time_zone='"Asia/Tokyo"', statements='["select"]'))

    class Clock(datetime):
        hour_now = 0

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 5, cls.hour_now, tzinfo=UTC)

    monkeypatch.setattr("interceptor_rules.datetime", Clock)
    assert blocked(harness, "SELECT 1"), "nine in Tokyo"
    Clock.hour_now = 9
    assert blocked(harness, "SELECT 1") == ""


def test_a_limit_by_a_parameter(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", limit_over="100", tables='["t"]'))
    sql = "SELECT * FROM t LIMIT $1"
    session = harness.session(search_path="public")
    values = [(50, False), (100, False), (101, True), (None, True)]
    for value, expected in values:
        found = harness.decide(sql, [value], types=["int8"], session=session).action
        assert isinstance(found, Block) is expected, value
    assert isinstance(harness.decide(sql, session=session).action, Block), "a value that can't be told"


# --- What acts ---------------------------------------------------------------------------------------------------


def test_limits_and_settings_are_put_together(make_rules: MakeRules) -> None:
    harness = make_rules(
        rule("a", "limit_rows", limit_rows="100")
        + rule("b", "limit_bytes", limit_bytes='"1kB"')
        + rule("c", "set", set='{ statement_timeout = "5s" }')
        + rule("d", "allow", limit_rows="50", set='{ lock_timeout = "1s" }')
    )
    found = harness.decide("SELECT 1")
    assert found.limits == Limits(50, 1024)
    assert found.settings == {"statement_timeout": "5s", "lock_timeout": "1s"}


def test_a_limit_is_added(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", "rewrite", limit='"missing"', add_limit="10"))
    session = harness.session(search_path="public")

    def rewritten(sql: str) -> str:
        return harness.decide(sql, session=session).execution.statement.text

    assert rewritten("SELECT * FROM t") == "SELECT * FROM t\nLIMIT 10"
    assert rewritten("SELECT * FROM t -- all") == "SELECT * FROM t -- all\nLIMIT 10"
    assert rewritten("SELECT * FROM t FOR UPDATE;") == "SELECT * FROM t FOR UPDATE\nLIMIT 10;"
    assert rewritten("SELECT a FROM t UNION SELECT b FROM u") == "SELECT a FROM t UNION SELECT b FROM u\nLIMIT 10"
    for same in ("SELECT * FROM t LIMIT 5", "SELECT 1", "DELETE FROM t", "SELECT * FROM t; SELECT * FROM u"):
        assert rewritten(same) == same
    refused = harness.decide("SELECT * FROM t LIMIT ALL", session=session).action
    assert isinstance(refused, Block)
    assert refused.hint == "Write LIMIT 10"


def test_a_throttle_by_the_second(make_rules: MakeRules, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("interceptor_rules.time.monotonic", lambda: now[0])
    harness = make_rules(
        rule("r", "throttle", per_second="2", per='"user"', statements='["select"]')
        + rule("w", "throttle", per_second="1", excess='"wait"', statements='["show"]')
    )
    assert [type(outcome(harness, "SELECT 1")).__name__ for _ in range(3)] == ["Forward", "Forward", "Block"]
    assert isinstance(outcome(harness, "SELECT 1", "other"), Forward)
    now[0] += 0.5
    assert [type(outcome(harness, "SELECT 1")).__name__ for _ in range(2)] == ["Forward", "Block"]
    before = harness.waits.now
    for _ in range(3):
        outcome(harness, "SHOW work_mem")
    assert harness.waits.now - before == pytest.approx(3.0), "none, one second, two seconds"


def test_a_throttle_at_once(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", "throttle", at_once="2", statements='["select"]', sqlstate='"53300"'))
    running = [harness.decide("SELECT 1") for _ in range(2)]
    third = harness.decide("SELECT 1")
    assert isinstance(third.action, Block)
    assert third.action.sqlstate == "53300"
    harness.finish(running[0])
    running.append(harness.decide("SELECT 1"))
    assert isinstance(harness.decide("SELECT 1").action, Block)
    harness.fail(running[1])
    harness.finish(running[2])
    assert [type(harness.decide("SELECT 1").action).__name__ for _ in range(3)] == ["Forward", "Forward", "Block"]


# --- Modes -------------------------------------------------------------------------------------------------------


def test_shadow_refuses_nothing_and_counts(make_rules: MakeRules, caplog: pytest.LogCaptureFixture) -> None:
    harness = make_rules(
        'mode = "shadow"\ndefault = "block"\n' + rule("r", tables='["t"]') + rule("l", "limit_rows", limit_rows="1")
    )
    with caplog.at_level(logging.WARNING, "interceptor.plugins.rules"):
        found = harness.decide("SELECT 'private' FROM public.t")
    assert found.action == Forward()
    assert found.limits == Limits()
    assert "rule r would block" in caplog.text
    assert "private" not in caplog.text, "no value of a statement is logged"
    rows = {row[0]: row for row in harness.plugins.console_commands()[0].value.run(())}  # type: ignore[union-attr]
    assert rows["r"][1:5] == ("block", "shadow", 0, 1)
    assert rows["default"][4] == 0, "the rule decided"


def test_one_rule_in_shadow(make_rules: MakeRules) -> None:
    harness = make_rules(rule("a", tables='["t"]', shadow="true") + rule("b", statements='["delete"]', message='"b"'))
    assert blocked(harness, "SELECT * FROM t") == ""
    assert blocked(harness, "DELETE FROM t WHERE id = 1") == "b"
    rows = {row[0]: row[3:5] for row in harness.plugins.console_commands()[0].value.run(())}  # type: ignore[union-attr]
    assert rows["a"] == (0, 2)
    assert rows["b"] == (1, 0)


def test_refusals_at_parse_are_counted(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", tables='["t"]'))
    session = harness.session(search_path="public")
    harness.at_parse("SELECT * FROM t", session=session)
    harness.decide("SELECT * FROM t", session=session)
    (first, *_) = harness.plugins.console_commands()[0].value.run(())  # type: ignore[misc]
    assert first[3] == 2
    assert first[5] is not None, "when it was"


def test_learning_and_enforcing_what_was_learned(make_rules: MakeRules, tmp_path: Path) -> None:
    bad = rule("bad", tables='["vault.*"]')
    harness = make_rules('mode = "learn"\ndefault = "block"\non_opaque = "allow"\n' + bad)
    for number in (1, 2, 3):
        assert blocked(harness, f"SELECT name FROM t WHERE id = {number}") == ""
    assert blocked(harness, "SELECT 'a\"\n\\'", "other") == ""
    assert blocked(harness, "WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d") == ""
    assert blocked(harness, "SELECT * FROM vault.secret"), "rules are enforced while it learns"
    harness.notify("stop_worker")
    harness.notify("stop_worker")
    learned = (tmp_path / "rules.learned.toml").read_text()
    assert "count = 3" in learned
    assert 'example = "SELECT name FROM t WHERE id = 1"' in learned
    assert "vault" not in learned
    harness = make_rules('default = "block"\non_opaque = "allow"\ninclude = ["./rules.learned.toml"]\n' + bad)
    assert blocked(harness, "select name from t where id = 99") == ""
    assert blocked(harness, "WITH d AS (DELETE FROM t WHERE id = 7 RETURNING *) SELECT * FROM d") == ""
    assert blocked(harness, "SELECT 'b'", "other") == ""
    assert blocked(harness, "select name from t where id = 99", "other")
    assert blocked(harness, "SELECT name FROM u WHERE id = 1")
    assert blocked(harness, "SELECT name FROM t WHERE id = 1; DROP TABLE t")


def test_learning_without_examples(make_rules: MakeRules, tmp_path: Path) -> None:
    harness = make_rules('mode = "learn"\n', learn_examples=False, learn_file="list.toml")
    outcome(harness, "SELECT 'private'")
    harness.notify("stop_worker")
    # Relative to the config file, of which the harness has none: the folder of the test run.
    path = Path("list.toml")
    try:
        assert "private" not in path.read_text()
    finally:
        path.unlink()
        path.with_suffix(".lock").unlink()


# --- Sessions ----------------------------------------------------------------------------------------------------


def test_a_session_that_reads_texts_in_another_way_is_refused(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", tables='["t"]'))
    session = harness.session()
    assert harness.admit(session) is None
    session.reads_alike = False
    assert isinstance(harness.admit(session), Block)
    harness = make_rules('mode = "shadow"\n')
    assert harness.admit(session) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options", "-c search_path=vault"),
        ("options", "-csearch_path=vault"),
        ("options", "--search-path=vault"),
        ("options", r"-c work_mem=1MB -c search\_path=a\ b"),
        ("search_path", "vault"),
        ("Search_Path", "vault"),
        ("replication", "database"),
    ],
)
def test_startup_parameters_are_held_to_the_rules_of_set(make_rules: MakeRules, name: str, value: str) -> None:
    harness = make_rules(rule("r", settings='["search_path"]', message='"no"'))
    session = harness.session()
    assert harness.admit(session) is None
    session.startup = {**session.startup, "options": "-c work_mem=1MB"}
    assert harness.admit(session) is None
    session.startup = {**session.startup, name: value}
    assert isinstance(harness.admit(session), Block)


# --- Prepared statements -----------------------------------------------------------------------------------------


def test_an_execute_is_what_was_prepared(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", tables='["vault.secret"]', message='"no"'))
    session = harness.session(search_path="public")

    def run(sql: str) -> str:
        found = harness.decide(sql, session=session)
        if isinstance(found.action, Block):
            return found.action.message
        harness.finish(found, "")
        return ""

    assert "may do more" in run("EXECUTE p")
    assert run("PREPARE p AS SELECT * FROM secret") == "no", "a name that means nothing matches by its last part"
    assert run("PREPARE p AS SELECT * FROM orders; PREPARE q AS SELECT 1") == ""
    assert run("EXECUTE p") == ""
    assert run("EXPLAIN EXECUTE q") == ""
    assert "may do more" in run("EXECUTE p; EXECUTE q"), "one that stands alone is looked up"
    assert "may do more" in run("EXECUTE r")


# --- The file ----------------------------------------------------------------------------------------------------


def test_uninteresting_texts_cost_a_look_up(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", tables='["t"]'))
    session = harness.session(search_path="public")
    assert harness.tables.lookup(session, b"SELECT 1") is False
    assert isinstance(harness.tables.lookup(session, b"SELECT * FROM t"), Chain)


def test_a_text_that_is_too_long_for_its_canonical_text_may_be_any() -> None:
    text = b"SELECT 1 FROM t WHERE b = '" + b"x" * 40_000 + b"'"
    rules = read_rules(rule("r", canonical='["SELECT 1 FROM u"]') + rule("g", "allow", canonical='["SELECT 2"]'))
    whom = Whom("app", "app", "app", "app", "", "", False, "")
    world = Worlds(rules.trusts_function, rules.trusts_table, rules.guards_columns).of(None, Scope((), "app"))
    statement = Statement(text, analyse_facts(text, True, HELPER))
    step = judge(rules.for_session(whom), world, statement, user="app", database="app").surely_blocked()
    assert step is not None
    assert step.name == "r"


def test_a_large_statement_is_tried(make_rules: MakeRules) -> None:
    harness = make_rules(rule("r", columns='["t.secret"]', message='"no"') + rule("l", list_over="5000"))
    assert blocked(harness, "SELECT " + ", ".join(["a"] * 300) + " FROM t") == ""
    assert blocked(harness, "SELECT " + ", ".join(["a"] * 300) + ", secret FROM t") == "no"
    # 20,000 items are more than is analysed at once.
    assert blocked(harness, "SELECT 1 WHERE 1 IN (" + ", ".join(map(str, range(20_000))) + ")")


def test_functions_of_the_transaction_are_read_a_bounded_number_of_times_for_one_message() -> None:
    worlds = Worlds(lambda schema, name: False, lambda schema, name: False, lambda schema, name: False)
    texts = [f"create function f{n}() returns int language sql as 'select {n}'" for n in range(100)]
    made = functions_made("; ".join(texts).encode())

    def unread(paths: list[str]) -> list[str]:
        world = worlds.of(None, Scope(("public",), "app"))
        reader = MessageReader(world, names_columns=False, made=made)
        message = "; ".join([f"set search_path = {path}" for path in paths])
        return [subject.unread for subject in reader.read(analyse_facts(message.encode()))]

    assert not any(unread(["a", "b"] * 100)), "what was read under a path is known"
    found = unread([f"p{n}" for n in range(40)])
    assert not any(found[:20])
    assert all("too often" in one for one in found[20:])
