"""Settings, roles and transaction modes that follow their clients over a pool, however they are set and taken back."""

from __future__ import annotations

from tests.differential.scripts.sessions import changed, looks, run, started
from tests.support.frontend import bind, describe_statement, execute, parse, sync
from tests.support.interleave import LOOK, Interleaving, interleaving, turn
from tests.support.script import part

__all__ = ["SETTING_INTERLEAVINGS"]


# Ways to change a setting that the text shows. All are of one client's session, and stay there.
_PLAIN = (
    changed("SET of several settings", "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = German; SET work_mem = '5MB'"),
    changed("SET in the extended protocol", run("SET TimeZone = 'Asia/Tokyo'"), run("SET work_mem = '5MB'")),
    changed("SET in a transaction that commits", "BEGIN", "SET TimeZone = 'Asia/Tokyo'", "COMMIT"),
    changed("SET in a transaction that is rolled back", "BEGIN", "SET TimeZone = 'Asia/Tokyo'", "ROLLBACK"),
    changed("SET in a transaction that fails", "BEGIN", "SET TimeZone = 'Asia/Tokyo'", "SELECT 1/0", "COMMIT"),
    changed("SET in a Query that fails", "SET TimeZone = 'Asia/Tokyo'; SELECT 1/0"),
    changed(
        "SET in a batch that fails", part(parse("SET TimeZone = 'Asia/Tokyo'"), bind(), execute(), parse("no"), sync())
    ),
    changed(
        "SET in a pipeline whose second batch fails",
        part(
            *(parse("SET TimeZone = 'Asia/Tokyo'"), bind(), execute(), sync()),
            *(parse("SET work_mem = '5MB'"), bind(), execute(), parse("SELECT 1/0"), bind(), execute(), sync()),
            *(parse("SET DateStyle = 'German'"), bind(), execute(), sync()),
        ),
    ),
    changed("SET over a SET that is rolled back", "SET work_mem = '5MB'", "BEGIN; SET work_mem = '6MB'; ROLLBACK"),
    changed("SET rolled back to a savepoint", "BEGIN; SAVEPOINT s; SET work_mem = '5MB'; ROLLBACK TO s; COMMIT"),
    changed(
        "SET before, in and after a savepoint",
        "BEGIN",
        "SET work_mem = '5MB'",
        "SAVEPOINT s",
        "SET work_mem = '6MB'; SET app.tenant = 'within'",
        "ROLLBACK TO s",
        "SET DateStyle = German",
        "SAVEPOINT r",
        "SET TimeZone = 'Asia/Tokyo'",
        "RELEASE r",
        "COMMIT",
    ),
    changed("SET LOCAL", "BEGIN", "SET LOCAL work_mem = '5MB'", "SET LOCAL ROLE clerk", "COMMIT"),
    changed("SET LOCAL outside of a transaction", "SET LOCAL work_mem = '5MB'"),
    changed("SET after SET LOCAL", "BEGIN; SET LOCAL work_mem = '5MB'; SET work_mem = '6MB'; COMMIT"),
    changed("SET LOCAL after SET", "BEGIN; SET work_mem = '6MB'; SET LOCAL work_mem = '5MB'; COMMIT"),
    changed(
        "SET LOCAL in a savepoint that is released", "BEGIN; SAVEPOINT s; SET LOCAL work_mem = '5MB'; RELEASE s; COMMIT"
    ),
    changed("RESET of what was set", "SET work_mem = '5MB'; SET TimeZone = 'Asia/Tokyo'", "RESET work_mem"),
    changed("RESET that is rolled back", "SET work_mem = '5MB'", "BEGIN; RESET work_mem; ROLLBACK"),
    changed("RESET ALL", "SET work_mem = '5MB'; SET TimeZone = 'Asia/Tokyo'; SET app.tenant = 'a'", "RESET ALL"),
    changed("RESET ALL that is rolled back", "SET work_mem = '5MB'", "BEGIN; RESET ALL; ROLLBACK"),
    changed("RESET ALL leaves the role", "SET ROLE clerk; SET work_mem = '5MB'", "RESET ALL"),
    changed("SET TO DEFAULT", "SET work_mem = '5MB'", "SET work_mem TO DEFAULT"),
    changed("DISCARD ALL", "SET work_mem = '5MB'; SET ROLE clerk; SET app.tenant = 'a'", "DISCARD ALL"),
    changed("DISCARD ALL in the extended protocol", "SET work_mem = '5MB'; SET ROLE clerk", run("DISCARD ALL")),
    changed("SET of nothing there is", "SET nothing_of_the_kind = 1"),
    changed("SET of a value that is refused", "SET work_mem = '5MB'", "SET work_mem = 'much'"),
    changed("SET TIME ZONE", "SET TIME ZONE 5"),
    changed("SET TIME ZONE of an interval", "SET TIME ZONE INTERVAL '-02:30' HOUR TO MINUTE"),
    changed("SET NAMES", "SET NAMES 'LATIN1'", "SELECT chr(233)"),
    changed("SET SCHEMA", "SET SCHEMA 'two'", "SELECT v FROM pick"),
    changed("set_config for the session", "SELECT set_config('work_mem', '5MB', false)"),
    changed("set_config for the transaction", "SELECT set_config('work_mem', '5MB', true)"),
    changed("set_config rolled back", "BEGIN; SELECT set_config('work_mem', '5MB', false); ROLLBACK"),
    changed("set_config by values", run("SELECT set_config($1, $2, $3)", b"work_mem", b"5MB", b"f")),
    changed(
        "set_config for the transaction by values", run("SELECT set_config($1, $2, $3)", b"work_mem", b"5MB", b"t")
    ),
    changed(
        "set_config in the order of rows",
        "SELECT set_config('app.tenant', v, false) FROM (VALUES ('a'), ('b'), ('c')) AS t (v)",
    ),
    changed(
        "values with quotes and backslashes", "SET application_name = 'it''s \"mine\" \\'; SET app.tenant = E'\\\\\\''"
    ),
    changed("a search_path with names to be quoted", 'SET search_path = "a,b", "Q""r", "$user", two'),
    changed("an empty search_path", "SET search_path = ''", "SELECT v FROM pick"),
    changed("a search_path with pg_temp", "SET search_path = pg_temp, two", "SELECT v FROM pick"),
    changed("a long value", f"SET app.tenant = '{'x' * 20_000}'"),
    changed("a value with a line feed", "SET app.tenant = 'two\nlines'"),
    changed("empty values", "SET app.tenant = ''; SET application_name = ''; SET DateStyle = ''"),
    changed("SET FROM CURRENT", "SET work_mem FROM CURRENT"),
    changed("UPDATE pg_settings", "UPDATE pg_settings SET setting = '5000' WHERE name = 'work_mem'"),
    changed(
        "UPDATE pg_settings by values",
        run("UPDATE pg_settings SET setting = $1 WHERE name = $2", b"SQL, DMY", b"DateStyle"),
    ),
)

