"""SQL that changes a session, and SQL whose result depends on it: the same each time, on whatever backend.

The roles, schemas and functions are those of ``tests.support.session_world``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BROKEN",
    "CLEANING",
    "DEPENDENT",
    "DEPENDENT_ON_VALUES",
    "HARMLESS",
    "HIDDEN",
    "PINS",
    "PREPARABLE_CHANGES",
    "ROLES",
    "SETTINGS",
    "TRANSACTION_MODES",
    "Pinning",
    "Setting",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, values for it, and values that it refuses. Both are such as ``set_config`` takes."""

    name: str
    values: tuple[str, ...]
    bad: tuple[str, ...] = ()
    seen_in: tuple[str, ...] = ()
    """Statements whose results depend on it; in most of them a literal does, when it is parsed."""

    def assigned(self, value: str) -> str:
        """The value as SET has it. A search_path is a list there, and would be one name in quotes."""
        return value or "''" if self.name == "search_path" else quoted(value)


def quoted(text: str) -> str:
    """A literal, whatever standard_conforming_strings says."""
    return "'" + text.replace("'", "''") + "'"


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "TimeZone",
        ("Asia/Tokyo", "Europe/Warsaw", "UTC", "-03:30"),
        ("Nowhere/Land",),
        ("SELECT timestamptz '2020-01-01 12:00', '2020-06-01 12:00'::timestamptz::text",),
    ),
    Setting(
        "DateStyle",
        ("German", "SQL, DMY", "ISO, MDY", "Postgres, YMD"),
        ("Martian",),
        ("SELECT date '01/02/2020', '03/04/2020'::text::date",),
    ),
    Setting(
        "IntervalStyle",
        ("iso_8601", "postgres_verbose", "sql_standard", "postgres"),
        ("none",),
        ("SELECT interval '-1 2:03:04', interval '1-2 3 4:05:06'",),
    ),
    Setting(
        "search_path",
        ("one", "two", "two, one", "one, public", "pg_catalog", "nowhere, public"),
        (),
        (
            "SELECT v FROM pick",
            "SELECT * FROM pick",
            "SELECT choose()",
            "SELECT current_schemas(false), current_schema",
        ),
    ),
    Setting("work_mem", ("5MB", "7777", "64kB"), ("1kB", "much")),
    Setting("statement_timeout", ("7min", "77min", "0"), ("-1",)),
    Setting(
        "extra_float_digits",
        ("0", "-3", "3"),
        ("99",),
        ("SELECT 0.1::float8 + 0.2::float8, 1e10::float8 / 3, 1.1::float4",),
    ),
    Setting("bytea_output", ("escape", "hex"), ("octal",), (r"SELECT '\x00ff41'::bytea",)),
    Setting("application_name", ("renamed", 'it\'s "mine"', "", "żółw")),
    Setting(
        "client_encoding",
        ("LATIN1", "UTF8", "SQL_ASCII", "SJIS"),
        ("EBCDIC",),
        ("SELECT 'żó', length('żó'), chr(233)", "SELECT chr(233)"),
    ),
    Setting("standard_conforming_strings", ("off", "on"), ("perhaps",), (r"SELECT 'back\\slash'",)),
    Setting(
        "default_transaction_isolation",
        ("serializable", "repeatable read", "read committed"),
        ("chaos",),
        ("SHOW transaction_isolation",),
    ),
    Setting(
        "default_transaction_read_only",
        ("on", "off"),
        ("maybe",),
        ("SHOW transaction_read_only", "INSERT INTO public.w (a) VALUES (1) RETURNING a"),
    ),
    # Where others have set a custom setting, it reads as empty for who has not, in place of NULL: a known difference.
    Setting(
        "app.tenant", ("a", "it's b", "", "x" * 300), (), ("SELECT nullif(current_setting('app.tenant', true), '')",)
    ),
    Setting("app.other", ("1", "2"), (), ("SELECT nullif(current_setting('app.other', true), '')",)),
)

