"""What plugins would do with one statement and why, for ``interceptor explain``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interceptor.hooks.decisions import Block, Delay, Forward, Respond, Rewrite, Route
from interceptor.hooks.planning import Explanation
from interceptor.hooks.statement import Session
from interceptor.hooks.transaction import Transaction
from interceptor.sql.facts_cache import FactsCache

if TYPE_CHECKING:
    from interceptor.hooks.decisions import Decision
    from interceptor.sql.facts import MessageFacts
    from pooler.server import Server

__all__ = ["Explained", "describe_decision", "describe_facts", "explain_statement"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A statement, what is known of it, and what each plugin plans in each phase."""

    sql: str
    database: str
    user: str
    role: str | None
    search_path: str | None
    facts: MessageFacts
    explanations: tuple[Explanation, ...]


async def explain_statement(server: Server, sql: str, database: str, user: str) -> Explained:
    """Ask each plugin what it plans. Only where a plugin wants names to be resolved a server is asked too.

    No hook but the plan hooks is called, and no step of a plan. Raises LookupError for an unknown database.
    """
    host = server.host
    settings = server.config.pool_settings(database, user)
    pool = server.pools.get(settings)
    pool.credential = server.backend_credential(settings, None)
    session = Session(
        id=1,
        database=database,
        user=user,
        backend_user=settings.user,
        transaction=Transaction(),
        startup={"user": user, "database": database},
    )
    if host.asks_names:
        names = await host.names.ask(pool, pool.profile(settings.parameters))
        session.role, session.search_path = names.role, names.search_path
    text = sql.encode("utf-8", "surrogateescape")
    explanations: tuple[Explanation, ...] = ()
    facts = FactsCache().exact(text)
    if host.tables is not None:
        planned = host.tables.plan(session, text)
        statement, _ = await planned if inspect.isawaitable(planned) else planned
        facts = statement.exact()
        answer = host.tables.explain(session, text)
        explanations = await answer if inspect.isawaitable(answer) else answer
    return Explained(sql, database, user, session.role, session.search_path, facts, explanations)


def describe_facts(facts: MessageFacts) -> dict[str, list[str]]:
    """What the text says of itself, in short: each kind of fact with what there is of it."""
    calls = {str(use.name): None for one in facts.all for use in one.functions}
    found: dict[str, Iterable[object]] = {
        "kinds": [one.kind or "unreadable" for one in facts.all],
        "reads": facts.reads,
        "writes": facts.writes,
        "defines": facts.defines,
        "calls": calls,
        "opaque": [f"{one.reason.value}{f' ({one.detail})' if one.detail else ''}" for one in facts.opaque],
    }
    return {name: [str(item) for item in items] for name, items in found.items()}


def describe_decision(value: Decision | None) -> dict[str, object]:
    """What matters of a decision that is always the same; nothing of its rows, which may be many."""
    match value:
        case Block():
            said = {"sqlstate": value.sqlstate, "message": value.message, "detail": value.detail, "hint": value.hint}
            return {name: text for name, text in said.items() if text}
        case Route():
            retry: dict[str, object] = {} if value.retry is None else {"retry": value.retry.target}
            return {"target": value.target, **retry}
        case Rewrite():
            return {"sql": value.sql}
        case Delay():
            return {"seconds": value.seconds}
        case Respond():
            return {"columns": [f"{column.name} {column.type}" for column in value.columns]}
        case Forward():
            conditions: dict[str, object] = dict(value.settings)
            if value.limits is not None:
                conditions |= {"rows": value.limits.rows, "bytes": value.limits.bytes}
            return {name: condition for name, condition in conditions.items() if condition}
        case _:
            return {}