_STARTUP = (
    changed(
        "startup parameters and RESET",
        "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '5MB'",
        "RESET TimeZone; RESET work_mem",
        openings=(
            started(TimeZone="Europe/Warsaw", options="-c work_mem=6MB -c app.tenant=by\\ option"),
            started(DateStyle="German"),
        ),
    ),
    changed("startup parameters and RESET ALL", "RESET ALL", openings=(started(TimeZone="Europe/Warsaw"), started())),
    changed(
        "startup parameters and DISCARD ALL", "DISCARD ALL", openings=(started(application_name="first"), started())
    ),
    changed(
        "startup parameters of two that differ in one",
        "SELECT 1",
        openings=(started(application_name="first"), started(application_name="second")),
    ),
    changed(
        "a role by startup option",
        "RESET ROLE",
        "SET ROLE auditor",
        openings=(started(options="-c role=clerk"), started()),
    ),
    interleaving(
        "a role of the startup options, and a SESSION AUTHORIZATION that is rolled back",
        turn(0, "BEGIN; SET SESSION AUTHORIZATION deputy; ROLLBACK", "SELECT current_user"),
        turn(1, "SELECT current_user"),
        turn(0, "SELECT current_user"),
        openings=(started(options="-c role=clerk"), started(options="-c role=clerk")),
    ),
    interleaving(
        "a role of the startup options, set again behind a SESSION AUTHORIZATION",
        turn(0, "SET SESSION AUTHORIZATION boss; SET ROLE clerk"),
        turn(1, "SELECT current_user"),
        turn(0, "SELECT current_user, session_user"),
        openings=(started(options="-c role=clerk"), started(options="-c role=clerk")),
    ),
    interleaving(
        "a role by startup option that one of two gives up",
        turn(0, "SET ROLE none"),
        *looks(),
        turn(1, "SET SESSION AUTHORIZATION deputy"),
        *looks(),
        openings=(started(options="-c role=clerk"), started(options="-c role=clerk")),
    ),
    interleaving(
        "SET of nothing there is, described and not executed",
        turn(1, "SET ROLE clerk"),
        turn(0, part(parse("SET nothing_of_the_kind = 1", "s"), describe_statement("s"), sync())),
        turn(1, LOOK),
        turn(0, part(bind(statement="s"), execute(), sync()), LOOK),
        turn(1, LOOK),
    ),
    changed(
        "an encoding of the client's own",
        "SELECT chr(233), 'é'",
        openings=(started(client_encoding="LATIN1"), started(client_encoding="UTF8")),
    ),
    changed(
        "a startup search_path that quotes",
        "SELECT v FROM pick",
        openings=(started(search_path='"$user", "a b", two'), started(options="-c search_path=one,\\ public")),
    ),
)