ROLES: tuple[str, ...] = (
    "SET ROLE clerk",
    "SET ROLE auditor",
    "SET ROLE nobody_at_all",
    "SET ROLE none",
    "RESET ROLE",
    "SET LOCAL ROLE auditor",
    "SET SESSION AUTHORIZATION deputy",
    "SET SESSION AUTHORIZATION clerk",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL SESSION AUTHORIZATION deputy",
    "RESET SESSION AUTHORIZATION",
    "SELECT set_config('role', 'clerk', false)",
)

TRANSACTION_MODES: tuple[str, ...] = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED",
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET transaction_read_only = on",
    "SHOW transaction_isolation",
    "SHOW transaction_read_only",
)

# What takes back much at once.
CLEANING: tuple[str, ...] = (
    "RESET ALL",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "DISCARD SEQUENCES",
    "DISCARD TEMP",
    "DEALLOCATE ALL",
    "DEALLOCATE one",
    "DEALLOCATE two",
    "SET TIME ZONE LOCAL",
    "SET TIME ZONE 5",
    "SET TIME ZONE INTERVAL '-02:30' HOUR TO MINUTE",
    "SET NAMES 'LATIN1'",
    "SET NAMES DEFAULT",
    "SET SCHEMA 'two'",
    "UNLISTEN *",
    "CLOSE ALL",
    "SELECT pg_advisory_unlock_all()",
)

# What changes the session without a SET in its text.
HIDDEN: tuple[str, ...] = (
    "DO $$BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END$$",
    "DO $$BEGIN EXECUTE 'SET DateStyle = German'; END$$",
    "DO $$BEGIN EXECUTE 'SET LOCAL work_mem = ''6MB'''; END$$",
    "DO $$BEGIN SET ROLE clerk; END$$",
    "DO $$BEGIN NULL; END$$",
    "SELECT tools.set_sql('IntervalStyle', 'iso_8601')",
    "SELECT tools.set_plpgsql('app.tenant', 'by a function')",
    "SELECT tools.set_local('search_path', 'one')",
    "SELECT tools.set_and_fail('work_mem', '9MB')",
    "SELECT tools.set_and_catch('work_mem', '9MB')",
    "SELECT tools.run('SET search_path = two')",
    "SELECT tools.run('SET ROLE auditor')",
    "SELECT tools.run('RESET ALL')",
    "SELECT tools.in_tokyo()",
    "CALL tools.set_by_call('extra_float_digits', '0')",
    "CALL tools.set_and_commit('application_name', 'committed')",
    "UPDATE pg_settings SET setting = 'escape' WHERE name = 'bytea_output'",
    "UPDATE pg_settings SET setting = 'German' WHERE name = 'DateStyle'",
    "SELECT count(*) FROM (SELECT set_config('work_mem', '8MB', false)) AS s",
    "WITH s AS (SELECT set_config('app.tenant', 'in a CTE', false) AS v) SELECT v FROM s",
)

DEPENDENT: tuple[str, ...] = (
    *(sql for setting in SETTINGS for sql in setting.seen_in),
    "SELECT current_user, session_user",
    "SELECT current_setting('role'), current_setting('is_superuser'), current_setting('session_authorization')",
    "INSERT INTO public.w (a, b) VALUES (1, current_setting('TimeZone')) RETURNING a, b",
)
"""Whose results depend on the session."""

# The same with parameters, in text: their values with them.
DEPENDENT_ON_VALUES: tuple[tuple[str, tuple[bytes | None, ...]], ...] = (
    ("SELECT $1::timestamptz, timestamptz '2020-01-01 12:00'", (b"2020-07-01 12:00",)),
    ("SELECT $1::date, date '01/02/2020'", (b"03/04/2020",)),
    ("SELECT $1::interval", (b"-1 2:03:04",)),
    ("SELECT $1::bytea, $2::float8", (b"\\x00ff41", b"0.30000000000000004")),
    ("SELECT v || $1 FROM pick", (b"!",)),
    ("SELECT length($1::text), $1::text", (b"plain",)),
    ("SELECT nullif(current_setting($1, true), '')", (b"app.tenant",)),
    ("SELECT $1::int + 1", (b"41",)),
)

