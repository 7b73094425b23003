"""What keeps a backend with its client, and how it ends: the next client's turn comes while the first stays."""

from __future__ import annotations

from tests.differential.scripts.sessions import run
from tests.support.frontend import bind, execute, parse, sync
from tests.support.interleave import LOOK, Interleaving, interleaving, turn
from tests.support.script import part
from tests.support.session_statements import PINS

__all__ = ["PIN_INTERLEAVINGS"]

_LEFT = (
    "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname",
    "SELECT name FROM pg_cursors ORDER BY name",
    "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
    "SELECT pg_listening_channels()",
    "SELECT name, statement FROM pg_prepared_statements ORDER BY name",
)
"""What a client can see of what pins. The last look may keep the backend, so that DEALLOCATE ALL follows it."""


def ended(name: str, *words: str, extended: bool = False) -> Interleaving:
    """The first client does something that pins, and ends it; then others come, and it goes on."""
    parts = [run(each) for each in words] if extended else list(words)
    return interleaving(
        name,
        turn(0, "SET app.tenant = 'mine'"),
        turn(1, "SELECT 1"),
        turn(0, *parts),
        turn(1, *_LEFT, "DEALLOCATE ALL", LOOK),
        turn(0, *_LEFT, "DEALLOCATE ALL", LOOK),
        turn(1, "SELECT 2", elsewhere=True),
        turn(0, *parts),
        turn(1, *_LEFT, "DEALLOCATE ALL", LOOK),
    )


_EACH = tuple(
    ended(f"{pinning.make}; {end}{' in batches' if extended else ''}", pinning.make, *uses, end, extended=extended)
    for pinning in PINS
    for end in pinning.end
    for extended in (False, True)
    for uses in [tuple(each for each in pinning.use if not each.startswith(("DROP", "SET")))]
)

