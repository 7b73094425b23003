"""From the config's list of plugins to a set of them that works, and a report of those that don't.

Each step of each plugin is contained. Order matters twice: all hookspecs are registered before any implementation is
looked at, for plugins may bring some; and plugins are made in the order of the config.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import pluggy

from interceptor.errors import ConfigError
from interceptor.hooks import specs
from interceptor.hooks.containment import CLOSED_BY_NATURE, PluginRuntime, Running
from interceptor.hooks.declare import Contribution, PluginContext, PluginInfo
from interceptor.hooks.finding import (
    IMPL,
    SPEC,
    Candidate,
    ImportFailed,
    describe_error,
    import_file,
    import_installed,
    installed_plugins,
    locate,
    marked_functions,
)
from interceptor.hooks.plugins import BrokenPlugin, Implementation, LoadedPlugin, PluginSet
from interceptor.hooks.settings import SettingsProblem, decode_settings
from interceptor.hooks.sources import PluginSources, PluginTable
from interceptor.services.plugins import Services

__all__ = ["ASYNC_HOOKS", "PluginsRefused", "load_plugins"]

ASYNC_HOOKS: Final = frozenset(["admit", "start_node", "start_worker", "stop_node", "stop_worker"])
"""Hooks whose implementations may be async functions. All others of the core are plain functions."""


class PluginsRefused(Exception):
    """A plugin is broken without which the server must not run. ``broken``: all that are, whatever their policy."""

    def __init__(self, broken: Sequence[BrokenPlugin]) -> None:
        super().__init__("\n".join(str(one) for one in broken))
        self.broken = tuple(broken)


class _Broken(Exception):
    """A plugin that was imported can't be used."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(reason)
        self.file = file
        self.line = line
        self.reason = reason


class _Host:
    """What a plugin's context calls. It is there before the set that it belongs to."""

    def __init__(self) -> None:
        self.plugins = PluginSet()

    def collect(self, name: str, arguments: dict[str, object]) -> list[Contribution[object]]:
        return self.plugins.collect(name, arguments)

    def invalidate_plans(self, database: str | None) -> None:
        self.plugins.invalidate_plans(database)


def load_plugins(
    sources: PluginSources,
    services_for: Callable[[str], Services],
    previous: PluginSet | None = None,
    built_in: Sequence[Callable[[Running], LoadedPlugin]] = (),
) -> PluginSet:
    """Load everything that the config names. ``services_for`` gives the services of a plugin by its name.

    ``previous``: what runs now, if this is a reload; nothing of it is changed. ``built_in`` make what the server itself
    adds, behind all others. Raises ConfigError where the config
    names a plugin that does not exist, and PluginsRefused where one is broken that must not be missing.
    """
    running = previous.running if previous is not None else Running()
    candidates, broken = _import_all(sources, previous)
    manager, broken_specs = _register_specs(candidates)
    broken += broken_specs
    gone = {one.name for one in broken_specs}
    host = _Host()
    loaded: list[LoadedPlugin] = []
    for candidate in candidates:
        if candidate.name in gone:
            continue
        try:
            loaded.append(_load(candidate, sources, services_for, manager, host, running))
        except _Broken as problem:
            broken.append(_report(candidate, problem))
    if any(one.closed for one in broken):
        raise PluginsRefused(broken)
    host.plugins = PluginSet([*_in_order(loaded, manager), *[make(running) for make in built_in]], broken, running)
    return host.plugins


# --- Importing -----------------------------------------------------------------------------------------------------