# Statements that change the session when they are executed, and not when they are parsed.
PREPARABLE_CHANGES: tuple[tuple[str, tuple[bytes | None, ...]], ...] = (
    ("SELECT set_config($1, $2, false)", (b"TimeZone", b"Asia/Tokyo")),
    ("SELECT set_config('app.tenant', $1, $2)", (b"by a value", b"f")),
    ("SELECT set_config('app.tenant', $1, $2)", (b"for a while", b"t")),
    ("SELECT tools.set_sql($1, $2)", (b"DateStyle", b"SQL, DMY")),
    ("SET IntervalStyle = 'postgres_verbose'", ()),
    ("RESET ALL", ()),
    ("SET search_path = two", ()),
    ("SET ROLE clerk", ()),
)

HARMLESS: tuple[str, ...] = (
    "SELECT 1",
    "SELECT id, v FROM t ORDER BY id LIMIT 3",
    "INSERT INTO w (a, b) VALUES (7, 'seven')",
    "UPDATE u SET n = n + 1 WHERE k = 'a' RETURNING n",
    "SELECT tools.harmless(41)",
    "SELECT count(*) FROM w",
    "",
)

BROKEN: tuple[str, ...] = (
    "SELECT 1/0",
    "SELEC 1",
    "SELECT * FROM nowhere_at_all",
    "SET nothing_of_the_kind = 1",
    "SHOW nothing_of_the_kind",
    "SET LOCAL",
    "EXECUTE nothing",
)


@dataclass(frozen=True, slots=True)
class Pinning:
    """What pins a backend to its client: how it is made, used, and ended. Each a statement of its own."""

    make: str
    use: tuple[str, ...]
    end: tuple[str, ...]


PINS: tuple[Pinning, ...] = (
    Pinning(
        "CREATE TEMP TABLE scratch (x int)",
        ("INSERT INTO scratch VALUES (1) RETURNING x", "SELECT * FROM scratch", "DROP TABLE scratch"),
        ("DROP TABLE scratch", "DISCARD TEMP", "DISCARD ALL"),
    ),
    Pinning(
        "CREATE TEMP VIEW glance AS SELECT 1 AS one", ("SELECT * FROM glance",), ("DROP VIEW glance", "DISCARD ALL")
    ),
    Pinning(
        "DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id",
        ("FETCH 2 FROM held", "MOVE 1 IN held"),
        ("CLOSE held", "CLOSE ALL", "DISCARD ALL"),
    ),
    Pinning(
        "SELECT pg_advisory_lock(1)",
        ("SELECT pg_try_advisory_lock(1)", "SELECT 1"),
        ("SELECT pg_advisory_unlock_all()", "DISCARD ALL"),
    ),
    Pinning(
        "SELECT pg_advisory_lock_shared(1, 2)",
        ("SELECT 1",),
        ("SELECT pg_advisory_unlock_shared(1, 2)", "SELECT pg_advisory_unlock_all()", "DISCARD ALL"),
    ),
    Pinning(
        "LISTEN gong",
        ("NOTIFY gong, 'for me'", "SELECT pg_listening_channels()"),
        ("UNLISTEN gong", "UNLISTEN *", "DISCARD ALL"),
    ),
    Pinning(
        "PREPARE p AS SELECT timestamptz '2020-01-01 12:00', $1::int",
        ("EXECUTE p(1)", "SET TimeZone = 'Asia/Tokyo'", "EXECUTE p(2)"),
        ("DEALLOCATE p", "DEALLOCATE ALL", "DISCARD ALL"),
    ),
    Pinning("DO $$BEGIN EXECUTE 'LISTEN gong'; END$$", ("NOTIFY gong",), ("UNLISTEN *", "DISCARD ALL")),
    Pinning(
        "DO $$BEGIN CREATE TEMP TABLE scratch (x int); END$$",
        ("SELECT count(*) FROM scratch",),
        ("DROP TABLE scratch", "DISCARD TEMP", "DISCARD ALL"),
    ),
)
"""Any of ``end`` has to end it, whatever became of ``make`` and ``use``, outside of a transaction that may write."""
