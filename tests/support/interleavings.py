"""Random conversations of several clients, each of whom changes its session and looks at what depends on it.

Every turn ends outside of a transaction and without a pin, whatever failed in it: what ends them is sent behind a
ReadyForQuery, and chosen so that it can't fail in vain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import strategies as st

from tests.support import frontend
from tests.support.frontend import Frontend
from tests.support.interleave import Interleaving, Turn
from tests.support.script import Opening, Part, part
from tests.support.session_statements import (
    BROKEN,
    CLEANING,
    DEPENDENT,
    DEPENDENT_ON_VALUES,
    HARMLESS,
    HIDDEN,
    PINS,
    PREPARABLE_CHANGES,
    ROLES,
    SETTINGS,
    TRANSACTION_MODES,
    Setting,
    quoted,
)

__all__ = ["Themes", "interleavings"]

T = TypeVar("T")
Values = tuple[bytes | None, ...]

_NAMES = ("one", "two", "three")
_OPENINGS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (),
    (("application_name", "a client"),),
    (("TimeZone", "Europe/Warsaw"), ("DateStyle", "German")),
    # No custom setting: to make it empty, as it would be without the option, is a known difference.
    (("options", "-c search_path=two -c work_mem=6MB"),),
    (("client_encoding", "LATIN1"), ("extra_float_digits", "0")),
    (("options", "-c default_transaction_read_only=on -c role=clerk"),),
)


@dataclass(frozen=True, slots=True)
class Themes:
    """What conversations are about. ``pins``: what keeps a backend; ``hidden``: changes that the text doesn't show."""

    pins: bool = True
    hidden: bool = True
    openings: bool = True


