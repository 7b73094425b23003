"""Ways to change a session that the text of a statement doesn't show, so that the backend has to be asked."""

from __future__ import annotations

from tests.differential.scripts.sessions import changed, looks, run
from tests.support.interleave import Interleaving, interleaving, turn

__all__ = ["HIDDEN_INTERLEAVINGS"]

HIDDEN_INTERLEAVINGS: tuple[Interleaving, ...] = (
    changed("SELECT of an SQL function that sets", "SELECT tools.set_sql('work_mem', '5MB')"),
    changed("SELECT of a PL/pgSQL function that sets", "SELECT tools.set_plpgsql('TimeZone', 'Asia/Tokyo')"),
    changed("a function by value", run("SELECT tools.set_plpgsql($1, $2)", b"app.tenant", b"by value")),
    changed("a function that sets for the transaction", "SELECT tools.set_local('work_mem', '5MB')"),
    changed("a function that sets and fails", "SELECT tools.set_and_fail('work_mem', '5MB')"),
    changed("a function that sets and catches its own failure", "SELECT tools.set_and_catch('work_mem', '5MB')"),
    changed("a function with a SET clause", "SELECT tools.in_tokyo()"),
    changed(
        "a function in a transaction that is rolled back", "BEGIN; SELECT tools.set_sql('work_mem', '5MB'); ROLLBACK"
    ),
    changed(
        "a function rolled back to a savepoint",
        "BEGIN; SAVEPOINT s; SELECT tools.set_sql('work_mem', '5MB'); ROLLBACK TO s; COMMIT",
    ),
    changed(
        "a function created and called",
        "CREATE FUNCTION one.mine() RETURNS text LANGUAGE sql AS $$SELECT set_config('work_mem', '5MB', false)$$",
        "SELECT one.mine()",
        "DROP FUNCTION one.mine()",
    ),
    interleaving(
        "a function that others replace by one that sets",
        turn(0, "CREATE FUNCTION one.turned() RETURNS text LANGUAGE sql AS 'SELECT NULL::text'"),
        turn(1, "SELECT one.turned()"),
        turn(
            0,
            "CREATE OR REPLACE FUNCTION one.turned() RETURNS text LANGUAGE sql AS "
            "$$SELECT set_config('work_mem', '5MB', false)$$",
        ),
        turn(1, "SELECT one.turned()", elsewhere=True),
        *looks(),
        turn(0, "DROP FUNCTION one.turned()"),
    ),
    changed("DO with set_config", "DO $$BEGIN PERFORM set_config('work_mem', '5MB', false); END$$"),
    changed("DO with SET", "DO $$BEGIN SET TimeZone = 'Asia/Tokyo'; END$$"),
    changed("DO with EXECUTE of a SET", "DO $$BEGIN EXECUTE 'set date' || 'style = german'; END$$"),
    changed("DO with SET ROLE", "DO $$BEGIN SET ROLE clerk; END$$"),
    changed("DO with RESET ALL", "SET work_mem = '5MB'", "DO $$BEGIN RESET ALL; END$$"),
    changed("DO that fails", "DO $$BEGIN SET work_mem = '5MB'; RAISE EXCEPTION 'no'; END$$"),
    changed(
        "DO that commits in between", "DO $$BEGIN SET work_mem = '5MB'; COMMIT; SET work_mem = '6MB'; ROLLBACK; END$$"
    ),
    changed("DO in the extended protocol", run("DO $$BEGIN SET TimeZone = 'Asia/Tokyo'; END$$")),
    changed("DO with a custom setting", "DO $$BEGIN PERFORM set_config('app.tenant', 'by DO', false); END$$"),
    changed("CALL of a procedure that sets", "CALL tools.set_by_call('work_mem', '5MB')"),
    changed("CALL of a procedure that sets and commits", "CALL tools.set_and_commit('work_mem', '5MB')"),
    changed(
        "a trigger that sets, rolled back", "BEGIN; INSERT INTO tools.watched VALUES ('work_mem', '5MB'); ROLLBACK"
    ),
    changed("dynamic SQL in a function", "SELECT tools.run('SET TimeZone = ''Asia/Tokyo''')"),
    changed(
        "an operator that sets",
        "CREATE FUNCTION one.act(int, int) RETURNS text LANGUAGE sql AS $$SELECT tools.set_sql('work_mem', '5MB')$$",
        "CREATE OPERATOR one.## (LEFTARG = int, RIGHTARG = int, FUNCTION = one.act)",
        "SELECT 1 OPERATOR(one.##) 2",
        "DROP OPERATOR one.## (int, int); DROP FUNCTION one.act(int, int)",
    ),
    changed(
        "a function named like one of PostgreSQL's",
        "CREATE FUNCTION two.lower(text) RETURNS text LANGUAGE sql AS $$SELECT set_config('work_mem', '5MB', false)$$",
        "BEGIN; SET LOCAL search_path = two, pg_catalog; SELECT lower('X'::text); COMMIT",
        "DROP FUNCTION two.lower(text)",
    ),
    changed(
        "functions in the way of whoever asks the backend",
        "CREATE FUNCTION two.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT 'nonsense'::text$$",
        "CREATE VIEW two.pg_settings AS SELECT 'nonsense'::text AS name, 'nonsense'::text AS setting",
        "SET search_path = two, pg_catalog",
        "DO $$BEGIN SET TimeZone = 'Asia/Tokyo'; END$$",
        "SET search_path = pg_catalog",
        "DROP FUNCTION two.current_setting(text); DROP VIEW two.pg_settings",
    ),
    changed(
        "a failed transaction after a DO", "BEGIN", "DO $$BEGIN SET work_mem = '5MB'; END$$", "SELECT 1/0", "ROLLBACK"
    ),
    changed(
        "SELECT FROM set_config in a CTE", "WITH s AS (SELECT set_config('work_mem', '5MB', false)) SELECT * FROM s"
    ),
    changed(
        "EXPLAIN ANALYZE of a function",
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT tools.set_sql('work_mem', '5MB')",
    ),
    changed("a trigger that sets", "INSERT INTO tools.watched VALUES ('work_mem', '5MB'), ('TimeZone', 'Asia/Tokyo')"),
    changed("a view that sets", "SELECT * FROM tools.setter"),
    changed(
        "a default that sets",
        "CREATE TABLE public.setting (v text DEFAULT set_config('work_mem', '5MB', false))",
        "INSERT INTO setting DEFAULT VALUES",
    ),
    changed(
        "a rule that sets",
        "CREATE TABLE public.ruled (v text)",
        "CREATE RULE set_it AS ON INSERT TO ruled DO INSTEAD SELECT set_config('work_mem', '5MB', false)",
        "INSERT INTO ruled VALUES ('x')",
    ),
    changed(
        "a domain whose check sets",
        "CREATE DOMAIN one.checked AS text CHECK (set_config('work_mem', '5MB', false) IS NOT NULL)",
        "SELECT 'x'::one.checked",
        "DROP DOMAIN one.checked",
    ),
)
