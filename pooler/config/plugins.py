"""``[plugins]``: which files are plugins, and the tables that plugins decode themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from interceptor.hooks.sources import ModuleFile, PluginSources, PluginTable
from pooler.config.convert import Table, is_table
from pooler.config.environment import expand
from pooler.config.problems import KeyPath, Problems, dotted
from pooler.config.values import Unfit, describe

__all__ = ["MODULES", "read_plugins"]

MODULES = "modules"
"""The one key of ``[plugins]`` that is no plugin's table."""


def read_plugins(file: Path, table: Table, problems: Problems, environ: Mapping[str, str]) -> PluginSources:
    """Take ``[plugins]`` as it is, with the environment's values put in. What is wrong goes to ``problems``.

    Whether there are such plugins, and whether their tables suit them, is known when they are loaded.
    """
    modules: list[ModuleFile] = []
    tables: dict[str, PluginTable] = {}
    for name, value in table.items():
        path: KeyPath = ("plugins", name)
        if name == MODULES:
            modules = _modules(file, path, value, problems, environ)
        elif is_table(value):
            values = _expanded(path, value, problems, environ)
            tables[name] = PluginTable(MappingProxyType(values), MappingProxyType(problems.lines_below(path)))
        else:
            problems.add(path, f"expected a table [{dotted(path)}], found {describe(value)}")
    return PluginSources(str(file), tuple(modules), MappingProxyType(tables))


def _modules(
    file: Path, path: KeyPath, value: object, problems: Problems, environ: Mapping[str, str]
) -> list[ModuleFile]:
    if not isinstance(value, list):
        problems.add(path, f'expected an array of files, such as ["./my_plugin.py"], found {describe(value)}')
        return []
    modules = []
    for index, item in enumerate(value):
        place = (*path, index)
        if not isinstance(item, str) or not item.endswith(".py"):
            problems.add(place, f'expected a file of Python, such as "./my_plugin.py", found {describe(item)}')
            continue
        try:
            expanded = expand(item, environ)
        except Unfit as unfit:
            problems.add(place, str(unfit))
            continue
        modules.append(ModuleFile(file.absolute().parent / expanded, problems.line(place)))
    return modules


def _expanded(path: KeyPath, table: Table, problems: Problems, environ: Mapping[str, str]) -> dict[str, object]:
    return {key: _expanded_value((*path, key), value, problems, environ) for key, value in table.items()}


def _expanded_value(path: KeyPath, value: object, problems: Problems, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        try:
            return expand(value, environ)
        except Unfit as unfit:
            problems.add(path, str(unfit))
            return value
    if isinstance(value, list):
        return [_expanded_value((*path, index), item, problems, environ) for index, item in enumerate(value)]
    if is_table(value):
        return _expanded(path, value, problems, environ)
    return value
