"""Kinds and groups of statements, as the rules file names them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from interceptor import Group, StatementFacts
from interceptor_rules.patterns import BadPattern

__all__ = ["GROUPS", "KINDS", "Kinds", "kinds_of"]

KINDS = frozenset(
    """
    select insert update delete merge truncate copy
    create alter drop comment security import refresh
    grant revoke reassign
    set reset show discard prepare execute deallocate declare fetch move close listen notify unlisten load
    begin commit rollback savepoint release
    do call explain lock vacuum analyze cluster reindex checkpoint
    """.split()
)
"""First keywords of statements; what a Group of the facts holds depends on more than the keyword."""

GROUPS = frozenset(group.value for group in Group)

_OTHER_NAMES = {"values": "select", "table": "select", "start": "begin", "end": "commit", "abort": "rollback"}
_MERGED = {"merge insert": "insert", "merge update": "update", "merge delete": "delete"}
_GROUP_OF_ACTION = {"select": "read", "insert": "write", "update": "write", "delete": "write", "truncate": "write"}


def kinds_of(facts: StatementFacts) -> frozenset[str]:
    """Everything that a statement is by a keyword of its own: a MERGE that deletes is a delete, too."""
    kind = facts.kind
    if kind == "merge":
        return frozenset([kind, *[_MERGED[word] for word in facts.words if word in _MERGED]])
    if kind == "insert" and "do update" in facts.words:
        return frozenset([kind, "update"])
    return frozenset([kind])


class Kinds:
    """What ``statements`` names: kinds and groups."""

    __slots__ = ("groups", "kinds")

    def __init__(self, words: Iterable[str]) -> None:
        """Raises BadPattern."""
        kinds, groups = set(), set()
        for word in words:
            kind = _OTHER_NAMES.get(word, word)
            if kind in KINDS:
                kinds.add(kind)
            elif word in GROUPS:
                groups.add(word)
            else:
                nearest = difflib.get_close_matches(word.lower(), [*KINDS, *GROUPS], n=1)
                hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
                raise BadPattern(f"{word!r} is neither the first keyword of a statement nor a group{hint}")
        self.kinds = frozenset(kinds)
        self.groups = frozenset(groups)

    def match(self, kinds: frozenset[str], group: str) -> bool:
        """Whether a statement of these kinds and this group is one of them."""
        return group in self.groups or not self.kinds.isdisjoint(kinds)

    def match_action(self, action: str) -> bool:
        """Whether what is done to a relation (``select``, ``insert``…) is one of them, whatever statement does it."""
        return action in self.kinds or _GROUP_OF_ACTION.get(action, "") in self.groups
