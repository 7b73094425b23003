"""The process that analyses long SQL: a question on its standard input, the facts on its standard output.

A question is a header (``QUESTION``: the length of the text, and whether it reads by standard lexing) and the text. An
answer is a header (``ANSWER``: the number of parts, and about how much memory the facts take), and then the parts, each
after its length: the facts without their literals, then literals in parts of ``LITERALS``, all pickled. Small parts
keep the loop of who reads them free.
"""

from __future__ import annotations

import pickle
import resource
import signal
import sys
from struct import Struct
from typing import BinaryIO, Final

import msgspec

from interceptor.sql.facts import Group, MessageFacts, Opaque, OpaqueReason, StatementFacts
from interceptor.sql.facts_cache import facts_size
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts

__all__ = ["ANSWER", "LENGTH", "LITERALS", "MAX_FIRST", "QUESTION", "opaque_facts"]

QUESTION: Final = Struct("!I?")
ANSWER: Final = Struct("!IQ")
LENGTH: Final = Struct("!I")
LITERALS: Final = 1000
"""Literals in one part: less than 1 ms to read."""
MAX_FIRST: Final = 256 * 1024
"""Bytes of the part that has all but the literals. What has more relations, columns and calls than that is opaque."""
MAX_LITERALS: Final = 100_000
"""Of a text with more, the facts have none: to free half a million of them takes 15 ms, in which nobody is served."""
MAX_MEMORY: Final = 4 * 1024**3
"""Bytes of address space. A text that needs more ends the process, and is opaque."""


def opaque_facts(sql: bytes, reason: OpaqueReason, detail: str = "") -> MessageFacts:
    """The facts of a text of which nothing is known."""
    opaque = (Opaque(reason, detail),)
    statement = StatementFacts("", Group.UTILITY, 0, len(sql), opaque=opaque)
    return MessageFacts(len(sql), 0, (statement,), (statement,), opaque=opaque)


def _answer(sql: bytes, standard_lexing: bool) -> tuple[int, list[bytes]]:
    facts = analyse_facts(sql, standard_lexing, HELPER)
    first = pickle.dumps(msgspec.structs.replace(facts, literals=()), pickle.HIGHEST_PROTOCOL)
    if len(first) > MAX_FIRST:
        facts = opaque_facts(sql, OpaqueReason.TOO_COMPLEX)
        first = pickle.dumps(facts, pickle.HIGHEST_PROTOCOL)
    literals = facts.literals if len(facts.literals) <= MAX_LITERALS else ()
    parts = [literals[start : start + LITERALS] for start in range(0, len(literals), LITERALS)]
    return facts_size(facts), [first, *[pickle.dumps(part, pickle.HIGHEST_PROTOCOL) for part in parts]]


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    while header := questions.read(QUESTION.size):
        size, standard_lexing = QUESTION.unpack(header)
        memory, parts = _answer(questions.read(size), standard_lexing)
        answers.write(ANSWER.pack(len(parts), memory))
        for part in parts:
            answers.write(LENGTH.pack(len(part)) + part)
        answers.flush()


if __name__ == "__main__":
    # Ctrl-C in a terminal goes to all processes there; this one ends when its input does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