_CUSTOM = (
    interleaving(
        "a custom setting that was never set, read as applications should",
        turn(0, "SET app.tenant = 'first'"),
        turn(1, "SELECT nullif(current_setting('app.tenant', true), '')"),
        turn(0, "RESET app.tenant", "SELECT current_setting('app.tenant', true)"),
        turn(1, "SELECT nullif(current_setting('app.tenant', true), '')", elsewhere=True),
        turn(1, "BEGIN; SET LOCAL app.tenant = 'second'; COMMIT", "SELECT current_setting('app.tenant', true)"),
        turn(0, "SELECT nullif(current_setting('app.tenant', true), '')", elsewhere=True),
    ),
    interleaving(
        "a custom setting of two clients",
        turn(0, "SET app.tenant = 'first'"),
        turn(1, "SET app.tenant = 'second'"),
        turn(0, "SHOW app.tenant"),
        turn(1, "SHOW app.tenant", elsewhere=True),
        turn(0, "SET app.tenant = ''"),
        turn(1, "SHOW app.tenant"),
        turn(0, "SHOW app.tenant", elsewhere=True),
    ),
    interleaving(
        "custom settings of many names",
        turn(0, "; ".join(f"SET app.n{number} = '{number}'" for number in range(50))),
        turn(1, "SELECT nullif(current_setting('app.n7', true), '')", "SET app.n7 = 'other'"),
        turn(0, "SELECT current_setting('app.n7'), current_setting('app.n49')", elsewhere=True),
        turn(1, "SELECT current_setting('app.n7'), nullif(current_setting('app.n49', true), '')"),
    ),
    interleaving(
        "a setting of a library that is loaded later",
        turn(
            0,
            "SET plpgsql.extra_warnings = 'shadowed_variables'",
            "DO $$BEGIN NULL; END$$",
            "SHOW plpgsql.extra_warnings",
        ),
        turn(1, "DO $$BEGIN NULL; END$$", "SHOW plpgsql.extra_warnings"),
        turn(0, "SHOW plpgsql.extra_warnings", "SET plpgsql.extra_warnings = 'none'"),
        turn(1, "DO $$BEGIN NULL; END$$", "SHOW plpgsql.extra_warnings", elsewhere=True),
    ),
)

