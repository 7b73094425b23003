"""What a database is made of, and what follows from it: names resolved, views expanded, functions judged.

Nothing here talks to a server by itself: questions go through ``interceptor.services.HelperQueries``.
"""

from __future__ import annotations

from interceptor.catalogue.bodies import Body, BodyReader, NameUse, TableUse
from interceptor.catalogue.closure import Closures, OpaqueThing, SessionChange, SessionVerdict, Touches
from interceptor.catalogue.model import (
    Action,
    Cast,
    Column,
    Expression,
    ForeignKey,
    Function,
    FunctionKind,
    Kind,
    Operator,
    Persistence,
    Policy,
    Relation,
    Role,
    Rule,
    Schema,
    Trigger,
    Type,
    Volatility,
)
from interceptor.catalogue.names import Names, Scope, Unresolved, parse_search_path
from interceptor.catalogue.reading import FactsReader, read_body
from interceptor.catalogue.service import CatalogueService, Listener
from interceptor.catalogue.snapshot import FunctionSource, Snapshot

__all__ = [
    "Action",
    "Body",
    "BodyReader",
    "Cast",
    "CatalogueService",
    "Closures",
    "Column",
    "Expression",
    "FactsReader",
    "ForeignKey",
    "Function",
    "FunctionKind",
    "FunctionSource",
    "Kind",
    "Listener",
    "NameUse",
    "Names",
    "OpaqueThing",
    "Operator",
    "Persistence",
    "Policy",
    "Relation",
    "Role",
    "Rule",
    "Schema",
    "Scope",
    "SessionChange",
    "SessionVerdict",
    "Snapshot",
    "TableUse",
    "Touches",
    "Trigger",
    "Type",
    "Unresolved",
    "Volatility",
    "parse_search_path",
    "read_body",
]
