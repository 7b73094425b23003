"""Statements in the bodies of functions."""

from __future__ import annotations

import re

import pytest

from interceptor.sql.bodies import BodyFacts, body_facts, functions_made
from interceptor.sql.facts import OpaqueReason, Via
from tests.unit.interceptor.sql.test_facts import names


def reasons(facts: BodyFacts) -> list[OpaqueReason]:
    return [opaque.reason for opaque in facts.opaque]


# Every place of PL/pgSQL's grammar where an expression or a query may stand; each # becomes a subquery over a table of
# its own, and each must be found. libpg_query's tree has them all, or this would tell.
EVERY_PLACE = """
declare
  i int := #;
  j constant int not null default #;
  k cursor for select #;
  m cursor (n int) for select n + #;
  r record;
  s refcursor;
  l int[];
begin
  i := #;
  l[#] := #;
  i = #;
  perform #;
  select # into i;
  select # into strict i from only_here where x = #;
  insert into written_1 values (#) returning # into i;
  update written_2 set x = # where y = #;
  delete from written_3 where x = #;
  if # > 0 then perform #; elsif # > 1 then perform #; else perform #; end if;
  case # when # then perform #; when # , # then perform #; else perform #; end case;
  case when # > 1 then perform #; end case;
  loop perform #; exit when # > 1; continue when # > 2; end loop;
  while # > 1 loop perform #; end loop;
  for i in # .. # by # loop perform #; end loop;
  for r in select # loop perform #; end loop;
  for r in k loop perform #; end loop;
  for r in m (#) loop perform #; end loop;
  for r in execute 'select 1' using # loop perform #; end loop;
  foreach i in array array[#] loop perform #; end loop;
  open k; open m (#); open s for select #; open s for execute 'select 2' using #;
  fetch absolute # from k into r; move forward # from k;
  execute 'select 3' into i using #, #;
  raise notice '% %', #, #;
  raise exception using message = #, detail = #;
  assert # > 0, #;
  call p(#);
  get diagnostics i = row_count;
  begin perform #; exception when division_by_zero then perform #; when others then perform #; end;
  return #;
end
"""


def test_every_place_of_plpgsql_is_seen() -> None:
    tables: list[str] = []

    def table(_: re.Match[str]) -> str:
        tables.append(f"t{len(tables)}")
        return f"(select x from {tables[-1]})"

    body = re.sub("#", table, EVERY_PLACE)
    facts = body_facts("plpgsql", body, "", "integer")
    assert len(tables) > 60
    assert [name for name in tables if name not in names(facts.reads).split()] == []
    assert names(facts.writes) == "written_1 written_2 written_3"
    assert reasons(facts) == [OpaqueReason.CALL]
    assert sum(one.via is Via.EXECUTE for one in facts.statements) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "return query select # from a",
        "return query execute 'select 1' using #",
        "return next #",
        "for r in (select #) loop return next r; end loop",
    ],
)
def test_results_of_functions_that_return_sets(statement: str) -> None:
    body = f"declare r int; begin {statement.replace('#', '(select x from t)')}; end"
    for returns in ("SETOF integer", ""):
        assert "t" in names(body_facts("plpgsql", body, "", returns).reads).split()


@pytest.mark.parametrize(
    ("arguments", "returns", "body"),
    [
        ("i integer, OUT j app.thing", "app.thing", "begin j := (select x from t); end"),
        ("INOUT i integer DEFAULT 3, VARIADIC k text[] DEFAULT '{}'::text[]", "integer",
         "begin i := (select 1 from t); end"),
        ("", "TABLE(i integer, \"Odd\" text)", "begin i := 1; \"Odd\" := (select 1 from t); return next; end"),
        ("r app.thing", "void", "begin r.x := (select 1 from t); end"),
        ("", "trigger", "begin new.x := (select 1 from t where y = old.y and tg_op = 'x'); return new; end"),
        ("", "event_trigger", "begin perform 1 from t where x = tg_tag; end"),
        ("", "app.thing",
         "declare r app.thing; q app.thing.x%type; s app.thing%rowtype; begin select * from t into r; return r; end"),
        ("", "", "begin return (select 1 from t); end"),
        ("i app.domain, j numeric(10,2)", "SETOF app.thing", "begin return query select * from t; end"),
        ("", "void", "<<l>> declare i int; begin l.i := (select 1 from t); end"),
    ],
)  # fmt: skip
def test_variables_of_any_type(arguments: str, returns: str, body: str) -> None:
    facts = body_facts("plpgsql", body, arguments, returns)
    assert facts.opaque == ()
    assert names(facts.reads) == "t"


