"""Where a place in a rewritten text is in the text that the client sent.

PostgreSQL's errors name a character of the text that it was sent. To a client whose statement was rewritten that number
means nothing, or worse, points at another word. The words of both texts are aligned; a place within words that both
have is mapped, any other is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import Final

from interceptor.protocol.messages import ERROR_RESPONSE, encode_message

__all__ = ["Rewriting", "map_position"]

MAX_TEXT: Final = 64 * 1024
"""Characters of each text up to which words are looked at; in a longer one a place is none."""

MAX_ALIGNED: Final = 40_000
"""Pairs of words between the common beginning and the common end that are compared at most."""

# No more than telling words apart, in time linear in the text. Where it errs (a backslash in a string), both texts are
# read alike.
_WORD: Final = re.compile(
    r"--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?+|\s++"
    r"|(?P<word>'[^']*+(?:''[^']*+)*+'?+|\"[^\"]*+\"?+|\$[0-9]++|[^\W\d][\w$]*+|[0-9][\w.]*+|.)",
    re.DOTALL,
)


def map_position(old: str, new: str, position: int) -> int:
    """The character of ``old`` that a character of ``new`` stands for; both counted from 1, and 0 is none."""
    if position < 1 or len(old) > MAX_TEXT or len(new) > MAX_TEXT:
        return 0
    if old == new:
        return position
    at = position - 1
    there = [(found.start(), found.group()) for found in _WORD.finditer(new) if found.lastgroup]
    here = [(found.start(), found.group()) for found in _WORD.finditer(old) if found.lastgroup]
    number = next((i for i, (start, word) in enumerate(there) if start <= at < start + len(word)), -1)
    if number < 0:
        # Not in a word: PostgreSQL says so of the end of the text.
        at_end = bool(there) and at >= there[-1][0] + len(there[-1][1]) and _same_end(here, there)
        return len(old) + 1 if at_end else 0
    counterpart = _counterpart([word for _, word in here], [word for _, word in there], number)
    if counterpart < 0:
        return 0
    return here[counterpart][0] + at - there[number][0] + 1


def _same_end(here: list[tuple[int, str]], there: list[tuple[int, str]]) -> bool:
    return bool(here) and here[-1][1] == there[-1][1]


def _counterpart(here: list[str], there: list[str], number: int) -> int:
    """Which word of ``here`` the word of this number in ``there`` is; -1 if none."""
    most = min(len(here), len(there))
    prefix = 0
    while prefix < most and here[prefix] == there[prefix]:
        prefix += 1
    suffix = 0
    while suffix < most - prefix and here[-1 - suffix] == there[-1 - suffix]:
        suffix += 1
    if number < prefix:
        return number
    if number >= len(there) - suffix:
        return number - len(there) + len(here)
    middle_here, middle_there = here[prefix : len(here) - suffix], there[prefix : len(there) - suffix]
    if len(middle_here) * len(middle_there) > MAX_ALIGNED:
        return -1
    for block in SequenceMatcher(None, middle_here, middle_there, autojunk=False).get_matching_blocks():
        if block.b <= number - prefix < block.b + block.size:
            word = there[number]
            # One word alone may be alike by chance.
            if block.size > 1 or (here.count(word) == there.count(word) == 1):
                return number - block.b + block.a
    return -1


@dataclass(frozen=True)
class Rewriting:
    """A text of the client's, and the one that runs in its place."""

    old: bytes
    new: bytes
    encoding: str = "utf-8"
    """The client's, as Python calls it: a position counts characters."""

    @cached_property
    def _texts(self) -> tuple[str, str]:
        return self.old.decode(self.encoding, "surrogateescape"), self.new.decode(self.encoding, "surrogateescape")

    def mend(self, body: bytes) -> bytes:
        """The body of an ErrorResponse about the new text, with the position in the old one, or none."""
        fields = body.split(b"\0")
        kept = []
        for field in fields:
            if field[:1] == b"P" and field[1:].isdigit():
                position = map_position(*self._texts, int(field[1:]))
                if position:
                    kept.append(b"P%d" % position)
            else:
                kept.append(field)
        return b"\0".join(kept)

    def mend_message(self, message: bytes) -> bytes:
        """As ``mend``, of a whole message."""
        return encode_message(ERROR_RESPONSE, self.mend(message[5:]))
