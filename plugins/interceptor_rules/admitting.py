"""Which sessions may begin: those whose texts the server reads as we do, and whose startup keeps to the rules."""

from __future__ import annotations

import re
from typing import Final

from interceptor import Block, Session, Statement
from interceptor.sql.statements import analyse_facts
from interceptor_rules.acting import block_of
from interceptor_rules.counting import Notes
from interceptor_rules.judging import judge
from interceptor_rules.ruleset import Subset
from interceptor_rules.world import World

__all__ = ["refuse_session", "startup_settings"]

# What is no setting, or one that every driver sends and that decides about nothing but how values look.
_NO_SETTINGS: Final = frozenset(
    """
    user database replication options application_name client_encoding datestyle timezone intervalstyle
    extra_float_digits
    """.split()
)
_OPTION: Final = re.compile(r"(?:-c\s*|--)([^=\s]+)=(.*)", re.DOTALL)


def refuse_session(session: Session, subset: Subset, world: World, notes: Notes) -> Block | None:
    """Why a session may not go on, or None."""
    if subset.owner.mode == "shadow":
        return None
    if not session.reads_alike:
        return Block(
            "42501",
            "the rules do not allow standard_conforming_strings = off, nor a client_encoding in which a byte below 128 "
            "may be part of another character",
            "The rules could then read another statement than PostgreSQL does.",
            "Leave standard_conforming_strings on, and use UTF8",
        )
    if "replication" in session.startup and session.startup["replication"].lower() not in ("false", "off", "no", "0"):
        return Block("42501", "the rules do not allow a replication connection", "Its commands can't be analysed.")
    for name, value in startup_settings(session):
        text = f"SET {_quoted(name, chr(34))} TO {_quoted(value, chr(39))}".encode("utf-8", "surrogateescape")
        judgement = judge(subset, world, Statement(text, analyse_facts(text)), user=session.user,
                          database=session.database)  # fmt: skip
        step = judgement.surely_blocked()
        if step is not None:
            notes.count(step, "block", shadow=False)
            notes.log(step, "block", session, judgement.text, shadow=False)
            return block_of(step)
    return None


def startup_settings(session: Session) -> list[tuple[str, str]]:
    """The settings in a StartupMessage: parameters of their own, and those in ``options``."""
    found = [(name, value) for name, value in session.startup.items() if name.lower() not in _NO_SETTINGS]
    words = _split(session.startup.get("options", ""))
    while words:
        word = words.pop(0)
        if word == "-c" and words:
            word += words.pop(0)
        option = _OPTION.fullmatch(word)
        if option is not None:
            name = option[1] if word.startswith("-c") else option[1].replace("-", "_")
            found.append((name, option[2]))
        else:
            found.append((f"option {word}", ""))
    return found


def _split(options: str) -> list[str]:
    """Split as PostgreSQL does it (pg_split_opts): at spaces that have no backslash before them."""
    words: list[str] = []
    word = ""
    started = False
    at = 0
    while at < len(options):
        one = options[at]
        if one == "\\" and at + 1 < len(options):
            at += 1
            word += options[at]
            started = True
        elif one.isspace():
            if started:
                words.append(word)
            word, started = "", False
        else:
            word += one
            started = True
        at += 1
    if started:
        words.append(word)
    return words


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote
