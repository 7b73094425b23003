"""What a PostgreSQL query is and what may be done to it: bytes and SQL in, decisions out.

Plugins import from here and never from ``pooler``, the server. What is not in ``__all__`` of this module, or documented
under docs/reference/, may change at any time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from interceptor.errors import BackendError, ClientError, ConfigError, InterceptorError, ProtocolViolation

if TYPE_CHECKING:
    from interceptor.catalogue import Unresolved
    from interceptor.hooks.decisions import (
        FORWARD,
        Block,
        Blocked,
        Column,
        CopyRows,
        Decision,
        Delay,
        Forward,
        Limits,
        Plan,
        Planned,
        Replay,
        Respond,
        Retry,
        Rewrite,
        Route,
        Shape,
        Value,
    )
    from interceptor.hooks.declare import Contribution, PluginContext, PluginInfo, hookimpl, hookspec, plugin
    from interceptor.hooks.observing import Completion, Failure, Observer
    from interceptor.hooks.parameters import BoundValue, Parameters
    from interceptor.hooks.settings import Duration, Hidden, Size
    from interceptor.hooks.statement import Execution, Session, SessionClass, StateKey, Statement
    from interceptor.hooks.transaction import Transaction
    from interceptor.protocol.datatypes import Interval, PythonValue, RawJson
    from interceptor.services import Backend, ConsoleCommand, HttpRequest, HttpResponse, HttpRoute, Services, Trial
    from interceptor.sql.facts import Group, MessageFacts, QualifiedName, StatementFacts

__all__ = [
    "FORWARD",
    "Backend",
    "BackendError",
    "Block",
    "Blocked",
    "BoundValue",
    "ClientError",
    "Column",
    "Completion",
    "ConfigError",
    "ConsoleCommand",
    "Contribution",
    "CopyRows",
    "Decision",
    "Delay",
    "Duration",
    "Execution",
    "Failure",
    "Forward",
    "Group",
    "Hidden",
    "HttpRequest",
    "HttpResponse",
    "HttpRoute",
    "InterceptorError",
    "Interval",
    "Limits",
    "MessageFacts",
    "Observer",
    "Parameters",
    "Plan",
    "Planned",
    "PluginContext",
    "PluginInfo",
    "ProtocolViolation",
    "PythonValue",
    "QualifiedName",
    "RawJson",
    "Replay",
    "Respond",
    "Retry",
    "Rewrite",
    "Route",
    "Services",
    "Session",
    "SessionClass",
    "Shape",
    "Size",
    "StateKey",
    "Statement",
    "StatementFacts",
    "Transaction",
    "Trial",
    "Unresolved",
    "Value",
    "__version__",
    "hookimpl",
    "hookspec",
    "plugin",
]

# pyproject.toml says the same, and a test compares. To read installed metadata would cost every start 5 ms.
__version__ = "0.1.0"

# Found when first asked for: a proxy without plugins, and each of its small helpers, need not load them.
_PLACES = {
    "Unresolved": "interceptor.catalogue",
    **dict.fromkeys(
        (
            *("FORWARD", "Block", "Blocked", "Column", "CopyRows", "Decision", "Delay", "Forward", "Limits", "Plan"),
            *("Planned", "Replay", "Respond", "Retry", "Rewrite", "Route", "Shape", "Value"),
        ),
        "interceptor.hooks.decisions",
    ),
    **dict.fromkeys(
        ("Contribution", "PluginContext", "PluginInfo", "hookimpl", "hookspec", "plugin"), "interceptor.hooks.declare"
    ),
    **dict.fromkeys(("Completion", "Failure", "Observer"), "interceptor.hooks.observing"),
    **dict.fromkeys(("BoundValue", "Parameters"), "interceptor.hooks.parameters"),
    **dict.fromkeys(("Duration", "Hidden", "Size"), "interceptor.hooks.settings"),
    **dict.fromkeys(("Execution", "Session", "SessionClass", "StateKey", "Statement"), "interceptor.hooks.statement"),
    "Transaction": "interceptor.hooks.transaction",
    **dict.fromkeys(("Interval", "PythonValue", "RawJson"), "interceptor.protocol.datatypes"),
    **dict.fromkeys(
        ("Backend", "ConsoleCommand", "HttpRequest", "HttpResponse", "HttpRoute", "Services", "Trial"),
        "interceptor.services",
    ),
    **dict.fromkeys(("Group", "MessageFacts", "QualifiedName", "StatementFacts"), "interceptor.sql.facts"),
}


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(place), name)
    return value
