"""What names mean from one statement of a message to the next."""

from __future__ import annotations

from typing import Final

from interceptor import StatementFacts
from interceptor.catalogue import SessionChange
from interceptor.catalogue.model import FIRST_USER_OID
from interceptor_rules.subjects import Subject
from interceptor_rules.traits import PATH_SETTINGS, ROLE_SETTINGS, SET_CONFIG, quoted
from interceptor_rules.world import World

__all__ = ["world_behind"]

# After these the settings of the session may be those of an earlier time.
_RETURNING: Final = frozenset(["rollback", "reset", "discard"])


def world_behind(facts: StatementFacts, subject: Subject, world: World) -> World:
    """What names mean behind a statement, if they meant this to it."""
    if facts.kind in _RETURNING or subject.opaque or subject.unread:
        return world.with_path(None)
    if not facts.settings and SET_CONFIG in subject.functions:
        # Through a view such as pg_settings.
        return world.with_path(None)
    for setting in facts.settings:
        if setting.name in PATH_SETTINGS:
            values = setting.values
            known = setting.name == "search_path" and setting.known and values is not None
            listed = facts.kind == "set"  # set_config is given the whole list as one text
            path = ", ".join(map(quoted, values or ())) if listed else (values or ("",))[0]
            world = world.with_path(path if known else None)
        elif setting.name in ROLE_SETTINGS:
            values = setting.values
            known = setting.known and values is not None and len(values) == 1 and values[0] != "none"
            world = world.with_role(values[0] if known and values else None)
    if world.closures is not None and facts.functions:
        for name in facts.functions:
            for function in world.functions(name.name, len(name.texts)):
                if function.oid >= FIRST_USER_OID:
                    verdict = world.closures.may_change_session(function.oid, world.scope)
                    if verdict.change >= SessionChange.CHANGES:
                        world = world.with_path(None)
    return world
