"""Plugins are loaded one at a time: a broken one is named with file and line, and harms the others only if it must."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

import pytest

from interceptor.errors import ConfigError
from interceptor.hooks import loading
from interceptor.hooks.instant_waits import InstantWaits
from interceptor.hooks.loading import PluginsRefused, load_plugins
from interceptor.hooks.plugins import BrokenPlugin, PluginSet
from interceptor.hooks.sources import ModuleFile, PluginSources, PluginTable
from interceptor.services import Services
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import HEAD, write_plugin

GOOD = """
@hookimpl
def route(statement, session):
    return Route("good")
"""
FIRST = HEAD.count("\n") + 1
"""The line on which a source of a test begins."""


class World:
    """A folder of plugins and a config that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.tables: dict[str, PluginTable] = {}

    def add(self, name: str, source: str, config: Mapping[str, object] | None = None) -> Path:
        path = write_plugin(self.folder / f"{name}.py", source)
        if path not in self.files:
            self.files.append(path)
        if config is not None:
            self.tables[name] = PluginTable(config, {(): 7, ("words",): 8, ("words", 1): 9})
        return path

    def load(self, previous: PluginSet | None = None) -> PluginSet:
        modules = tuple(ModuleFile(file, line) for line, file in enumerate(self.files, start=3))
        sources = PluginSources("interceptor.toml", modules, self.tables)
        return load_plugins(sources, lambda name: cast("Services", f"services of {name}"), previous)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


