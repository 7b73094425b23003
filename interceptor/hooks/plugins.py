"""The plugins that are loaded, and every way to call them but the chains."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal, TypeVar, cast

from interceptor.hooks.chain import PHASES
from interceptor.hooks.containment import Hook, HookFailure, PluginRuntime, Running, discard, is_awaitable
from interceptor.hooks.decisions import Block
from interceptor.hooks.declare import Contribution, PluginInfo
from interceptor.hooks.planning import PlanHook
from interceptor.hooks.statement import Session, SessionClass
from interceptor.hooks.waits import Waits
from interceptor.services.plugins import ConsoleCommand, HttpRoute

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BrokenPlugin", "Implementation", "LoadedPlugin", "PluginSet", "PluginStatus"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Implementation:
    """One plugin's implementation of one hook."""

    hook: Hook
    function: Callable[..., object]
    """Takes the arguments of the spec by position, whichever of them the plugin wants."""
    arguments: tuple[str, ...]
    """Of the spec."""
    rank: int = 0
    """Its place among all implementations of this hook."""


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that works."""

    runtime: PluginRuntime
    info: PluginInfo
    version: str
    origin: Path | None
    """Its file, or its package's folder."""
    instance: object = field(repr=False)
    implementations: tuple[Implementation, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Of its table in the config."""
        return self.runtime.name


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that could not be loaded, and where in its own source, or the config file, the reason stands."""

    name: str
    file: str
    line: int
    """0 if it isn't known."""
    reason: str
    closed: bool
    """The server must not run without it."""
    version: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"plugin {self.name}: {where}: {self.reason}" if where else f"plugin {self.name}: {self.reason}"

    def status(self) -> PluginStatus:
        """Its line of ``interceptor plugins``."""
        where = f"{self.file}:{self.line}: " if self.line else ""
        return PluginStatus(
            self.name, self.version, (), "closed" if self.closed else "open", "broken", where + self.reason
        )


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """A line of ``interceptor plugins``."""

    name: str
    version: str
    hooks: tuple[str, ...]
    policy: Literal["open", "closed", "by phase"]
    state: Literal["active", "tripped", "broken", "installed"]
    reason: str = ""
    calls: int = 0
    failures: int = 0
    seconds: float = 0.0
    """In its plain functions."""
    waited: float = 0.0
    """For its awaitables."""


_TRACKING: Final = frozenset(["cache", "transaction_ended"])
"""Hooks that rest on what is known of transactions."""


class PluginSet:
    """Plugins that were loaded together, in the order of the config. A reload makes another set."""

    def __init__(
        self, plugins: Sequence[LoadedPlugin] = (), broken: Sequence[BrokenPlugin] = (), running: Running | None = None
    ) -> None:
        self.plugins: Final = tuple(plugins)
        self.broken: Final = tuple(broken)
        self.running: Final = running or Running()
        self.on_invalidated: Callable[[str | None], None] = _nobody
        self.needs_catalogue: Final = any(plugin.info.needs_catalogue for plugin in plugins)
        self._by_hook: dict[str, tuple[Implementation, ...]] = {}
        everything = [one for plugin in plugins for one in plugin.implementations]
        for one in sorted(everything, key=lambda one: one.rank):
            self._by_hook[one.hook.name] = (*self._by_hook.get(one.hook.name, ()), one)
        self.plan_hooks: Final = tuple(
            PlanHook(phase, one.hook, one.function) for phase in PHASES for one in self._by_hook.get(phase, ())
        )
        """In the order of phases, and within one of the config. Empty: no statement need be looked at."""
        self.tracks_transactions: Final = not self._by_hook.keys().isdisjoint(_TRACKING) or any(
            "transaction" in plugin.info.depends_on for plugin in plugins
        )
        """It has to be kept what the statements of each transaction do."""
        self.wants_statements: Final = bool(
            self.plan_hooks or self.tracks_transactions or "session_changed" in self._by_hook
        )
        """Statements have to be looked at."""
        self._declared = sorted({name for plugin in plugins for name in plugin.info.dependencies})
        self._readers = {name: _reader(name) for name in self._declared}

    def __len__(self) -> int:
        return len(self.plugins)

    def implementations(self, hook: str) -> tuple[Implementation, ...]:
        """Those of one hook, in the order of the config, but for tryfirst and trylast."""
        return self._by_hook.get(hook, ())

    # --- Classes of sessions ---------------------------------------------------------------------------------------

    def classify(self, session: Session) -> tuple[dict[str, str | bool | None], dict[str, Hashable]]:
        """What the class of a session is made of: declared values, and the label that each plugin gives it.

        A label is a HookFailure where its plugin failed.
        """
        labels: dict[str, Hashable] = {}
        for one in self._by_hook.get("classify_session", ()):
            label = one.hook.call(one.function, session)
            try:
                hash(label)
            except TypeError:
                label = one.hook.failed(f"answered with a {type(label).__name__}, which can't be a key: it has no hash")
            labels[one.hook.plugin.name] = label
        return {name: read(session) for name, read in self._readers.items()}, labels

    def views(
        self, session: Session, declared: Mapping[str, str | bool | None], labels: Mapping[str, Hashable]
    ) -> dict[str, SessionClass]:
        """What each plugin sees of the class of a session."""
        return {
            plugin.name: SessionClass(
                plugin.name,
                session.database,
                session.user,
                session.names,
                plugin.info.dependencies,
                declared,
                labels.get(plugin.name),
            )
            for plugin in self.plugins
        }

    # --- Hooks that observe, and those that are asked once ---------------------------------------------------------

    def notify(self, hook: str, *arguments: object) -> None:
        """Tell all plugins. ``arguments`` are those of the spec, in its order."""
        for one in self._by_hook.get(hook, ()):
            answer = one.hook.call(one.function, *arguments)
            if is_awaitable(answer):
                discard(answer)
                one.hook.failed("is async, and nobody awaits it")

    def admit(self, session: Session, waits: Waits) -> Block | Awaitable[Block | None] | None:
        """Ask all plugins whether a session may go on. The first refusal counts."""
        implementations = self._by_hook.get("admit", ())
        for index, one in enumerate(implementations):
            answer = one.hook.call(one.function, session)
            if is_awaitable(answer):
                return self._admit_later(session, waits, implementations, index, cast("Awaitable[object]", answer))
            refusal = _refusal(one.hook, answer)
            if refusal is not None:
                return refusal
        return None

    async def _admit_later(
        self,
        session: Session,
        waits: Waits,
        implementations: tuple[Implementation, ...],
        index: int,
        pending: Awaitable[object],
    ) -> Block | None:
        first = True
        for one in implementations[index:]:
            answer = pending if first else one.hook.call(one.function, session)
            first = False
            if is_awaitable(answer):
                answer = await one.hook.wait(cast("Awaitable[object]", answer), waits)
            refusal = _refusal(one.hook, answer)
            if refusal is not None:
                return refusal
        return None

    async def run(self, hook: str, waits: Waits) -> tuple[BrokenPlugin, ...]:
        """Call ``start_node`` and its kin for each plugin, one after the other; those that stop, in the opposite order.

        Returns the plugins that failed. Where one of those that start is closed, the server must not go on.
        """
        implementations = self._by_hook.get(hook, ())
        failed = []
        for one in reversed(implementations) if hook.startswith("stop") else implementations:
            answer = one.hook.call(one.function)
            if is_awaitable(answer):
                answer = await one.hook.wait(cast("Awaitable[object]", answer), waits)
            if isinstance(answer, HookFailure):
                plugin = next(plugin for plugin in self.plugins if plugin.runtime is one.hook.plugin)
                closed = any(of_plugin.hook.closed for of_plugin in plugin.implementations)
                origin = str(plugin.origin or "")
                reason = f"its hook {hook} {answer.reason}"
                failed.append(BrokenPlugin(plugin.name, origin, 0, reason, closed, plugin.version))
        return tuple(failed)

    def collect(self, hook: str, arguments: Mapping[str, object]) -> list[Contribution[object]]:
        """Ask all plugins; what fails is missing from the answers, and None counts as no answer."""
        answers = []
        for one in self._by_hook.get(hook, ()):
            answer = one.hook.call(one.function, *[arguments[name] for name in one.arguments])
            if is_awaitable(answer):
                discard(answer)
                one.hook.failed("is async, and nobody awaits it")
            elif answer is not None and not isinstance(answer, HookFailure):
                answers.append(Contribution(one.hook.plugin.name, answer))
        return answers

    def console_commands(self) -> tuple[Contribution[ConsoleCommand], ...]:
        """The commands that plugins add to the console. Of two with one name the second is left out, and logged."""
        return self._contributed("console_commands", ConsoleCommand, lambda command: command.name)

    def http_routes(self) -> tuple[Contribution[HttpRoute], ...]:
        """The routes that plugins add to the HTTP server, each below its plugin's own path."""
        return self._contributed("http_routes", HttpRoute, lambda route: f"{route.method} {route.path}")

    def _contributed(self, hook: str, kind: type[T], key: Callable[[T], str]) -> tuple[Contribution[T], ...]:
        found: dict[str, Contribution[T]] = {}
        for one in self._by_hook.get(hook, ()):
            name = one.hook.plugin.name
            items = one.hook.call(lambda call: list(call()), one.function)
            for item in cast("list[object]", items) if isinstance(items, list) else []:
                if not isinstance(item, kind):
                    one.hook.failed(f"gave a {type(item).__name__} where a {kind.__name__} belongs")
                    continue
                # Routes of two plugins never meet: they are below the plugins' names.
                place = key(item) if kind is ConsoleCommand else f"{name} {key(item)}"
                if place in found:
                    one.hook.failed(f"gave {key(item)}, which the plugin {found[place].plugin} has given already")
                else:
                    found[place] = Contribution(name, item)
        return tuple(found.values())

    def invalidate_plans(self, database: str | None) -> None:
        """Have plans made anew."""
        self.on_invalidated(database)

    # --- What is shown ---------------------------------------------------------------------------------------------

    def status(self) -> tuple[PluginStatus, ...]:
        """All plugins, those that work and those that don't."""
        shown = [_status(plugin) for plugin in self.plugins]
        return (*shown, *[one.status() for one in self.broken])


def _status(plugin: LoadedPlugin) -> PluginStatus:
    runtime = plugin.runtime
    hooks = runtime.hooks.values()
    tripped = sorted(hook.name for hook in hooks if hook.breaker.tripped)
    return PluginStatus(
        plugin.name,
        plugin.version,
        tuple(one.hook.name for one in plugin.implementations),
        "closed" if runtime.closed else "by phase",
        runtime.state,
        f"failed too often: {', '.join(tripped)}" if tripped else "",
        sum(hook.calls for hook in hooks),
        sum(hook.failures for hook in hooks),
        sum(hook.seconds for hook in hooks),
        sum(hook.waited for hook in hooks),
    )


def _refusal(hook: Hook, answer: object) -> Block | None:
    """What an answer of ``admit`` means."""
    if answer is None or isinstance(answer, Block):
        return answer
    failure = answer if isinstance(answer, HookFailure) else hook.failed(f"answered with a {type(answer).__name__}")
    return failure.as_block()


def _reader(name: str) -> Callable[[Session], str | bool | None]:
    """How a declared dependency is read from a session."""
    kind, _, setting = name.partition(":")
    if kind == "setting":
        return lambda session: session.settings.get(setting)
    return cast("Callable[[Session], str | bool | None]", attrgetter(name))


def _nobody(database: str | None) -> None:
    """There are no plans yet."""
