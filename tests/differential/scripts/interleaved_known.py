"""Conversations in which we are known to differ from PostgreSQL (docs/design/session-following.md, Known differences).

A test holds that they still do, so that whoever mends one will notice.
"""

from __future__ import annotations

from tests.differential.scripts.sessions import changed, looks, started
from tests.support.interleave import Interleaving, interleaving, turn

__all__ = ["KNOWN_DIFFERENCES"]

# What the text doesn't name, its analysis can't see.
_UNSEEN = (
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

_CUSTOM = (
    interleaving(
        "a custom setting that was never set reads as NULL, whoever else has set it",
        turn(0, "SET app.tenant = 'first'"),
        turn(1, "SELECT current_setting('app.tenant', true)", "SHOW app.tenant"),
        turn(0, "RESET app.tenant", "SELECT current_setting('app.tenant', true)"),
        turn(1, "SELECT current_setting('app.tenant', true)", "SELECT current_setting('app.tenant')", elsewhere=True),
    ),
    interleaving(
        "a custom setting that was set for a transaction reads as empty for its client alone",
        turn(0, "BEGIN; SET LOCAL app.tenant = 'first'; COMMIT"),
        turn(1, "SELECT current_setting('app.tenant', true) IS NULL"),
        turn(0, "SELECT current_setting('app.tenant', true)"),
    ),
    interleaving(
        "a custom setting by startup option that is made empty",
        turn(0, "SET app.tenant = ''"),
        turn(1, "SET app.tenant = 'second'"),
        *looks(),
        openings=(started(options="-c app.tenant=first"),),
    ),
)

KNOWN_DIFFERENCES: tuple[Interleaving, ...] = (*_UNSEEN, *_CUSTOM)
