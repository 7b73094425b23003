"""Functions in C that an extension brought: which of them are believed to do nothing but compute."""

from __future__ import annotations

from typing import Final

from interceptor.catalogue import Function

__all__ = ["COMPUTING_EXTENSIONS", "may_be_believed"]

COMPUTING_EXTENSIONS: Final = tuple(
    """
    bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch hstore intagg intarray isn
    ltree pg_trgm pgcrypto seg tsm_system_rows tsm_system_time unaccent uuid-ossp vector
    """.split()
)
"""Their functions in C read no table, no file and no SQL. Not among them: what runs SQL (dblink, tablefunc, xml2),
opens files or other servers, or shows pages and statements."""

_ANY_TYPE: Final = frozenset([2276, 2277, 2283, 2776, 3500, 3831, 4537, 5077, 5078, 5079, 5080])
"""any, anyarray, anyelement and their kin (pg_type.dat): a function that is given any type may run what was made for
it, as hstore's populate_record does."""


def may_be_believed(function: Function) -> bool:
    """Whether a function can be trusted for the extension that it belongs to.

    Only a superuser makes functions in C, so nobody else can put one among those of an extension; in other languages
    the owner of the extension could.
    """
    return function.language == "c" and bool(function.extension) and _ANY_TYPE.isdisjoint(function.arguments)