@pytest.mark.parametrize(
    ("body", "reads", "writes"),
    [
        ("select x from t; insert into u values (1)", "t", "u"),
        ("BEGIN ATOMIC\n SELECT x FROM t;\n DELETE FROM u;\nEND", "t", "u"),
        ("RETURN (SELECT max(x) FROM t)", "t", ""),
        ("return $1 + (select 1 from t)", "t", ""),
        ("", "", ""),
    ],
)
def test_sql(body: str, reads: str, writes: str) -> None:
    facts = body_facts("sql", body)
    assert (names(facts.reads), names(facts.writes), facts.opaque) == (reads, writes, ())


@pytest.mark.parametrize(
    ("language", "body", "reason"),
    [
        ("plpgsql", "begin execute 'select ' || $1; end", OpaqueReason.DYNAMIC_SQL),
        ("plpgsql", "begin execute format('select %I', x); end", OpaqueReason.DYNAMIC_SQL),
        ("plpgsql", "declare r record; begin for r in execute x loop end loop; end", OpaqueReason.DYNAMIC_SQL),
        ("plpgsql", "declare c refcursor; begin open c for execute x; end", OpaqueReason.DYNAMIC_SQL),
        ("plpgsql", "begin execute 'selec'; end", OpaqueReason.UNPARSABLE),
        ("plpgsql", "begin selec; end", OpaqueReason.BODY),
        ("plpgsql", "begin", OpaqueReason.BODY),
        ("plpgsql", "begin /*" + "/*" * 3000 + "*/" * 3000 + "*/ end", OpaqueReason.TOO_COMPLEX),
        ("plpgsql", "begin " + "i := 1;" * 4000 + "end", OpaqueReason.TOO_LONG),
        ("plpgsql", "declare i int; begin " + "i := 1;" * 1000 + "end", OpaqueReason.TOO_COMPLEX),
        ("plpgsql", "begin " * 1600 + "null;" + "end;" * 1600, OpaqueReason.TOO_COMPLEX),
        ("sql", "selec 1", OpaqueReason.UNPARSABLE),
        ("plpython3u", "return 1", OpaqueReason.LANGUAGE),
        ("c", "symbol", OpaqueReason.LANGUAGE),
    ],
)
def test_opaque(language: str, body: str, reason: OpaqueReason) -> None:
    assert reason in reasons(body_facts(language, body, "", "void"))


def test_bodies_in_bodies_end() -> None:
    body = "begin null; end"
    for level in range(30):
        body = f"begin execute $q{level}$do $d{level}${body}$d{level}$$q{level}$; end"
    assert reasons(body_facts("plpgsql", body, "", "void")) == [OpaqueReason.TOO_DEEP]


def test_functions_of_postgresql_itself_are_not_opaque() -> None:
    assert body_facts("internal", "int4pl") == BodyFacts()


def test_functions_that_a_text_makes() -> None:
    text = """
    create function app.f(t text) returns text language sql security definer set search_path = vault, "A b" set x.y to 1
      as 'select value from secret';
    create or replace procedure p() language plpgsql set search_path from current
      as $$ begin execute 'a' || 'b'; end $$;
    create function g() returns int return (select n from t);
    create function h() returns int language c as 'library', 'symbol';
    select 1
    """
    f, p, g, h = functions_made(text.encode())
    assert (str(f.name), f.language, f.security_definer) == ("app.f", "sql", True)
    assert f.settings == (("search_path", '"vault", "A b"'), ("x.y", None))
    assert names(f.body.reads) == "secret"
    assert (p.language, p.settings, reasons(p.body)) == (
        "plpgsql", (("search_path", None),), [OpaqueReason.DYNAMIC_SQL]
    )  # fmt: skip
    assert (g.language, names(g.body.reads), reasons(g.body)) == ("sql", "t", [])
    assert reasons(h.body) == [OpaqueReason.LANGUAGE]
    assert functions_made(b"not sql") == ()
