"""The plugins that are installed, whether a config names them or not."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

from interceptor.hooks.finding import IMPL, ImportFailed, import_installed, installed_plugins, marked_functions
from interceptor.hooks.plugins import BrokenPlugin, PluginStatus

__all__ = ["installed_statuses"]


def installed_statuses() -> tuple[PluginStatus, ...]:
    """A line for each plugin of the entry-point group, by name. Imports their code, and makes none of them."""
    return tuple(_status(name, points) for name, points in sorted(installed_plugins().items()))


def _status(name: str, points: Sequence[EntryPoint]) -> PluginStatus:
    try:
        found = import_installed(name, points)
    except ImportFailed as failed:
        broken = BrokenPlugin(name, failed.file, failed.line, failed.reason, failed.says_closed, failed.version)
        return broken.status()
    marked = marked_functions(found.made, IMPL).items()
    hooks = tuple(sorted(getattr(function, IMPL).get("specname") or attribute for attribute, function in marked))
    return PluginStatus(name, found.version, hooks, found.info.policy, "installed")
