"""Where plugins are found, and how their code is imported. One at a time, and nothing that goes wrong gets out."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import linecache
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Final

from interceptor.hooks.containment import CLOSED_BY_NATURE
from interceptor.hooks.declare import PluginInfo, declared_info
from interceptor.hooks.sources import ModuleFile

__all__ = [
    "GROUP",
    "IMPL",
    "SPEC",
    "Candidate",
    "ImportFailed",
    "describe_error",
    "import_file",
    "import_installed",
    "installed_plugins",
    "locate",
    "marked_functions",
]

GROUP: Final = "interceptor"
"""The entry-point group."""
IMPL: Final = "interceptor_impl"
"""The mark that ``hookimpl`` puts on a function."""
SPEC: Final = "interceptor_spec"
"""The mark that ``hookspec`` puts on one."""

_numbers = itertools.count(1)

# What a text says that nobody can parse. It errs to the safe side: a comment that looks like this counts too.
_SAYS_CLOSED: Final = re.compile(
    rf"""\bpolicy\s*=\s*["']closed["']|^\s*(?:async\s+)?def\s+(?:{"|".join(sorted(CLOSED_BY_NATURE))})\b""",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin whose code was imported. ``made`` is its class, or the module where it has none."""

    name: str
    module: ModuleType
    made: object
    info: PluginInfo
    version: str
    origin: Path | None


class ImportFailed(Exception):
    """A plugin's code could not be imported, or is no plugin."""

    def __init__(self, file: str, line: int, reason: str, source: str | None, version: str = "") -> None:
        super().__init__(reason)
        self.file = file
        self.line = line
        self.reason = reason
        self.version = version
        self.says_closed = source is None or _says_closed(source)
        """From the text alone: it declares a closed policy, or has a hook that is closed by nature."""


def installed_plugins() -> dict[str, tuple[EntryPoint, ...]]:
    """The entry points of the group, by name. More than one of a name is somebody's mistake."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def import_file(file: ModuleFile) -> Candidate:
    """Import a file of ``[plugins] modules``, anew at each call. Raises ImportFailed."""
    path = file.path
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ImportFailed(str(path), 0, f"the file can't be read: {error.strerror}", None) from error
    text = source.decode("utf-8", "replace")
    linecache.checkcache(str(path))
    # Not through the import system: its bytecode cache takes a file for unchanged that was saved twice within a second.
    module = ModuleType(f"interceptor_plugin_{next(_numbers)}_{re.sub('[^a-zA-Z0-9_]', '_', path.stem)}")
    module.__file__ = str(path)
    # Dataclasses and msgspec look up the names of annotations there.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
        made, info = _find_declaration(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        where, line = locate(error, path)
        raise ImportFailed(where, line, describe_error(error), text) from error
    return Candidate(file.name, module, made, info, info.version, path)


def import_installed(name: str, points: Sequence[EntryPoint]) -> Candidate:
    """Import what an entry point names: a module, or a class in one. Raises ImportFailed."""
    point = points[0]
    version = point.dist.version if point.dist is not None else ""
    if len(points) > 1:
        packages = ", ".join(sorted(one.dist.name if one.dist is not None else one.value for one in points))
        raise ImportFailed("", 0, f"several installed packages have a plugin of this name: {packages}", None, version)
    origin = _origin(point.module)
    try:
        loaded = point.load()
        module = loaded if isinstance(loaded, ModuleType) else sys.modules[point.module]
        made, info = _find_declaration(module) if loaded is module else _declaration_of(loaded)
    except (Exception, SystemExit) as error:
        where, line = locate(error, origin)
        reason = describe_error(error)
        raise ImportFailed(where or point.value, line, reason, _source(origin), version) from error
    return Candidate(name, module, made, info, info.version or version, origin)


def marked_functions(made: object, mark: str) -> dict[str, Callable[..., object]]:
    """The functions of a module or class that carry a mark, by name, in the order of the source."""
    found = {}
    for kind in reversed(made.__mro__) if isinstance(made, type) else (made,):
        for name, value in vars(kind).items():
            function = getattr(value, "__func__", value)
            if hasattr(function, mark):
                found[name] = function
    return found


def _find_declaration(module: ModuleType) -> tuple[object, PluginInfo]:
    """The class that ``plugin`` was put on, or the module itself with its ``plugin_info``."""
    classes = {id(value): value for value in vars(module).values() if declared_info(value) is not None}
    hooks = sorted(name for name, value in vars(module).items() if hasattr(value, IMPL))
    if len(classes) > 1:
        names = " and ".join(sorted(str(getattr(one, "__name__", one)) for one in classes.values()))
        raise TypeError(f"it declares several plugins, {names}: one module is one plugin")
    if classes:
        (made,) = classes.values()
        if hooks:
            raise TypeError(f"its hook {hooks[0]} stands outside of its class {made.__name__}: move it there")
        return _declaration_of(made)
    info = getattr(module, "plugin_info", PluginInfo())
    if not isinstance(info, PluginInfo):
        raise TypeError(f"plugin_info is a {type(info).__name__}, and has to be a PluginInfo")
    return module, info


def _declaration_of(made: object) -> tuple[object, PluginInfo]:
    info = declared_info(made)
    if info is None:
        raise TypeError("its entry point names something that is neither a module nor a class with @plugin(...)")
    return made, info


def _origin(module: str) -> Path | None:
    """The file of a module, or the folder of a package, without running it."""
    try:
        spec = importlib.util.find_spec(module)
    except (Exception, SystemExit):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    return path.parent if path.name == "__init__.py" else path


def _source(origin: Path | None) -> str | None:
    """The text in which the hooks are: of a package that of its __init__.py, by convention."""
    if origin is None:
        return None
    try:
        return (origin / "__init__.py" if origin.is_dir() else origin).read_text("utf-8", "replace")
    except OSError:
        return None


def _says_closed(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _SAYS_CLOSED.search(source) is not None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in CLOSED_BY_NATURE:
            return True
        if isinstance(node, ast.keyword) and node.arg == "policy":
            # Anything but the open word itself: what is computed can't be known.
            return not (isinstance(node.value, ast.Constant) and node.value.value == "by phase")
    return False


def locate(error: BaseException, origin: Path | None) -> tuple[str, int]:
    """File and line of the plugin's own source that an error is about; line 0 where there is none."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    found = (str(origin) if origin is not None else "", 0)
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if origin is not None and (Path(file) == origin or origin in Path(file).parents):
            found = (file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def describe_error(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
