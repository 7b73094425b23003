"""Of which types the variables of a body in PL/pgSQL may be, as far as anything runs when a value of one is made."""

from __future__ import annotations

import re
from typing import Final

from interceptor.catalogue.model import FIRST_USER_OID
from interceptor.catalogue.snapshot import Snapshot

__all__ = ["variable_types"]

_WORD: Final = re.compile(r"\w+")
_BY_REFERENCE: Final = re.compile(r"%\s*(?:type|rowtype)\b", re.IGNORECASE)
_DECLARED: Final = re.compile(r"\bdeclare\b(.*?)\bbegin\b", re.IGNORECASE | re.DOTALL)


def variable_types(snapshot: Snapshot, text: str) -> list[int]:
    """The types by the words of the text: domains by any, rows by those between DECLARE and BEGIN.

    A ``%TYPE`` or ``%ROWTYPE`` may stand for any domain with a check.
    """
    checked = snapshot.type_checks
    if not checked:
        return []
    if "%" in text and _BY_REFERENCE.search(text):
        return list(checked)
    words = set(_WORD.findall(text.lower()))
    declared = set(_WORD.findall(" ".join(_DECLARED.findall(text)).lower()))
    found = []
    for one in snapshot.types.values():
        if one.oid < FIRST_USER_OID or one.kind not in "dc":
            continue
        of = words if one.kind == "d" else declared
        name = one.name.lower()
        if name in of or (not name.isidentifier() and of.issuperset(_WORD.findall(name))):
            found.append(one.oid)
    return found
