"""Rules for what may be run: a file of rules that is tried on every statement. docs/reference/rules.md."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime

from interceptor import (
    Block,
    ConfigError,
    ConsoleCommand,
    Planned,
    PluginContext,
    Session,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)
from interceptor.services import Trial
from interceptor.sql.statements import analyse_facts
from interceptor_rules.acting import Actor
from interceptor_rules.admitting import refuse_session
from interceptor_rules.checking import run_tests
from interceptor_rules.config import Config
from interceptor_rules.counting import Notes
from interceptor_rules.estimates import Estimates
from interceptor_rules.file import WatchedRules
from interceptor_rules.glancing import is_quiet
from interceptor_rules.judging import Judgement, judge
from interceptor_rules.learning import Learner
from interceptor_rules.making import Made
from interceptor_rules.rewriting import limited
from interceptor_rules.ruleset import Subset
from interceptor_rules.showing import rows_of_rules, show_rules
from interceptor_rules.throttling import Throttles

__all__ = ["Rules"]


@plugin(
    config=Config,
    policy="closed",
    depends_on=("role", "search_path"),
    needs_catalogue=True,
    deadline=60.0,
)
class Rules:
    """The plugin."""

    def __init__(self, context: PluginContext[Config]) -> None:
        config = context.config
        self._context = context
        self._file = WatchedRules(context.folder / config.file)
        learned = context.folder / config.learn_file if config.learn_file else self._file.path.with_suffix(
            ".learned.toml"
        )  # fmt: skip
        self._learner = Learner(learned, examples=config.learn_examples)
        self._notes = Notes(context.log)
        self._throttles = Throttles(time.monotonic)
        self._actor = Actor(
            self._notes,
            self._throttles,
            Estimates(lambda: context.services),
            self._learner,
            lambda: datetime.now(UTC),
        )

    # --- Statements ------------------------------------------------------------------------------------------------

    @hookimpl
    def classify_session(self, session: Session) -> Hashable:
        """The rules that may concern a session are all that matters of who it is."""
        return self._file.rules.for_session(self._file.whom(session))

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> Planned:
        """Try the rules."""
        subset = session.label
        assert isinstance(subset, Subset)
        world = self._file.world(statement.resolution, session.database)
        if is_quiet(subset, world, statement):
            return None
        judgement = judge(subset, world, statement, user=session.user, database=session.database)

        def judge_text(text: bytes) -> Judgement:
            return judge(
                subset, world, Statement(text, analyse_facts(text)), user=session.user, database=session.database
            )

        def judge_made(made: Made) -> Judgement:
            return judge(subset, world, statement, user=session.user, database=session.database, made=made)

        return self._actor.plan(judgement, subset.owner.mode, judge_text, judge_made)

    @hookimpl
    def rewrite(self, statement: Statement, session: SessionClass) -> Planned:
        """Add a LIMIT."""
        subset = session.label
        assert isinstance(subset, Subset)
        if not subset.rewrites:
            return None
        world = self._file.world(statement.resolution, session.database)
        judgement = judge(subset, world, statement, user=session.user, database=session.database)
        return limited(judgement, statement, subset.owner.mode)

    @hookimpl
    def admit(self, session: Session) -> Block | None:
        """Refuse a session whose texts can't be read, or whose startup sets what it may not."""
        rules = self._file.rules
        return refuse_session(session, rules.for_session(self._file.whom(session)), self._file.world(None), self._notes)

    # --- The file --------------------------------------------------------------------------------------------------

    @hookimpl
    def start_worker(self) -> None:
        """Watch the file, and write down what is learned."""
        services = self._context.services
        self._notes.start(services)
        self._throttles.share(services.shared)
        interval = self._context.config.check_interval
        if interval:
            services.tasks.every(interval, self._look, "rules file")
        services.tasks.every(10, self._write_learned, "learned statements")

    @hookimpl
    def stop_worker(self) -> None:
        """Write down what is learned."""
        self._learner.write()

    async def _look(self) -> None:
        if not self._file.changed():
            return
        try:
            # A file of 10,000 rules takes half a second, in which clients go on.
            found = await asyncio.to_thread(self._file.read)
        except ConfigError as error:
            self._context.log.error("the rules file is wrong, and the rules of before go on: %s", error)
            return
        learned = self._file.rules.mode == "learn"
        self._file.put(found)
        self._context.invalidate_plans()
        if learned and self._file.rules.mode != "learn":
            await self._write_learned()
        self._context.log.info("the rules file was read again: %d rules", len(self._file.rules.rules))

    async def _write_learned(self) -> None:
        if self._learner.pending:
            await asyncio.to_thread(self._learner.write)

    @hookimpl
    def check(self, trial: Trial) -> Iterable[str]:
        """Run the tests of the rules file."""
        return run_tests(self._file.rules)

    @hookimpl
    def console_commands(self) -> Iterable[ConsoleCommand]:
        """SHOW RULES."""
        return [show_rules(lambda: rows_of_rules(self._file.rules, self._notes))]
