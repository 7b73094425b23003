"""Drive a plugin with SQL and see what it decides: no socket, no server, no event loop.

>>> harness = PluginHarness("my_plugin.py", config={"words": ["secret"]})
>>> harness.decide("SELECT secret").action
Block(sqlstate='42501', ...)
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast, overload

from interceptor.catalogue import Closures, Snapshot
from interceptor.hooks.at_parse import AtParse
from interceptor.hooks.chain import Outcome
from interceptor.hooks.decisions import Block, Replay, Respond, Row
from interceptor.hooks.instant_waits import InstantWaits, WaitsForOthers, finish
from interceptor.hooks.loading import load_plugins
from interceptor.hooks.observing import Completion, Failure
from interceptor.hooks.parameters import BoundValue, Parameters
from interceptor.hooks.planning import Explanation
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.plugins import BrokenPlugin, PluginSet, PluginStatus
from interceptor.hooks.sources import ModuleFile, PluginSources, PluginTable
from interceptor.hooks.statement import Execution, Resolution, Session
from interceptor.hooks.transaction import Transaction, TransactionStatus
from interceptor.protocol.datatypes import PythonValue, find_type
from interceptor.protocol.values import encode_binary
from interceptor.services import Services
from interceptor.sql.facts import MessageFacts
from interceptor.sql.facts_cache import FactsCache

__all__ = ["PluginHarness"]

T = TypeVar("T")


class _FactsAnalyst:
    """Facts of the real analysis; names are resolved by what the test gave."""

    def __init__(self, catalogue: Snapshot | None) -> None:
        self._cache = FactsCache()
        self._closures = Closures(catalogue) if catalogue is not None else None

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self._cache.facts(sql, standard_lexing)

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self._cache.exact(sql, standard_lexing)

    def resolve(self, session: Session) -> Resolution:
        return Resolution(self._closures, session.scope())


class _NoServices:
    """Stands for services that the test did not give."""

    def __getattr__(self, name: str) -> object:
        raise LookupError(f"the plugin asked for the service {name}: give the harness services that have it")


class PluginHarness:
    """One plugin, or several, and as many sessions as a test wants.

    ``plugins``: files of plugins, or names of installed ones, each with its config under its name in ``configs``;
    ``config`` is that of the first. What can't be loaded raises as it would at the start of the server. ``catalogue``
    is that of every database; without one no name resolves. Hooks may wait for ``services`` of the test's own.
    """

    def __init__(
        self,
        *plugins: Path | str,
        config: Mapping[str, object] | None = None,
        configs: Mapping[str, Mapping[str, object]] | None = None,
        services: Services | None = None,
        catalogue: Snapshot | None = None,
    ) -> None:
        files = {Path(one).stem: Path(one).absolute() for one in plugins if str(one).endswith(".py")}
        names = [Path(one).stem if str(one).endswith(".py") else str(one) for one in plugins]
        tables = {name: dict((configs or {}).get(name, {})) for name in names}
        if config is not None:
            tables[names[0]] = dict(config)
        sources = PluginSources(
            "the test's config",
            tuple(ModuleFile(file) for file in files.values()),
            {name: PluginTable(values) for name, values in tables.items()},
        )
        services = services if services is not None else cast("Services", _NoServices())
        self.waits = InstantWaits()
        self.plugins: PluginSet = load_plugins(sources, lambda name: services)
        self._raise_broken()
        self.tables = PlanTables(self.plugins, _FactsAnalyst(catalogue), self.waits)
        self._ids = 0

    def _raise_broken(self) -> None:
        if self.plugins.broken:
            raise AssertionError("\n".join(str(one) for one in self.plugins.broken))

    def session(
        self,
        *,
        database: str = "app",
        user: str = "app",
        role: str | None = None,
        search_path: str | None = None,
        application_name: str = "",
        client_address: str = "127.0.0.1",
        settings: Mapping[str, str | None] | None = None,
        tls: bool = False,
    ) -> Session:
        """A session that is logged in, outside of a transaction."""
        self._ids += 1
        startup = {"user": user, "database": database, "application_name": application_name}
        session = Session(
            id=self._ids,
            database=database,
            user=user,
            transaction=Transaction(),
            client_address=client_address,
            startup=startup,
            tls=tls,
        )
        session.role = role or user
        session.search_path = search_path
        session.settings.update(settings or {})
        return session

    def decide(
        self,
        sql: str,
        parameters: Sequence[PythonValue] = (),
        *,
        types: Sequence[str] = (),
        session: Session | None = None,
        database: str = "app",
        user: str = "app",
        role: str | None = None,
        application_name: str = "",
        in_transaction: bool = False,
        wrote: bool = False,
    ) -> Outcome:
        """What the plugins do with one execution. ``types`` name those of ``parameters``, else they are texts.

        Without a ``session``, in one of its own. Any failure of a plugin raises AssertionError with its traceback.
        """
        if session is None:
            session = self.session(database=database, user=user, role=role, application_name=application_name)
        status: TransactionStatus = "open" if in_transaction else session.transaction.status
        session.transaction.status = status
        session.transaction.wrote = session.transaction.wrote or wrote
        text = sql.encode("utf-8", "surrogateescape")
        with _FailuresRaise():
            statement, chain = self.wait(self.tables.plan(session, text))
            bound = self.bind(parameters, types)
            execution = Execution(statement, session, bound, protocol="extended" if bound else "simple")
            if chain is None:
                return Outcome(execution)
            return self.wait(chain.run(execution))

    def bind(self, values: Sequence[PythonValue], types: Sequence[str] = ()) -> Parameters:
        """Parameters in binary, of these types, or texts where there are fewer types than values."""
        bound = []
        for index, value in enumerate(values):
            reference = find_type(types[index] if index < len(types) else "text")
            data = None if value is None else encode_binary(reference, value)
            bound.append(BoundValue(reference.oid, 1, data))
        return Parameters(bound)

    def at_parse(self, sql: str, *, session: Session | None = None) -> AtParse | None:
        """What is certain when the text is parsed; None if nobody wants it."""
        session = session or self.session()
        with _FailuresRaise():
            _, chain = self.wait(self.tables.plan(session, sql.encode("utf-8", "surrogateescape")))
            return self.wait(chain.at_parse(session)) if chain is not None else None

    def explain(self, sql: str, *, session: Session | None = None) -> tuple[Explanation, ...]:
        """What each plugin plans, and why."""
        with _FailuresRaise():
            return self.wait(self.tables.explain(session or self.session(), sql.encode("utf-8", "surrogateescape")))

    def rows(self, outcome: Outcome) -> list[Row]:
        """The rows of a Respond."""
        assert isinstance(outcome.action, Respond), f"{outcome.action} has no rows"
        rows = outcome.action.rows
        if isinstance(rows, AsyncIterable):
            return self.wait(_gather(rows))
        return list(rows)

    def finish(self, outcome: Outcome, tag: str = "SELECT 1", rows: Iterable[bytes] = ()) -> None:
        """Tell the observers that it went well, as the server would."""
        observers = outcome.observers
        with _FailuresRaise():
            observers.started(outcome.execution)
            count = size = 0
            for row in rows:
                count, size = count + 1, size + len(row)
                observers.received(outcome.execution, row)
            here = isinstance(outcome.action, (Respond, Replay))
            completion = Completion(tag, count, size, 0.001, 0.001, "plugin" if here else "backend")
            observers.finished(outcome.execution, completion)

    def fail(self, outcome: Outcome, sqlstate: str = "XX000", message: str = "failed") -> None:
        """Tell the observers that it failed."""
        here = isinstance(outcome.action, Block)
        with _FailuresRaise():
            outcome.observers.started(outcome.execution)
            failure = Failure(sqlstate, message, 0.001, "plugin" if here else "backend")
            outcome.observers.failed(outcome.execution, failure)

    def admit(self, session: Session) -> Block | None:
        """Whether the plugins let a session in."""
        with _FailuresRaise():
            answer = self.plugins.admit(session, self.waits)
            if answer is None or isinstance(answer, Block):
                return answer
            return self.wait(answer)

    def notify(self, hook: str, *arguments: object) -> None:
        """Call a hook that observes, with the arguments of its spec in order."""
        with _FailuresRaise():
            self.plugins.notify(hook, *arguments)

    def start(self) -> None:
        """Run ``start_node`` and ``start_worker``."""
        with _FailuresRaise():
            for hook in ("start_node", "start_worker"):
                running: Awaitable[tuple[BrokenPlugin, ...]] = self.plugins.run(hook, self.waits)
                self.wait(running)

    def status(self) -> tuple[PluginStatus, ...]:
        """As ``interceptor plugins`` shows it."""
        return self.plugins.status()

    @overload
    def wait(self, value: Awaitable[T]) -> T: ...

    @overload
    def wait(self, value: T | Awaitable[T]) -> T: ...

    def wait(self, value: T | Awaitable[T]) -> T:
        """The value, or what it gives when it is awaited. It may wait for nothing from outside."""
        try:
            return finish(value)
        except WaitsForOthers:
            raise AssertionError(
                "a hook waits for something outside of the harness: give it services that answer at once"
            ) from None


async def _gather(rows: AsyncIterable[Row]) -> list[Row]:
    return [row async for row in rows]


class _FailuresRaise(logging.Handler):
    """While it is entered, what the containment logs is an AssertionError."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> None:
        logging.getLogger("interceptor.plugins").addHandler(self)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        logging.getLogger("interceptor.plugins").removeHandler(self)
        if self.lines and kind is None:
            raise AssertionError("\n".join(self.lines))
