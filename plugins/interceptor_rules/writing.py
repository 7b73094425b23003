"""PostgreSQL's own functions that write: a SELECT of one is a write, whatever it reads.

Taken from the catalogues of PostgreSQL 16 and 18: what PostgreSQL refuses in a READ ONLY transaction, and what leaves
something on the server besides. Not here: what acts on sessions alone (``pg_terminate_backend``, advisory locks,
``pg_notify``), and what runs SQL that it is given, which is opaque.
"""

from __future__ import annotations

from typing import Final

from interceptor import Group, StatementFacts
from interceptor_rules.subjects import Subject

__all__ = ["note_write", "writes"]

_WRITING: Final = {
    "sequences move on": "nextval setval",
    "large objects are made, written, dropped": """
        lo_creat lo_create lo_from_bytea lo_import lo_put lo_truncate lo_truncate64 lo_unlink lowrite""",
    "rows of the catalogues are written": """
        pg_clear_attribute_stats pg_clear_relation_stats pg_import_system_collations pg_nextoid
        pg_restore_attribute_stats pg_restore_relation_stats pg_stop_making_pinned_objects""",
    "indexes are written": """
        brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list""",
    "the write-ahead log is written, or ends a segment": """
        pg_backup_start pg_backup_stop pg_create_restore_point pg_log_standby_snapshot pg_logical_emit_message
        pg_switch_wal""",
    "what is replicated, and how far, is another than before": """
        pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
        pg_create_physical_replication_slot pg_drop_replication_slot pg_logical_slot_get_binary_changes
        pg_logical_slot_get_changes pg_promote pg_replication_origin_advance pg_replication_origin_create
        pg_replication_origin_drop pg_replication_origin_session_reset pg_replication_origin_session_setup
        pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_replication_slot_advance
        pg_sync_replication_slots pg_wal_replay_pause pg_wal_replay_resume""",
}
"""Why, and which."""
_NAMES: Final = frozenset(name for names in _WRITING.values() for name in names.split())
_BEGINNINGS: Final = ("binary_upgrade_", "pg_stat_reset")
"""Of functions that set what pg_upgrade carries over, and that drop counted statistics."""


def writes(schema: str | None, name: str) -> bool:
    """Whether a function of this schema and name is one of them."""
    return schema == "pg_catalog" and (name in _NAMES or name.startswith(_BEGINNINGS))


def note_write(subject: Subject, schema: str | None, name: str) -> None:
    """Add what a function writes to a statement that calls it, unless that is a write anyway."""
    if subject.group != "write" and writes(schema, name):
        subject.indirect.append(Subject(frozenset(), "write", StatementFacts("", Group.WRITE), f"the function {name}"))