def _import_all(sources: PluginSources, previous: PluginSet | None) -> tuple[list[Candidate], list[BrokenPlugin]]:
    files = {}
    for file in sources.modules:
        if file.name in files:
            raise ConfigError(
                sources.file,
                file.line,
                "plugins.modules",
                f"two files have the name {file.name}, which is the plugin's",
            )
        files[file.name] = file
    # Nothing is looked for where no table asks for it: to read all entry points takes some milliseconds.
    wanted = [name for name in sources.tables if name not in files]
    installed = installed_plugins() if wanted else {}
    for name in wanted:
        if name not in installed:
            nearest = difflib.get_close_matches(name, [*installed, *files], n=1)
            hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
            raise ConfigError(
                sources.file,
                sources.tables[name].line_of(()),
                f"plugins.{name}",
                f"no plugin of this name is installed, and none is among the modules{hint}",
            )
    candidates: list[Candidate] = []
    broken: list[BrokenPlugin] = []
    for name in (*sources.tables, *[name for name in files if name not in sources.tables]):
        try:
            candidates.append(import_file(files[name]) if name in files else import_installed(name, installed[name]))
        except ImportFailed as problem:
            closed = _was_closed(name, previous)
            broken.append(
                BrokenPlugin(
                    name,
                    problem.file,
                    problem.line,
                    problem.reason,
                    problem.says_closed if closed is None else closed or problem.says_closed,
                    problem.version,
                )
            )
    return candidates, broken


def _was_closed(name: str, previous: PluginSet | None) -> bool | None:
    """What is known of a plugin from when it worked."""
    for plugin in previous.plugins if previous is not None else ():
        if plugin.name == name:
            return _is_closed(plugin.info, [one.hook.name for one in plugin.implementations])
    return None


def _is_closed(info: PluginInfo, hooks: Sequence[str]) -> bool:
    return info.policy == "closed" or not CLOSED_BY_NATURE.isdisjoint(hooks)


def _report(candidate: Candidate, problem: _Broken) -> BrokenPlugin:
    closed = _is_closed(candidate.info, list(marked_functions(candidate.made, IMPL)))
    return BrokenPlugin(candidate.name, problem.file, problem.line, problem.reason, closed, candidate.version)


# --- Specs and implementations -------------------------------------------------------------------------------------


def _register_specs(candidates: Sequence[Candidate]) -> tuple[pluggy.PluginManager, list[BrokenPlugin]]:
    manager = pluggy.PluginManager("interceptor")
    manager.add_hookspecs(specs)
    broken = []
    for candidate in candidates:
        for name, function in marked_functions(candidate.module, SPEC).items():
            caller = getattr(manager.hook, name, None)
            if caller is not None and caller.has_spec():
                # The same function again is no other hook: a module may import it to call it.
                if getattr(caller.spec, "function", None) is function or function.__module__ == specs.__name__:
                    continue
                problem = _Broken(*_place(function), f"it brings a hook {name}, and there is one of that name already")
                broken.append(_report(candidate, problem))
                break
            alone = ModuleType(candidate.module.__name__)
            setattr(alone, name, function)
            manager.add_hookspecs(alone)
    return manager, broken


def _load(
    candidate: Candidate,
    sources: PluginSources,
    services_for: Callable[[str], Services],
    manager: pluggy.PluginManager,
    host: _Host,
    running: Running,
) -> LoadedPlugin:
    """Make one plugin. Raises _Broken."""
    _validate(candidate, manager)
    info = candidate.info
    name = candidate.name
    table = sources.tables.get(name, PluginTable())
    try:
        config = decode_settings(info.config, table.values)
    except SettingsProblem as problem:
        line = table.line_of(problem.path)
        key = ".".join(str(part) for part in ("plugins", name, *problem.path))
        raise _Broken(sources.file, line, f"{key}: {problem.message}") from None
    instance = candidate.made
    if isinstance(instance, type):
        log = logging.getLogger(f"interceptor.plugins.{name}")
        context = PluginContext(name, config, services_for(name), log, host, Path(sources.file).absolute().parent)
        instance = _construct(instance, context, candidate.origin)
    try:
        manager.register(instance, name)
    except (Exception, SystemExit) as error:
        file, line = locate(error, candidate.origin)
        raise _Broken(file, line, describe_error(error)) from error
    closed = info.policy == "closed"
    runtime = PluginRuntime(name, closed=closed, deadline=info.deadline, running=running)
    return LoadedPlugin(runtime, info, candidate.version, candidate.origin, instance, ())


