"""Answer SELECT hello() with rows, though PostgreSQL knows no such function.

[plugins]
modules = ["hello.py"]
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from interceptor import Column, Execution, Plan, Respond, SessionClass, Shape, Statement, hookimpl

COLUMNS = (Column("greeting", "text"), Column("number", "int4"))
HELLO = re.compile(r"\s*select\s+hello\(\)\s*;?\s*", re.IGNORECASE)


async def greetings(user: str) -> AsyncIterator[tuple[str, int]]:
    for number, word in enumerate(["Hello", "Hallo", "Bonjour"], start=1):
        yield f"{word}, {user}", number


def answer(execution: Execution) -> Respond:
    return Respond(COLUMNS, greetings(execution.session.user))


@hookimpl
def virtual(statement: Statement, session: SessionClass) -> Plan | None:
    if HELLO.fullmatch(statement.text) is None:
        return None
    return Plan(answer, reason="it asks for hello()", shape=Shape(COLUMNS))
