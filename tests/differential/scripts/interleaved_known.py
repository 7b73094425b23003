"""Conversations in which we are known to differ from PostgreSQL (docs/design/session-following.md, Known differences).

A test holds that they still do, so that whoever mends one will notice.
"""

from __future__ import annotations

from tests.differential.scripts.sessions import looks, started
from tests.support.interleave import Interleaving, interleaving, turn

__all__ = ["KNOWN_DIFFERENCES"]

KNOWN_DIFFERENCES: tuple[Interleaving, ...] = (
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
