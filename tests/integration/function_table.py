"""Makes the generated half of interceptor/sql/functions.py from what live servers say of pg_catalog.

``python -m tests.integration.function_table`` rewrites the file; test_session_effects.py checks that it is current.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import msgspec

from interceptor.sql import functions
from interceptor.testing.postgres import PostgresServer

SOURCE = Path(functions.__file__)
BEGIN = "# --- generated: python -m tests.integration.function_table ---\n"

# A function with such an argument or result is PostgreSQL's own affair: no statement calls it by name.
_QUERY = r"""
select json_build_object(
  'operators', (select json_agg(distinct oprname order by oprname) from pg_operator
                where oprnamespace = 'pg_catalog'::regnamespace),
  'helpers', (select json_agg(distinct proname order by proname) from pg_proc
              where pronamespace = 'information_schema'::regnamespace),
  'quiet', json_object_agg(proname, quiet order by proname))
from (
  select proname, bool_and(provolatile <> 'v') as quiet from pg_proc
  where pronamespace = 'pg_catalog'::regnamespace and prokind <> 'p'
    and not proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
    and prorettype <> all (array['internal', 'cstring', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler',
      'index_am_handler', 'table_am_handler', 'tsm_handler']::regtype[])
  group by proname) names
"""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What one server has: functions by name and whether all of that name are stable or immutable; operators."""

    quiet: dict[str, bool]
    operators: list[str]
    helpers: list[str]

    @classmethod
    def read(cls, server: PostgresServer) -> Catalogue:
        return msgspec.json.decode(server.psql(_QUERY), type=cls)


def render(old: Catalogue, new: Catalogue) -> str:
    """Return the generated half for two versions: names that both have, and those that only ``new`` has."""
    unusual = (
        functions.RUN_SQL_IN_TEXT
        | functions.HARMLESS_VOLATILE
        | functions.SEQUENCE_READERS
        | functions.SEQUENCE_WRITERS
        | functions.PINNING.keys()
    )
    both = [name for name, quiet in new.quiet.items() if quiet and old.quiet.get(name, False) and name not in unusual]
    newer = [name for name, quiet in new.quiet.items() if quiet and name not in old.quiet and name not in unusual]
    return (
        _block("_QUIET", both)
        + _block("_QUIET_SINCE_18", newer)
        + _block("_OPERATORS", sorted(set(old.operators) & set(new.operators)))
        + _block("_INFORMATION_SCHEMA", sorted(set(old.helpers) & set(new.helpers)))
    )


def _block(name: str, words: list[str]) -> str:
    lines = textwrap.wrap(" ".join(words), 116, break_on_hyphens=False, break_long_words=False)
    return f'\n{name} = """\n' + "".join(f"    {line}\n" for line in lines) + '"""\n'


def main() -> None:
    with PostgresServer.start(version=16) as old, PostgresServer.start(version=18) as new:
        generated = render(Catalogue.read(old), Catalogue.read(new))
    source = SOURCE.read_text()
    head, _, rest = source.partition(BEGIN)
    _, _, tail = rest.partition("\n# --- end ---\n")
    SOURCE.write_text(head + BEGIN + generated + "\n# --- end ---\n" + tail)


if __name__ == "__main__":
    main()