def _construct(made: type, context: PluginContext[object], origin: Path | None) -> object:
    try:
        return made(context)
    except ConfigError as error:
        # Of a file of the plugin's own, such as its rules.
        reason = f"{error.key}: {error.message}" if error.key else error.message
        raise _Broken(error.file, error.line, reason) from error
    except (Exception, SystemExit) as error:
        file, line = locate(error, origin)
        raise _Broken(file, line, describe_error(error)) from error


def _validate(candidate: Candidate, manager: pluggy.PluginManager) -> None:
    """Hold every implementation against its spec. Raises _Broken with the place of the function."""
    functions = marked_functions(candidate.made, IMPL)
    if not functions and not marked_functions(candidate.module, SPEC):
        raise _Broken(str(candidate.origin or ""), 0, "it has no hooks: mark its functions with @hookimpl")
    own = 1 if isinstance(candidate.made, type) else 0
    for attribute, function in functions.items():
        options = cast("dict[str, object]", getattr(function, IMPL))
        name = cast("str | None", options.get("specname")) or attribute
        file, line = _place(function)
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _Broken(file, line, f"its hook {name} is a wrapper, and hooks here can't be wrapped")
        caller = getattr(manager.hook, name, None)
        if caller is None or not caller.has_spec():
            if options.get("optionalhook"):
                continue
            known = [hook for hook in vars(manager.hook) if not hook.startswith("_")]
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise _Broken(file, line, f"there is no hook {name}{hint}")
        parameters = list(inspect.signature(function).parameters.values())[own:]
        arguments = [one.name for one in parameters if one.default is one.empty]
        wrong = [one for one in arguments if one not in caller.spec.argnames]
        if wrong:
            takes = ", ".join(caller.spec.argnames) or "no arguments"
            raise _Broken(file, line, f"its hook {name} wants an argument {wrong[0]}; that hook has {takes}")
        if name in specs.__all__ and name not in ASYNC_HOOKS and inspect.iscoroutinefunction(function):
            raise _Broken(file, line, f"its hook {name} is async, and has to be a plain function")


def _place(function: Callable[..., object]) -> tuple[str, int]:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else ("", 0)


def _in_order(loaded: Sequence[LoadedPlugin], manager: pluggy.PluginManager) -> list[LoadedPlugin]:
    """Give each plugin its implementations.

    pluggy calls what was registered last first; here the first of the config comes first, but for tryfirst and trylast.
    """
    order = {plugin.name: index for index, plugin in enumerate(loaded)}
    implementations: dict[str, list[Implementation]] = {plugin.name: [] for plugin in loaded}
    runtimes = {plugin.name: plugin.runtime for plugin in loaded}
    for name in sorted(one for one in vars(manager.hook) if not one.startswith("_")):
        caller = getattr(manager.hook, name)
        if not caller.has_spec():
            continue
        found = sorted(
            caller.get_hookimpls(),
            key=lambda one: (not one.tryfirst, one.trylast, order[one.plugin_name]),
        )
        for index, one in enumerate(found):
            function = _positional(one.function, tuple(one.argnames), tuple(caller.spec.argnames))
            hook = runtimes[one.plugin_name].hook(name)
            arguments = tuple(caller.spec.argnames)
            implementations[one.plugin_name].append(Implementation(hook, function, arguments, index))
    return [replace(plugin, implementations=tuple(implementations[plugin.name])) for plugin in loaded]


def _positional(
    function: Callable[..., object], wanted: tuple[str, ...], given: tuple[str, ...]
) -> Callable[..., object]:
    """The function as one that takes all arguments of the spec by position."""
    if wanted == given:
        return function
    places = [given.index(name) for name in wanted]
    return lambda *arguments: function(*[arguments[place] for place in places])
