"""Statements tried against loaded plugins with no server and no event loop, for ``interceptor check``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from interceptor.hooks.chain import Outcome
from interceptor.hooks.finding import describe_error, locate
from interceptor.hooks.instant_waits import InstantWaits, finish
from interceptor.hooks.parameters import Parameters
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.statement import Execution, Resolution, Session
from interceptor.hooks.transaction import Transaction
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts

if TYPE_CHECKING:
    from interceptor.hooks.plugins import PluginSet
    from interceptor.services import Trial
    from interceptor.sql.facts import MessageFacts

__all__ = ["CheckFailure", "PluginTrial", "check_plugins"]


@dataclass(frozen=True, slots=True)
class CheckFailure:
    """Something that a plugin's ``check`` found, or what it raised itself."""

    plugin: str
    reason: str
    file: str = ""
    """Of what it raised; what it found says where by itself."""
    line: int = 0

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.line else ""
        return f"plugin {self.plugin}: {where}{self.reason}"


def check_plugins(plugins: PluginSet) -> list[CheckFailure]:
    """Call the ``check`` hook of each plugin."""
    trial = PluginTrial(plugins)
    origins = {plugin.name: plugin.origin for plugin in plugins.plugins}
    failures: list[CheckFailure] = []
    for one in plugins.implementations("check"):
        name = one.hook.plugin.name
        try:
            said = one.function(trial)
            found = [str(item) for item in cast("list[object]", said or [])]
        except (Exception, SystemExit) as error:
            file, line = locate(error, origins[name])
            failures.append(CheckFailure(name, f"its hook check raised {describe_error(error)}", file, line))
        else:
            failures += [CheckFailure(name, reason) for reason in found]
    return failures


class PluginTrial:
    """Implements ``Trial``. No name resolves in it: that takes a server."""

    def __init__(self, plugins: PluginSet) -> None:
        self._tables = PlanTables(plugins, _TextAnalyst(), InstantWaits())
        self._number = 0

    def decide(
        self,
        sql: str,
        *,
        database: str = "app",
        user: str = "app",
        role: str | None = None,
        application_name: str = "",
        in_transaction: bool = False,
    ) -> Outcome:
        """As ``Trial.decide``. Raises LookupError for a plugin that waits for something from outside."""
        self._number += 1
        startup = {"user": user, "database": database, "application_name": application_name}
        session = Session(id=self._number, database=database, user=user, transaction=Transaction(), startup=startup)
        session.role = role or user
        if in_transaction:
            session.transaction.status = "open"
        statement, chain = finish(self._tables.plan(session, sql.encode("utf-8", "surrogateescape")))
        execution = Execution(statement, session, Parameters([]))
        return Outcome(execution) if chain is None else finish(chain.run(execution))


class _TextAnalyst:
    """Facts of the text alone. Nobody else waits, so a long one may take its time."""

    def __init__(self) -> None:
        self._cache = FactsCache()

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        facts = self._cache.facts(sql, standard_lexing)
        return analyse_facts(sql, standard_lexing, HELPER) if facts.opaque else facts

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self._cache.exact(sql, standard_lexing)

    def resolve(self, session: Session) -> Resolution:
        return Resolution(None, session.scope())


if TYPE_CHECKING:

    def _trial(trial: PluginTrial) -> Trial:
        return trial
