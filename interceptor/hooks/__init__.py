"""How plugins take part in queries: hooks, plans, decisions, and the containment of what goes wrong in them.

Plugins import from ``interceptor`` itself. The server uses ``load_plugins``, ``PlanTables`` and what they return.
docs/design/hooks.md has the reasons, docs/reference/hooks.md the hooks.
"""

from __future__ import annotations

from interceptor.hooks.chain import AtParse, Chain, Outcome
from interceptor.hooks.declare import PluginContext, PluginInfo, hookimpl, hookspec, plugin
from interceptor.hooks.loading import PluginsRefused, load_plugins
from interceptor.hooks.planning import Explanation
from interceptor.hooks.plans import Analyst, PlanTable, PlanTables
from interceptor.hooks.plugins import BrokenPlugin, LoadedPlugin, PluginSet, PluginStatus
from interceptor.hooks.sources import ModuleFile, PluginSources, PluginTable

__all__ = [
    "Analyst",
    "AtParse",
    "BrokenPlugin",
    "Chain",
    "Explanation",
    "LoadedPlugin",
    "ModuleFile",
    "Outcome",
    "PlanTable",
    "PlanTables",
    "PluginContext",
    "PluginInfo",
    "PluginSet",
    "PluginSources",
    "PluginStatus",
    "PluginTable",
    "PluginsRefused",
    "hookimpl",
    "hookspec",
    "load_plugins",
    "plugin",
]
