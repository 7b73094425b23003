"""The two databases of ``tests.support.world`` with all that session statements need: roles, schemas, functions."""

from __future__ import annotations

from dataclasses import replace

from tests.support.wire import Endpoint, WireClient
from tests.support.world import World

__all__ = ["BOSS", "SessionWorld"]

BOSS = "boss"
"""The user of every client: a superuser, for only such a one may SET SESSION AUTHORIZATION."""

_ROLES = """
CREATE ROLE boss LOGIN SUPERUSER;
CREATE ROLE clerk;
CREATE ROLE auditor;
CREATE ROLE deputy LOGIN SUPERUSER;
"""

_SCHEMA = """
CREATE SCHEMA one;
CREATE TABLE one.pick (v text);
INSERT INTO one.pick VALUES ('of schema one');
CREATE FUNCTION one.choose() RETURNS text LANGUAGE sql AS $$SELECT 'one'::text$$;
CREATE SCHEMA two;
CREATE TABLE two.pick (v text);
INSERT INTO two.pick VALUES ('of schema two');
CREATE FUNCTION two.choose() RETURNS text LANGUAGE sql AS $$SELECT 'two'::text$$;

CREATE SCHEMA tools;
CREATE FUNCTION tools.set_sql(name text, value text) RETURNS text LANGUAGE sql AS
  $$SELECT set_config(name, value, false)$$;
CREATE FUNCTION tools.set_plpgsql(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN RETURN set_config(name, value, false); END$$;
CREATE FUNCTION tools.set_local(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN RETURN set_config(name, value, true); END$$;
CREATE FUNCTION tools.set_and_fail(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config(name, value, false); RAISE EXCEPTION 'set in vain'; END$$;
CREATE FUNCTION tools.set_and_catch(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config(name, value, false); RAISE EXCEPTION 'undone';
    EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END$$;
CREATE FUNCTION tools.run(command text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE command; END$$;
CREATE FUNCTION tools.in_tokyo() RETURNS text LANGUAGE plpgsql SET TimeZone = 'Asia/Tokyo' AS
  $$BEGIN RETURN '2020-01-01 12:00'::text::timestamptz::text; END$$;
CREATE FUNCTION tools.harmless(n int) RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN n + 1; END$$;
CREATE PROCEDURE tools.set_by_call(name text, value text) LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config(name, value, false); END$$;
CREATE PROCEDURE tools.set_and_commit(name text, value text) LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config(name, value, false); COMMIT; PERFORM set_config(name, 'never', false); ROLLBACK; END$$;
CREATE TABLE tools.watched (name text, value text);
CREATE FUNCTION tools.watch() RETURNS trigger LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config(new.name, new.value, false); RETURN NULL; END$$;
CREATE TRIGGER watch BEFORE INSERT ON tools.watched FOR EACH ROW EXECUTE FUNCTION tools.watch();
CREATE VIEW tools.setter AS SELECT set_config('app.tenant', 'by a view', false) AS v;

GRANT USAGE ON SCHEMA one, two, tools TO public;
GRANT SELECT ON one.pick, two.pick, tools.setter TO public;
GRANT INSERT ON tools.watched TO public;
GRANT CREATE, USAGE ON SCHEMA public TO public;
GRANT ALL ON ALL TABLES IN SCHEMA public TO public;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO public;
"""


class SessionWorld(World):
    """The databases, with ``BOSS`` as the user of both endpoints."""

    def __init__(
        self, server: Endpoint, *, reference: str = "sessions_direct", compared: str = "sessions_proxied"
    ) -> None:
        """Create both on ``server``, which is a superuser's endpoint; what had their names is dropped."""
        super().__init__(server, reference=reference, compared=compared)
        with WireClient.connect(server) as maker:
            if not maker.query(f"SELECT FROM pg_roles WHERE rolname = '{BOSS}'"):
                maker.query(_ROLES)
        for control in self.controls.values():
            control.query(_SCHEMA)
        self.reference = replace(self.reference, user=BOSS)
        self.compared = replace(self.compared, user=BOSS)
