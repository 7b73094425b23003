"""A judge without a server: how names of what is dangerous are found, and what counts while nothing is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from interceptor.catalogue import Action, Function, FunctionKind, Schema, SessionChange, Snapshot, Volatility
from interceptor.catalogue.anywhere import ANY_SCOPE, NamesAnywhere
from interceptor.catalogue.closure import Closures
from interceptor.catalogue.judging import SessionJudge, Sight
from interceptor.catalogue.survey import Dangers, Findings
from interceptor.sql.effects import NONE, WRITES, Effect, SessionEffects

SEQUENCES = SessionEffects(None, 1, reads_sequence=True, touches_sequence=True)


@dataclass
class Judge:
    """A judge, and how often it asked for the catalogue."""

    asked: int = 0

    def __post_init__(self) -> None:
        self.judge = SessionJudge(self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def effects(self, sql: str) -> SessionEffects:
        return self.judge.texts.effects(sql.encode())


def judge_of(dangers: Dangers) -> Judge:
    made = Judge()
    made.judge.see(Findings(180004, dangers=dangers))
    return made


DANGERS = Dangers(
    functions={"harm": {"app"}, "Odd name": {"public"}, "of_row": {"public"}},
    row_functions={"of_row"},
    relations={
        "audited": {"app": {Action.INSERT, Action.UPDATE}},
        "größe": {"public": {Action.SELECT}},
        "имя": {"public": {Action.SELECT}},
        "x" * 63: {"public": {Action.SELECT}},
    },
    types={"checked": {"app"}},
    operators={"##": {"app"}},
)

DANGEROUS = [
    "insert into audited values (1)",
    "INSERT INTO App.Audited VALUES (1)",
    'insert into "audited" (a) values (1)',
    "update audited set a = 1 where b = 2",
    "merge into audited a using t on a.id = t.id when not matched then insert values (1)",
    "copy audited from stdin",
    "with w as (insert into audited values (1) returning a) select a from w",
    'insert into U&"\\0061udited" values (1)',
    "select harm()",
    "select HARM (1), now()",
    'select "Odd name"()',
    "select t.of_row from t",
    "select (t).of_row from t",
    'select * from "größe"',
    'select * from "имя"',
    "select * from " + "x" * 70,
    "select a::checked from t",
    "select '{1}'::app.checked[]",
    "select cast(a as app.checked) from t",
    "select 1 where a ## b",
    "select 1 operator(app.##) 2",
]

INNOCENT = [
    "select a from audited where b = 1",
    "delete from audited",
    "insert into other.audited values (1)",
    "insert into t (audited) values (1)",
    "select 'insert into audited'",
    "select audited, harm from t",
    "select count(*) from audited_too",
    "select a::checked_too from t",
    "select a from t where b = 'größe'",
    "select 1 where a #> b",
]


@pytest.mark.parametrize("sql", DANGEROUS)
def test_what_is_dangerous_is_found(sql: str) -> None:
    assert judge_of(DANGERS).effects(sql).effect is Effect.OPAQUE


@pytest.mark.parametrize("sql", INNOCENT)
def test_a_name_alone_is_no_danger(sql: str) -> None:
    assert judge_of(DANGERS).effects(sql).effect is None


def test_casts_without_a_word_and_event_triggers() -> None:
    assert judge_of(Dangers(everywhere=True)).effects("select a from t").effect is Effect.OPAQUE
    cautious = judge_of(Dangers(when_defining=True))
    assert cautious.effects("drop table t").effect is Effect.OPAQUE
    assert cautious.effects("select a from t") is NONE


def test_calls_are_what_the_worst_of_their_name_is() -> None:
    made = Judge()
    functions: dict[str, dict[str, SessionEffects | None]] = {
        "good": {"public": NONE},
        "counts": {"public": NONE, "app": SEQUENCES},
        "mixed": {"public": NONE, "app": None},
    }
    made.judge.see(Findings(180004, functions, {"===": {"public": NONE}}))
    assert made.effects("select good(1)") is NONE
    assert made.effects("select public.good(1), 1 === 2") is NONE
    assert made.effects("select counts()") == SEQUENCES
    assert made.effects("select mixed()").effect is Effect.OPAQUE
    assert made.effects("select public.mixed()") is NONE
    assert made.effects("select app.mixed(), public.good(1)").effect is Effect.OPAQUE
    assert made.effects("select unheard_of()").effect is Effect.OPAQUE
    assert made.effects("call good()") is NONE
    assert made.effects("select good(set_config('work_mem', '1MB', false))").effect is Effect.SETTING
    assert made.effects("select uuidv7()") is NONE


def test_a_blind_judge_trusts_only_what_names_nothing() -> None:
    blind = Judge()
    for sql in ("begin", "BEGIN ISOLATION LEVEL SERIALIZABLE;", "commit", "select 1", "show work_mem", "", ";"):
        assert blind.effects(sql).effect is None, sql
    assert blind.effects("set work_mem = '1MB'").effect is Effect.SETTING
    assert blind.asked == 0
    for sql in ("select a from t", "insert into t values (1)", "begin; select a from t", "select f()", "select 'x'::d"):
        assert blind.effects(sql).effect is Effect.OPAQUE, sql
        assert blind.asked > 0
    blind.judge.see(Findings(180004))
    assert blind.effects("select a from t") is NONE
    assert blind.effects("insert into t values (1)") is WRITES


def test_dangers_are_remembered_when_the_catalogue_can_not_be_read() -> None:
    judge = judge_of(DANGERS)
    judge.judge.see_dimly()
    assert judge.judge.sight is Sight.DIM
    assert judge.effects("insert into audited values (1)").effect is Effect.OPAQUE
    assert judge.effects("insert into t values (1)") is WRITES
    assert judge.effects("select good(1)").effect is Effect.OPAQUE


def test_definitions_are_asked_about_and_end_what_is_known() -> None:
    judge = judge_of(Dangers())
    for sql in (
        "create table t (a int)",
        "alter table t add b int",
        "create function f() returns int language sql as 'select 1'; select f()",
        "do $$ begin create view v as select 1; end $$",
    ):
        effects = judge.effects(sql)
        assert (effects.defines, effects.effect) == (True, Effect.OPAQUE), sql
    for sql in ("create temp table t (a int)", "drop table t", "select 'create'", "select a from t -- create"):
        assert not judge.effects(sql).defines, sql


UNCOVERING = [
    "drop table s.known", "drop view known, other cascade", "drop index if exists known", "drop schema s cascade",
    "drop function f()", "drop operator s.+ (int, int)", "drop type t", "drop aggregate a(int)", "drop role r",
    "drop owned by r", "revoke usage on schema s from public", "grant usage on schema s to r", "grant r to q",
    "revoke r from q", "reassign owned by r to q", "alter table t rename to u", "alter table t set schema u",
    "alter schema s rename to u", "alter function f() rename to g", "alter role r rename to q",
    "alter role r superuser",
    "select 1; drop table known", "do $$ begin drop table known; end $$",
]  # fmt: skip


def test_what_may_uncover_another_thing_of_a_name_is_told_even_by_who_knows_nothing() -> None:
    seeing = Judge()
    seeing.judge.see(Findings(180004, relations=frozenset(["known"])))
    for judge in (seeing, Judge()):
        for sql in UNCOVERING:
            effects = judge.effects(sql)
            assert (effects.defines, effects.uncovers) == (True, True), sql
        for sql in ("create table t (a int)", "alter table t add b int", "create view v as select 1", "select 1",
                    "grant select on t to r", "revoke insert on t from r", "drop_it"):  # fmt: skip
            assert not judge.effects(sql).uncovers, sql
    # What is temporary, or nowhere, hides nothing; and nothing is asked because of it.
    assert seeing.effects("drop table if exists other") == replace(NONE, ends_pin=True)
    dim = Judge()
    dim.judge.see_dimly()
    assert dim.effects("drop table other").uncovers


def test_each_change_of_sight_is_another_era() -> None:
    judge = Judge()
    eras = [judge.judge.texts.era]
    judge.judge.see(Findings(180004))
    eras.append(judge.judge.texts.era)
    judge.judge.go_blind()
    eras.append(judge.judge.texts.era)
    judge.judge.see_dimly()
    eras.append(judge.judge.texts.era)
    assert len(set(map(id, eras))) == 4


def compiled(name: str, language: str, volatility: Volatility, extension: str = "") -> Function:
    oid = 20_000 + sum(map(ord, name))
    return Function(
        oid, 2200, name, FunctionKind.FUNCTION, volatility, language, 10, (), 0, False, 23, False, (), False, extension
    )


@pytest.mark.parametrize(
    ("function", "change"),
    [
        (compiled("citext_eq", "c", Volatility.IMMUTABLE, "citext"), SessionChange.HARMLESS),
        (compiled("show_limit", "c", Volatility.STABLE, "pg_trgm"), SessionChange.HARMLESS),
        (compiled("set_limit", "c", Volatility.VOLATILE, "pg_trgm"), SessionChange.UNKNOWN),
        (compiled("gen_salt", "c", Volatility.VOLATILE, "pgcrypto"), SessionChange.HARMLESS),
        (compiled("gen_salt", "c", Volatility.VOLATILE, "mine"), SessionChange.UNKNOWN),
        (compiled("loose", "c", Volatility.IMMUTABLE), SessionChange.UNKNOWN),
        (compiled("int4range_of_mine", "internal", Volatility.IMMUTABLE), SessionChange.HARMLESS),
        (compiled("renamed", "internal", Volatility.VOLATILE), SessionChange.UNKNOWN),
        (compiled("snake", "plpython3u", Volatility.IMMUTABLE), SessionChange.UNKNOWN),
    ],
    ids=lambda each: f"{each.extension} {each.name}" if isinstance(each, Function) else "",
)
def test_which_compiled_functions_are_believed(function: Function, change: SessionChange) -> None:
    snapshot = Snapshot(server_version=180004)
    snapshot.add_schema(Schema(2200, "public", 10, frozenset([0])))
    snapshot.add_function(function)
    closures = Closures(snapshot, names=NamesAnywhere(snapshot))
    assert closures.may_change_session(function.oid, ANY_SCOPE).change is change
