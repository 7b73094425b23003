"""Reading the configuration of a PgBouncer, and writing one of ours that does the same."""

from __future__ import annotations

from pooler.importing.conversion import Imported, import_pgbouncer
from pooler.importing.trial import what_is_missing

__all__ = ["Imported", "import_pgbouncer", "what_is_missing"]