BROKEN: dict[str, tuple[str, int, str]] = {
    "syntax": ("def broken(:\n    pass\n", 0, "SyntaxError: invalid syntax"),
    "a missing module": ("\nimport nothing_of_this_name\n", 1, "No module named 'nothing_of_this_name'"),
    "an exception at import": ("\n\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
    "an exit at import": ("raise SystemExit('bye')\n", 0, "SystemExit: bye"),
    "no hooks": ("x = 1\n", -1, "it has no hooks: mark its functions with @hookimpl"),
    "an unknown hook": (
        "@hookimpl\ndef rout(statement):\n    pass\n", 0, "there is no hook rout; did you mean route?"
    ),
    "an unknown argument": (
        "@hookimpl\ndef route(statement, sesion):\n    pass\n", 0,
        "its hook route wants an argument sesion; that hook has statement, session",
    ),
    "an async plan hook": (
        "@hookimpl\nasync def route(statement):\n    pass\n", 0,
        "its hook route is async, and has to be a plain function",
    ),
    "a wrapper": (
        "@hookimpl(wrapper=True)\ndef route(statement):\n    yield\n", 0,
        "its hook route is a wrapper, and hooks here can't be wrapped",
    ),
    "two plugins": ("@plugin()\nclass A: pass\n@plugin()\nclass B: pass\n", -1, "several plugins, A and B"),
    "a hook outside": (
        "@plugin()\nclass A: pass\n" + GOOD, -1, "its hook route stands outside of its class A: move it there"
    ),
    "a wrong declaration": ("plugin_info = 5\n", -1, "plugin_info is a int, and has to be a PluginInfo"),
    "a wrong dependency": ("\nplugin_info = PluginInfo(depends_on=('rôle',))\n", 1, "depends_on names 'rôle'"),
    "depends_on as a text": ("plugin_info = PluginInfo(depends_on='role')\n", 0, "write depends_on=('role',)"),
    "a failing constructor": (
        "@plugin()\nclass A:\n    def __init__(self, context):\n        raise LookupError('no API key')\n"
        "    @hookimpl\n    def route(self, statement): pass\n", 3, "LookupError: no API key",
    ),
    "a constructor without a context": (
        "@plugin()\nclass A:\n    @hookimpl\n    def route(self, statement): pass\n", -1, "A() takes no arguments"
    ),
    "a hook twice": (
        "@hookspec\ndef route(x): pass\n", 0, "it brings a hook route, and there is one of that name already"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "line", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_is_named_and_the_rest_runs(world: World, source: str, line: int, reason: str) -> None:
    path = world.add("broken", source)
    world.add("good", GOOD)
    plugins = world.load()
    assert [plugin.name for plugin in plugins.plugins] == ["good"]
    (broken,) = plugins.broken
    assert broken.name == "broken"
    assert broken.file == str(path)
    assert reason in broken.reason
    assert "\n" not in str(broken)
    # Python 3.11 counts a decorated function from its decorator.
    assert broken.line == (0 if line < 0 else FIRST + line)
    assert not broken.closed
    assert [one.state for one in plugins.status()] == ["active", "broken"]
    assert reason in plugins.status()[1].reason


CLOSED = {
    "a guard that can't be parsed": "@hookimpl\ndef guard(statement:\n    pass\n",
    "a guard whose import fails": "import nothing_of_this_name\n@hookimpl\ndef guard(statement):\n    pass\n",
    "virtual tables": "1 / 0\n@hookimpl\ndef virtual(statement):\n    pass\n",
    "a declared policy": "1 / 0\nplugin_info = PluginInfo(policy='closed')\n",
    "a computed policy": "1 / 0\nplugin_info = PluginInfo(policy=somewhere())\n",
    "a policy that can't be parsed": "plugin_info = PluginInfo(policy = 'closed'\n",
    "a guard with a wrong argument": "@hookimpl\ndef guard(x):\n    pass\n",
    "a closed one whose making fails": (
        "@plugin(policy='closed')\nclass A:\n    def __init__(self, context):\n        1 / 0\n"
        "    @hookimpl\n    def route(self, statement): pass\n"
    ),
}


@pytest.mark.parametrize("source", CLOSED.values(), ids=CLOSED.keys())
def test_without_a_closed_plugin_nothing_runs(world: World, source: str) -> None:
    world.add("broken", source)
    world.add("good", GOOD)
    world.add("other", "x = 1\n")
    with pytest.raises(PluginsRefused, match=r"plugin broken: .*broken\.py") as raised:
        world.load()
    assert [(one.name, one.closed) for one in raised.value.broken] == [("broken", True), ("other", False)]


def test_a_file_that_is_not_there_could_be_anything(world: World) -> None:
    world.files.append(world.folder / "absent.py")
    with pytest.raises(PluginsRefused, match=r"absent\.py: the file can't be read: No such file"):
        world.load()


def test_a_reload_takes_the_new_source_and_leaves_the_old_set_alone(world: World) -> None:
    world.add("p", GOOD)
    before = world.load()
    world.add("p", GOOD.replace('"good"', '"bett"'))  # as long, and within the second
    after = world.load(before)
    for plugins, target in ((before, "good"), (after, "bett")):
        (hook,) = plugins.plan_hooks
        assert getattr(hook.function(None, None), "target", "") == target  # type: ignore[arg-type]
    assert before.plugins[0].runtime is not after.plugins[0].runtime


def test_the_log_shows_the_source_as_it_is_now(world: World, plugin_log: pytest.LogCaptureFixture) -> None:
    source = "@hookimpl\ndef connection_opened(session):\n    raise KeyError('{0}')\n"
    plugins = None
    for word in ("first", "other"):
        world.add("p", source.format(word))
        plugins = world.load(plugins)
        plugins.notify("connection_opened", None)
        assert f"raise KeyError('{word}')" in plugin_log.records[-1].getMessage()


def test_a_reload_remembers_which_plugin_was_closed(world: World) -> None:
    world.add("p", "plugin_info = PluginInfo(policy='closed')\n" + GOOD)
    before = world.load()
    world.add("p", "this is no Python\n")
    with pytest.raises(PluginsRefused, match="plugin p"):
        world.load(before)
    assert before.status()[0].state == "active"
    assert not _broken_alone(world).closed, "without that memory it is taken for an open one"


def _broken_alone(world: World) -> BrokenPlugin:
    (broken,) = world.load().broken
    return broken


# --- Config -------------------------------------------------------------------------------------------------------

CONFIGURED = """
class Settings(msgspec.Struct, frozen=True):
    words: tuple[str, ...]
    limit: Duration = Duration(1)

@plugin(config=Settings, version="2.5")
class Words:
    def __init__(self, context):
        self.context = context
    @hookimpl
    def route(self, statement): pass
"""


def test_a_plugin_gets_its_table_as_it_declared_it(world: World) -> None:
    world.add("p", CONFIGURED, {"words": ["a", "b"], "limit": "10ms"})
    (plugin,) = world.load().plugins
    context = vars(plugin.instance)["context"]
    assert (context.config.words, context.config.limit) == (("a", "b"), 0.01)
    assert (context.name, context.services, context.log.name) == ("p", "services of p", "interceptor.plugins.p")
    assert plugin.version == "2.5"


@pytest.mark.parametrize(
    ("config", "line", "reason"),
    [
        ({"wrods": []}, 7, 'plugins.p.wrods: unknown setting; did you mean "words"?'),
        ({}, 8, "plugins.p.words: missing; it must be given"),
        ({"words": "a"}, 8, "plugins.p.words: expected array, got str"),
        ({"words": ["a", 5]}, 9, "plugins.p.words.1: expected str, got int"),
    ],
)
def test_a_wrong_table_is_an_error_with_its_line(
    world: World, config: dict[str, object], line: int, reason: str
) -> None:
    world.add("p", CONFIGURED, config)
    (broken,) = world.load().broken
    assert (broken.file, broken.line, broken.reason) == ("interceptor.toml", line, reason)


def test_tables_say_the_order(world: World) -> None:
    for name, config in (("a", None), ("b", {}), ("c", None), ("d", {})):
        world.add(name, GOOD, config)
    world.tables = dict(reversed(world.tables.items()))
    assert [plugin.name for plugin in world.load().plugins] == ["d", "b", "a", "c"]


def test_a_plugin_without_settings_takes_none(world: World) -> None:
    world.add("p", GOOD, {"x": 1})
    (broken,) = world.load().broken
    assert broken.reason == "plugins.p.x: unknown setting"


def test_a_plugin_says_itself_what_is_wrong_in_a_file_of_its_own(world: World) -> None:
    source = CONFIGURED.replace(
        "self.context = context", 'raise ConfigError("rules.toml", 12, "rule[0].name", "it has no name")'
    )
    world.add("p", source, {"words": []})
    (broken,) = world.load().broken
    assert str(broken) == "plugin p: rules.toml:12: rule[0].name: it has no name"


def test_a_table_of_no_plugin_is_an_error_of_the_config(world: World) -> None:
    world.add("words", GOOD)
    world.tables["word"] = PluginTable({}, {(): 5})
    with pytest.raises(ConfigError) as raised:
        world.load()
    assert str(raised.value) == (
        "interceptor.toml:5: plugins.word: no plugin of this name is installed, and none is among the modules; "
        'did you mean "words"?'
    )


def test_two_files_of_one_name_are_an_error_of_the_config(world: World) -> None:
    world.add("p", GOOD)
    (world.folder / "sub").mkdir()
    world.files.append(write_plugin(world.folder / "sub" / "p.py", GOOD))
    with pytest.raises(ConfigError, match=r"toml:4: plugins.modules: two files have the name p"):
        world.load()


# --- Specs that plugins bring ------------------------------------------------------------------------------------

BRINGS = """
@hookspec
def virtual_tables(schema, limit):
    "The tables of a plugin."

@plugin()
class Virtual:
    def __init__(self, context):
        self.context = context
    @hookimpl
    def start_worker(self):
        self.found = self.context.collect(virtual_tables, schema="crm", limit=5)
"""
TABLES = "@hookimpl\ndef virtual_tables(schema):\n    return [schema + '.{0}']\n"


@pytest.mark.parametrize("first", ["virtual", "crm"])
def test_a_plugin_may_bring_hooks_that_others_implement(world: World, first: str) -> None:
    for name in (first, "virtual", "crm"):
        world.add(name, BRINGS if name == "virtual" else TABLES.format(name))
    world.add("broken", "@hookimpl\ndef virtual_tables():\n    raise KeyError\n")
    world.add("silent", "@hookimpl\ndef virtual_tables():\n    return None\n")
    world.add("wrong", "@hookimpl\ndef virtual_tables(schemas): pass\n")
    plugins = world.load()
    assert [one.name for one in plugins.broken] == ["wrong"]
    harness_of(plugins, lambda: plugins.run("start_worker", InstantWaits()))
    virtual = next(plugin for plugin in plugins.plugins if plugin.name == "virtual")
    assert [(one.plugin, one.value) for one in vars(virtual.instance)["found"]] == [("crm", ["crm.crm"])]


def harness_of(plugins: PluginSet, start: Callable[[], object]) -> object:
    running = start()
    try:
        running.send(None)  # type: ignore[attr-defined]
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def test_without_the_plugin_that_brings_it_a_hook_is_unknown_unless_it_is_optional(world: World) -> None:
    world.add("strict", TABLES)
    world.add("lenient", TABLES.replace("@hookimpl", "@hookimpl(optionalhook=True)"))
    plugins = world.load()
    assert [plugin.name for plugin in plugins.plugins] == ["lenient"]
    assert [one.reason for one in plugins.broken] == ["there is no hook virtual_tables; did you mean virtual?"]


# --- Installed plugins --------------------------------------------------------------------------------------------


class Installed:
    """Packages that were installed, as the loader sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points: dict[str, tuple[EntryPoint, ...]] = {}

    def __call__(self, name: str, source: str) -> None:
        package = self.folder / f"outside_{name}"
        package.mkdir()
        write_plugin(package / "__init__.py", source)
        self.points[name] = (EntryPoint(name, f"outside_{name}", "interceptor"),)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    made = Installed(tmp_path)
    monkeypatch.setattr(loading, "installed_plugins", lambda: made.points)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield made
    for name in [name for name in sys.modules if name.startswith("outside_")]:
        del sys.modules[name]


def test_an_installed_plugin_is_on_when_its_table_is_there(world: World, installed: Installed) -> None:
    installed("one", CONFIGURED)
    installed("two", GOOD)
    world.add("three", GOOD)
    world.tables["one"] = PluginTable({"words": []})
    plugins = world.load()
    assert [plugin.name for plugin in plugins.plugins] == ["one", "three"]
    again = world.load(plugins)
    assert again.plugins[0].instance is not plugins.plugins[0].instance


def test_a_broken_installed_plugin_is_named_with_file_and_line(world: World, installed: Installed) -> None:
    installed("open", "\n\n1 / 0\n")
    world.tables["open"] = PluginTable({})
    (broken,) = world.load().broken
    assert broken.file.endswith("outside_open/__init__.py")
    assert broken.line == FIRST + 2
    assert not broken.closed
    installed("shut", "\n1 / 0\n@hookimpl\ndef guard(statement): pass\n")
    world.tables["shut"] = PluginTable({})
    with pytest.raises(PluginsRefused, match="plugin shut"):
        world.load()


def test_two_packages_with_a_plugin_of_one_name(world: World, installed: Installed) -> None:
    installed("one", GOOD)
    installed.points["one"] *= 2
    world.tables["one"] = PluginTable({})
    with pytest.raises(PluginsRefused, match="several installed packages have a plugin of this name"):
        world.load()


# --- The rest of a set ---------------------------------------------------------------------------------------------


def test_start_and_stop_run_in_order_and_name_who_fails(world: World) -> None:
    source = """
    order = []
    @hookimpl
    async def start_worker():
        order.append("start {0}")
        {1}
    @hookimpl
    def stop_worker():
        order.append("stop {0}")
    {2}
    """
    world.add("a", source.format("a", "pass", ""))
    world.add("b", source.format("b", "raise OSError('no')", "@hookimpl\n    def guard(statement): pass"))
    plugins = world.load()
    order = vars(plugins.plugins[0].instance)["order"]
    vars(plugins.plugins[1].instance)["order"] = order
    waits = InstantWaits()
    failed = harness_of(plugins, lambda: plugins.run("start_worker", waits))
    assert isinstance(failed, tuple)
    assert [(one.name, one.reason, one.closed) for one in failed] == [
        ("b", "its hook start_worker raised OSError", True)
    ]
    harness_of(plugins, lambda: plugins.run("stop_worker", waits))
    assert order == ["start a", "start b", "stop b", "stop a"]


def test_commands_of_one_name_are_given_once(world: World) -> None:
    source = "@hookimpl\ndef console_commands():\n    return [ConsoleCommand('SHOW X', (), lambda words: []){0}]\n"
    world.add("a", source.format(""))
    world.add("b", source.format(", 5"))
    plugins = world.load()
    assert [(one.plugin, one.value.name) for one in plugins.console_commands()] == [("a", "SHOW X")]
    assert plugins.status()[1].failures == 2


def test_routes_are_below_their_plugins_names(world: World) -> None:
    source = "@hookimpl\ndef http_routes():\n    yield HttpRoute('GET', 'x', None)\n"
    world.add("a", source)
    world.add("b", source)
    assert [one.plugin for one in world.load().http_routes()] == ["a", "b"]


def test_a_session_is_admitted_unless_a_plugin_refuses_or_fails(tmp_path: Path) -> None:
    source = """
    @hookimpl
    {0}def admit(session):
        if session.user == "stranger":
            return Block("28000", "not today")
        if session.user == "odd":
            return 5
        if session.user == "worse":
            raise KeyError
    """
    for kind in ("", "async "):
        harness = PluginHarness(write_plugin(tmp_path / "p.py", source.format(kind)))
        assert harness.admit(harness.session(user="alice")) is None
        refusal = harness.admit(harness.session(user="stranger"))
        assert refusal is not None
        assert refusal.sqlstate == "28000"
        for user in ("odd", "worse"):
            with pytest.raises(AssertionError, match="its hook admit"):
                harness.admit(harness.session(user=user))
