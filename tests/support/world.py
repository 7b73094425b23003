"""Two equal databases on one server: what streams read and write, its reset, and its fingerprint.

The second database is a copy of the first (CREATE DATABASE … TEMPLATE), so that even the OIDs of the tables are equal
and may be compared in RowDescription.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tests.support.wire import Endpoint, WireClient

__all__ = ["ROLE", "World"]

ROLE = "app"

# Without autovacuum: statistics that one database has and the other has not yet would give them other plans, and so
# other rows before an error.
_SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = false);
CREATE TABLE w (id serial PRIMARY KEY, a int NOT NULL CHECK (a >= 0), b text, c bytea)
  WITH (autovacuum_enabled = false);
CREATE TABLE u (k text PRIMARY KEY, n bigint) WITH (autovacuum_enabled = false);
CREATE TABLE d (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED) WITH (autovacuum_enabled = false);

CREATE FUNCTION shout(what text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN RAISE NOTICE 'hear: %', what; RETURN upper(what); END$$;
CREATE PROCEDURE commit_twice() LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO w (a) VALUES (1001); COMMIT; INSERT INTO w (a) VALUES (1002); COMMIT; END$$;

CREATE SCHEMA harness;
-- TRUNCATE and not DELETE: rows then lie in the order of insertion, equally in both databases.
CREATE FUNCTION harness.reset(dirty text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE made text;
BEGIN
  FOREACH made IN ARRAY dirty LOOP
    CASE made
      WHEN 'w' THEN TRUNCATE public.w RESTART IDENTITY;
      WHEN 't' THEN TRUNCATE public.t;
        INSERT INTO public.t SELECT i, 'value ' || i FROM generate_series(1, 50) AS i;
      WHEN 'u' THEN TRUNCATE public.u; INSERT INTO public.u VALUES ('a', 1), ('b', 2), ('c', NULL);
      WHEN 'd' THEN TRUNCATE public.d; INSERT INTO public.d VALUES (1);
      ELSE EXECUTE 'DROP TABLE ' || made || ' CASCADE';
    END CASE;
  END LOOP;
END $$;

CREATE FUNCTION harness.contents() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE made text;
BEGIN
  FOR made IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
              ORDER BY relname LOOP
    RETURN NEXT made || ' table';
    RETURN QUERY EXECUTE format(
      $q$SELECT concat_ws(' ', %L, left(x::text, 80), length(x::text), md5(x::text)) FROM %s AS x ORDER BY x::text$q$,
      made, made);
  END LOOP;
  RETURN QUERY SELECT concat_ws(' ', 'w sequence', last_value, is_called) FROM public.w_id_seq;
END $$;
"""

# Whoever still works for a client. Statements of a pooler between two clients end in idle as well.
_BUSY = """
SELECT pid, state, wait_event, left(query, 100) FROM pg_stat_activity
WHERE datname = {database} AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'
"""


class World:
    """The databases of a comparison, with one connection to each from outside of it. Close it, or use ``with``."""

    def __init__(self, server: Endpoint, *, reference: str = "app_direct", compared: str = "app_proxied") -> None:
        """Create both databases on ``server``, which is a superuser's endpoint; what had their names is dropped."""
        self.reference = Endpoint(server.host, server.port, reference, ROLE)
        self.compared = Endpoint(server.host, server.port, compared, ROLE)
        with WireClient.connect(server) as maker:
            for name in (reference, compared):
                maker.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            if not maker.query(f"SELECT FROM pg_roles WHERE rolname = '{ROLE}'"):
                maker.query(f"CREATE ROLE {ROLE} LOGIN")
            maker.query(f"CREATE DATABASE {reference} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'")
            with WireClient.connect(server.at(database=reference)) as builder:
                builder.query(_SCHEMA)
                builder.query(f"GRANT ALL ON SCHEMA public TO {ROLE}")
                builder.query(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}")
                builder.query(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}")
                builder.send_goodbye()
            maker.query(f"CREATE DATABASE {compared} TEMPLATE {reference}")
        self.controls = {
            name: WireClient.connect(server.at(database=name), parameters={"options": "-c lock_timeout=10s"})
            for name in (reference, compared)
        }
        self._pristine: list[str] = []  # each text begins with the name of its table
        self._dirty = {name: {"t", "w", "u", "d"} for name in (reference, compared)}
        self.reset()
        self._pristine = self.contents(self.reference)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The databases stay."""
        for control in self.controls.values():
            control.close()

    def control(self, endpoint: Endpoint) -> WireClient:
        """The superuser's connection to the database of ``endpoint``."""
        return self.controls[endpoint.database]

    def reset(self) -> None:
        """Bring both databases back to their first contents."""
        for name, tables in self._dirty.items():
            if tables:
                self.controls[name].query(f"SELECT harness.reset('{{{','.join(sorted(tables))}}}')")
                tables.clear()

    def contents(self, endpoint: Endpoint) -> list[str]:
        """All rows of all tables as texts (long ones as length and digest), and the sequence's state."""
        rows = self.control(endpoint).query("SELECT harness.contents()")
        contents = [row[0] or "" for row in rows]
        if self._pristine:
            changed = set(contents).symmetric_difference(self._pristine)
            self._dirty[endpoint.database] = {line.split(" ", 1)[0] for line in changed}
        return contents

    def busy(self, endpoint: Endpoint) -> list[tuple[str | None, ...]]:
        """Backends of this database that are in a query or a transaction, those of the controls apart."""
        return self.control(endpoint).query(_BUSY.format(database=f"'{endpoint.database}'"))

    def release(self, busy: list[tuple[str | None, ...]]) -> None:
        """Terminate the backends that ``busy`` named, so that the next stream is not held up by their locks."""
        for pid, *_ in busy:
            self.controls[self.reference.database].query(f"SELECT pg_terminate_backend({pid}, 5000)")