@dataclass(slots=True)
class _Composer:
    """Composes turn after turn. What it picks first is what shrinking goes to."""

    draw: Callable[[st.SearchStrategy[int]], int]
    themes: Themes
    prepared: list[dict[str, Values]] = field(default_factory=list)
    """For each client, names that it has probably prepared, and values for their parameters. '' is the unnamed one."""
    subjects: tuple[Setting, ...] = SETTINGS[:1]
    """The settings that it is mostly about: where all change all, hardly two clients change the same."""
    client: int = 0
    parts: list[Part] = field(default_factory=list)

    # Choices

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.number(0, len(choices) - 1)]

    def number(self, low: int, high: int) -> int:
        return low + self.draw(_below(high - low + 1))

    def seldom(self, one_in: int) -> bool:
        return self.number(1, one_in) == one_in

    # Turns

    def turn(self, clients: int) -> Turn:
        others = [number for number in range(clients) if number != self.client]
        self.client = self.client if self.seldom(5) else self.pick(others)
        self.parts = []
        acts = [self.simple, self.simple, self.batch, self.batch, self.pipeline, self.block]
        acts += [self.prepare, self.recall, self.recall]
        if self.themes.pins:
            acts += [self.pin]
        for _ in range(self.pick((1, 1, 2, 3))):
            self.pick(acts)()
        return Turn(self.client, tuple(self.parts), elsewhere=self.seldom(2))

    def say(self, *messages: Frontend) -> None:
        """These messages, and a wait. The last of them is a Query or a Sync."""
        count = self.number(1, 3) if self.seldom(4) else 0
        length = sum(len(each.data) for each in messages)
        self.parts.append(part(*messages, cuts=[self.number(1, max(1, length - 1)) for _ in range(count)]))

    def ask(self, sql: str) -> None:
        """A statement by itself, in either protocol."""
        if self.seldom(3):
            # Under a name as well, as drivers do after some repetitions; one of its own, so that it surely is there.
            name = self.pick(("", "", sql))
            close = [frontend.close_statement(name)] if name else []
            self.say(
                *close, frontend.parse(sql, name), frontend.bind(statement=name), frontend.execute(), frontend.sync()
            )
            if not name:
                self.prepared[self.client][""] = ()
        else:
            self.say(frontend.query(sql))
            self.prepared[self.client].pop("", None)

    # Statements

    def statement(self) -> str:
        groups = [self.change, self.change, self.change, self.look, self.look, self.role, self.other]
        if self.themes.hidden:
            groups.append(lambda: self.pick(HIDDEN))
        return self.pick(groups)()

    def setting(self) -> Setting:
        return self.pick(SETTINGS) if self.seldom(6) else self.pick(self.subjects)

    def change(self) -> str:
        setting = self.setting()
        value = self.pick(setting.bad) if setting.bad and self.seldom(10) else self.pick(setting.values)
        forms = (
            f"SET {setting.name} = {setting.assigned(value)}",
            f"SET {setting.name} = {setting.assigned(value)}",
            f"SET SESSION {setting.name} TO {setting.assigned(value)}",
            f"SET LOCAL {setting.name} = {setting.assigned(value)}",
            f"RESET {setting.name}",
            f"SET {setting.name} TO DEFAULT",
            f"SET LOCAL {setting.name} TO DEFAULT",
            f"SELECT set_config({quoted(setting.name)}, {quoted(value)}, false)",
            f"SELECT set_config({quoted(setting.name)}, {quoted(value)}, true)",
        )
        return self.pick(forms)

    def look(self) -> str:
        setting = self.setting()
        forms = (f"SHOW {setting.name}", f"SELECT current_setting({quoted(setting.name)})")
        if self.seldom(3):
            return self.pick(DEPENDENT)
        return self.pick(setting.seen_in if "." in setting.name else (*setting.seen_in, *forms))

    def role(self) -> str:
        return self.pick(ROLES) if not self.seldom(3) else self.pick(TRANSACTION_MODES)

    def other(self) -> str:
        return self.pick(self.pick((HARMLESS, CLEANING, CLEANING, BROKEN)))

    # Acts

    def simple(self) -> None:
        texts = [self.statement() for _ in range(self.pick((1, 1, 1, 2, 3)))]
        if len(texts) > 2 and self.seldom(3):
            texts = ["BEGIN", *texts, self.pick(("COMMIT", "ROLLBACK"))]
            # Should one of them fail, the rest is not read, and the transaction stays open.
            self.say(frontend.query("; ".join(texts)))
            self.say(frontend.query("ROLLBACK"))
        else:
            self.say(frontend.query("; ".join(texts)))
        self.prepared[self.client].pop("", None)

    def block(self) -> None:
        """A transaction with savepoints, in either protocol or both."""
        self.ask(self.pick(("BEGIN", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY")))
        for _ in range(self.number(1, 5)):
            self.pick((self.ask_one, self.ask_one, self.batch, self.savepoint, self.prepare, self.recall))()
        if self.seldom(4):
            self.ask(self.pick(BROKEN))
        self.ask(self.pick(("COMMIT", "ROLLBACK", "END")))

    def ask_one(self) -> None:
        self.ask(self.statement())

    def savepoint(self) -> None:
        self.ask("SAVEPOINT s")
        for _ in range(self.number(1, 2)):
            self.ask_one()
        self.ask(self.pick(("ROLLBACK TO s", "ROLLBACK TO s", "RELEASE s")))

    def batch(self) -> None:
        self.say(*self.steps(self.number(1, 3)), frontend.sync())

    def pipeline(self) -> None:
        messages: list[Frontend] = []
        for _ in range(self.number(2, 4)):
            messages += [*self.steps(self.number(1, 2)), frontend.sync()]
        self.say(*messages)

    def steps(self, count: int) -> list[Frontend]:
        """So many statements of the extended protocol, without the Sync."""
        messages: list[Frontend] = []
        known = self.prepared[self.client]
        for _ in range(count):
            if known and self.seldom(3):
                name = self.pick(tuple(known))
                messages += [frontend.bind(known[name], statement=name), frontend.execute()]
                continue
            name = self.pick(("", "", *_NAMES))
            sql, values = self.parameterised()
            if name and not self.seldom(8):
                messages.append(frontend.close_statement(name))
            messages.append(frontend.parse(sql, name))
            if self.seldom(4):
                messages.append(frontend.describe_statement(name))
            messages += [frontend.bind(values, statement=name), frontend.execute()]
            known[name] = values
        return messages

    def parameterised(self) -> tuple[str, Values]:
        choice = self.number(0, 3)
        if choice == 0:
            return self.pick(DEPENDENT_ON_VALUES)
        if choice == 1:
            return self.pick(PREPARABLE_CHANGES)
        return self.look() if choice == 2 else self.statement(), ()

    def prepare(self) -> None:
        """A Parse now, for a later turn."""
        name = self.pick((*_NAMES, ""))
        sql, values = self.parameterised()
        messages = [frontend.parse(sql, name)]
        if name:
            messages.insert(0, frontend.close_statement(name))
        if self.seldom(3):
            messages.append(frontend.describe_statement(name))
        self.say(*messages, frontend.sync())
        self.prepared[self.client][name] = values

    def recall(self) -> None:
        """Execute what an earlier turn has parsed, perhaps; perhaps close it."""
        known = self.prepared[self.client]
        if not known and not self.seldom(6):
            return self.prepare()
        name = self.pick(tuple(known) or _NAMES)
        if name and self.seldom(8):
            known.pop(name, None)
            self.say(frontend.close_statement(name), frontend.sync())
            return
        messages = [frontend.bind(known.get(name, ()), statement=name), frontend.execute()]
        if self.seldom(3):
            messages.insert(1, frontend.describe_portal())
        self.say(*messages, frontend.sync())

    def pin(self) -> None:
        pinning = self.pick(PINS)
        if self.seldom(3):
            self.ask("BEGIN")
            self.ask(pinning.make)
            self.ask(self.pick(("COMMIT", "ROLLBACK", "COMMIT")))
        else:
            self.ask(pinning.make)
        for use in pinning.use[: self.number(0, len(pinning.use))]:
            self.ask(use)
        if self.seldom(3):
            self.ask(self.look())
        self.ask(self.pick(pinning.end))


def _below(limit: int) -> st.SearchStrategy[int]:
    # Not integers(), which prefers the ends of its range.
    return st.sampled_from(range(limit))


@st.composite
def interleavings(draw: st.DrawFn, themes: Themes | None = None, *, longest: int = 10) -> Interleaving:
    """Conversations of two to four clients, of up to ``longest`` turns."""
    composer = _Composer(draw, themes or Themes())
    count = composer.pick((2, 2, 3, 4))
    composer.subjects = tuple(composer.pick(SETTINGS) for _ in range(2))
    composer.prepared = [{} for _ in range(count)]
    openings = [Opening(parameters=composer.pick(_OPENINGS) if composer.themes.openings else ()) for _ in range(count)]
    turns = [composer.turn(count) for _ in range(composer.number(2, longest))]
    return Interleaving("generated", tuple(openings), tuple(turns))