_ROLES = (
    changed("SET ROLE", "SET ROLE clerk"),
    changed("SET ROLE and RESET ROLE", "SET ROLE clerk", "RESET ROLE"),
    changed("SET ROLE none", "SET ROLE clerk", "SET ROLE none"),
    changed("SET ROLE rolled back", "SET ROLE clerk", "BEGIN; SET ROLE auditor; ROLLBACK"),
    changed("SET ROLE rolled back to a savepoint", "BEGIN; SAVEPOINT s; SET ROLE clerk; ROLLBACK TO s; COMMIT"),
    changed("SET LOCAL ROLE", "BEGIN; SET LOCAL ROLE clerk; COMMIT"),
    changed("SET ROLE by set_config", "SELECT set_config('role', 'clerk', false)"),
    changed("SET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION deputy"),
    changed("SET SESSION AUTHORIZATION of one who may not go on", "SET SESSION AUTHORIZATION clerk"),
    changed("SET SESSION AUTHORIZATION and RESET", "SET SESSION AUTHORIZATION deputy", "RESET SESSION AUTHORIZATION"),
    changed("SET SESSION AUTHORIZATION, then SET ROLE", "SET SESSION AUTHORIZATION deputy", "SET ROLE clerk"),
    changed("SET ROLE, then SET SESSION AUTHORIZATION", "SET ROLE clerk", "SET SESSION AUTHORIZATION deputy"),
    changed("SET SESSION AUTHORIZATION rolled back", "BEGIN; SET SESSION AUTHORIZATION deputy; ROLLBACK"),
    changed("SET LOCAL SESSION AUTHORIZATION", "BEGIN; SET LOCAL SESSION AUTHORIZATION deputy; COMMIT"),
    changed("a role that does not exist", "SET ROLE clerk", "SET ROLE nobody_at_all"),
    interleaving(
        "roles of two clients",
        turn(0, "SET ROLE clerk"),
        turn(1, "SET ROLE auditor"),
        *looks(),
        turn(0, "RESET ROLE"),
        *looks(),
    ),
    interleaving(
        "a setting that only a superuser may change, and then a role",
        turn(0, "SET log_min_duration_statement = '1h'", "SET ROLE clerk"),
        turn(1, "SHOW log_min_duration_statement", "SET log_min_duration_statement = '2h'"),
        turn(0, "SHOW log_min_duration_statement", "SET log_min_duration_statement = '3h'"),
        turn(1, "SHOW log_min_duration_statement", elsewhere=True),
        turn(0, "SHOW log_min_duration_statement"),
    ),
)

_MODES = (
    changed(
        "SET SESSION CHARACTERISTICS",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
        "SHOW transaction_isolation",
    ),
    changed(
        "SET TRANSACTION",
        "BEGIN",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SHOW transaction_isolation",
        "COMMIT",
    ),
    changed("SET TRANSACTION outside of one", "SET TRANSACTION READ ONLY"),
    changed(
        "SET transaction_read_only", "SET transaction_read_only = on", "BEGIN; SET transaction_read_only = on; COMMIT"
    ),
    interleaving(
        "who may only read leaves others able to write",
        turn(0, "SET default_transaction_read_only = on"),
        turn(1, "INSERT INTO w (a) VALUES (1) RETURNING id", "SHOW transaction_read_only"),
        turn(0, "INSERT INTO w (a) VALUES (2)", "DO $$BEGIN NULL; END$$"),
        turn(1, "INSERT INTO w (a) VALUES (3) RETURNING id", elsewhere=True),
        turn(0, "SET default_transaction_read_only = off", "INSERT INTO w (a) VALUES (4) RETURNING id"),
    ),
    interleaving(
        "the isolation of a batch of the extended protocol",
        turn(0, "SET default_transaction_isolation = 'serializable'"),
        turn(1, run("SHOW transaction_isolation")),
        turn(0, run("SHOW transaction_isolation")),
        turn(1, "BEGIN", "SHOW transaction_isolation", "ROLLBACK", elsewhere=True),
        turn(0, "BEGIN", "SHOW transaction_isolation", "ROLLBACK"),
        # The first statement of its transaction has to be the client's, whatever is sent before it.
        turn(1, "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SHOW transaction_isolation; COMMIT"),
        turn(
            0,
            part(
                parse("BEGIN"),
                bind(),
                execute(),
                parse("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
                bind(),
                execute(),
                sync(),
            ),
            "SHOW transaction_isolation",
            "COMMIT",
        ),
    ),
    interleaving(
        "what may not run in a transaction, by one whose settings have to be set first",
        turn(0, "SET work_mem = '5MB'"),
        turn(1, "SET work_mem = '6MB'"),
        turn(0, "VACUUM t"),
        turn(1, run("VACUUM t")),
        turn(0, "DISCARD ALL"),
        turn(1, "SHOW work_mem"),
    ),
)

SETTING_INTERLEAVINGS: tuple[Interleaving, ...] = (*_PLAIN, *_STARTUP, *_CUSTOM, *_ROLES, *_MODES)