_OTHERS = (
    ended(
        "a temporary table that its transaction rolls back", "BEGIN", "CREATE TEMP TABLE scratch (x int)", "ROLLBACK"
    ),
    ended(
        "a temporary table rolled back to a savepoint",
        "BEGIN; SAVEPOINT s; CREATE TEMP TABLE scratch (x int); ROLLBACK TO s; COMMIT",
    ),
    ended(
        "a temporary table dropped in a transaction that is rolled back, then dropped",
        "CREATE TEMP TABLE scratch (x int)",
        "BEGIN; DROP TABLE scratch; ROLLBACK",
        "INSERT INTO scratch VALUES (1)",
        "DROP TABLE scratch",
    ),
    ended(
        "a temporary table ON COMMIT DROP",
        "BEGIN",
        "CREATE TEMP TABLE scratch (x int) ON COMMIT DROP",
        "INSERT INTO scratch VALUES (1)",
        "COMMIT",
    ),
    ended("SELECT INTO TEMP", "SELECT 1 AS x INTO TEMP scratch", "DROP TABLE scratch"),
    ended("a table in pg_temp", "CREATE TABLE pg_temp.scratch (x int)", "DROP TABLE pg_temp.scratch"),
    ended(
        "a table made where search_path says pg_temp",
        "SET search_path = pg_temp, public",
        "CREATE TABLE scratch (x int)",
        "DROP TABLE scratch",
        "RESET search_path",
    ),
    ended(
        "a temporary sequence",
        "CREATE TEMP SEQUENCE numbers",
        "SELECT nextval('numbers')",
        "DROP SEQUENCE numbers",
        "DISCARD ALL",
    ),
    ended(
        "a function in pg_temp",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT pg_temp.f()",
        "DROP FUNCTION pg_temp.f()",
    ),
    ended(
        "a type in pg_temp",
        "CREATE TYPE pg_temp.mood AS ENUM ('ok')",
        "SELECT 'ok'::pg_temp.mood",
        "DROP TYPE pg_temp.mood",
    ),
    ended(
        "several temporary objects",
        "CREATE TEMP TABLE scratch (x int); CREATE TEMP VIEW glance AS SELECT * FROM scratch",
        "DROP VIEW glance",
        "DROP TABLE scratch",
    ),
    ended(
        "a cursor WITH HOLD of a transaction that is rolled back",
        "BEGIN",
        "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
        "ROLLBACK",
    ),
    ended(
        "a cursor WITH HOLD over its transaction",
        "BEGIN",
        "DECLARE held CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id",
        "FETCH 2 FROM held",
        "COMMIT",
        "FETCH 2 FROM held",
        "CLOSE held",
    ),
    ended(
        "two advisory locks, undone one by one",
        "SELECT pg_advisory_lock(1), pg_advisory_lock(2)",
        "SELECT pg_advisory_unlock(1)",
        "SELECT pg_advisory_unlock(2)",
    ),
    ended(
        "an advisory lock taken twice",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_unlock(1)",
        "SELECT pg_advisory_unlock(1)",
    ),
    ended(
        "an advisory lock outlives a rollback",
        "BEGIN; SELECT pg_advisory_lock(1); ROLLBACK",
        "SELECT pg_advisory_unlock(1)",
    ),
    ended("an advisory unlock of what was not locked", "SELECT pg_advisory_unlock(1)"),
    ended("an advisory lock of the transaction", "BEGIN", "SELECT pg_advisory_xact_lock(1)", "COMMIT"),
    ended("an advisory lock and its unlock in one Query", "SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)"),
    ended("LISTEN rolled back", "BEGIN; LISTEN gong; ROLLBACK"),
    ended(
        "LISTEN to two, UNLISTEN one by one",
        "LISTEN gong; LISTEN bell",
        "UNLISTEN gong",
        "NOTIFY bell",
        "UNLISTEN bell",
    ),
    ended(
        "UNLISTEN rolled back, then UNLISTEN",
        "LISTEN gong",
        "BEGIN; UNLISTEN gong; ROLLBACK",
        "NOTIFY gong",
        "UNLISTEN gong",
    ),
    ended("LISTEN and UNLISTEN in one transaction", "BEGIN; LISTEN gong; UNLISTEN gong; COMMIT"),
    ended("NOTIFY alone", "NOTIFY gong, 'nobody hears'"),
    ended("PREPARE survives a rollback", "BEGIN; PREPARE p AS SELECT 1; ROLLBACK", "EXECUTE p", "DEALLOCATE p"),
    ended("two PREPAREs", "PREPARE p AS SELECT 1; PREPARE q AS SELECT 2", "DEALLOCATE p", "EXECUTE q", "DEALLOCATE q"),
    ended("PREPARE that fails", "PREPARE p AS SELECT * FROM nowhere_at_all"),
    ended("EXECUTE of nothing", "EXECUTE p"),
    ended("all of them at once, ended by DISCARD ALL", *(pinning.make for pinning in PINS[:7]), "DISCARD ALL"),
    ended(
        "a DO that makes and ends",
        "DO $$BEGIN CREATE TEMP TABLE scratch (x int); DROP TABLE scratch; PERFORM pg_advisory_lock(1); "
        "PERFORM pg_advisory_unlock(1); END$$",
    ),
    ended("a DO that makes and fails", "DO $$BEGIN CREATE TEMP TABLE scratch (x int); RAISE EXCEPTION 'no'; END$$"),
    ended(
        "a DO that locks, and an unlock",
        "DO $$BEGIN PERFORM pg_advisory_lock(1); END$$",
        "SELECT pg_advisory_unlock(1)",
    ),
    ended(
        "a DO that locks, and a DO that unlocks",
        "DO $$BEGIN PERFORM pg_advisory_lock(1); END$$",
        "SELECT 1",
        "DO $$BEGIN PERFORM pg_advisory_unlock(1); END$$",
    ),
    ended("a DO that prepares", "DO $$BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END$$", "EXECUTE p", "DEALLOCATE p"),
    ended(
        "a DO that declares a cursor",
        "DO $$BEGIN EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1'; END$$",
        "CLOSE ALL",
    ),
    interleaving(
        "a client that has a pin changes its settings",
        turn(
            0,
            "CREATE TEMP TABLE scratch (x int)",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET ROLE clerk",
            LOOK,
            "RESET ROLE",
            "DROP TABLE scratch",
        ),
        turn(1, LOOK),
        turn(0, LOOK, elsewhere=True),
    ),
    interleaving(
        "a client with a pin prepares statements by message and by name",
        turn(
            0,
            part(parse("SELECT 'by message'", "m"), sync()),
            "PREPARE p AS SELECT 'by name'",
            part(bind(statement="p"), execute(), sync()),
            part(bind(statement="m"), execute(), sync()),
            "EXECUTE m",
            "SELECT name, statement, from_sql FROM pg_prepared_statements ORDER BY name",
            "DEALLOCATE p",
        ),
        turn(1, part(bind(statement="m"), execute(), sync())),
        turn(0, part(bind(statement="m"), execute(), sync()), part(bind(statement="p"), execute(), sync())),
        turn(1, "SELECT name FROM pg_prepared_statements", "EXECUTE m", elsewhere=True),
    ),
)

PIN_INTERLEAVINGS: tuple[Interleaving, ...] = (*_EACH, *_OTHERS)
