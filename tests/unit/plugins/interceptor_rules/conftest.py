"""The plugin with a rules file of a test's own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor import Services
from interceptor.catalogue import (
    Function,
    FunctionKind,
    Kind,
    Persistence,
    Relation,
    Role,
    Schema,
    Snapshot,
    Volatility,
)
from interceptor.testing.harness import PluginHarness

# As a file of [plugins] modules, so that no test depends on what is installed.
MODULE = "from interceptor_rules import Rules\n\n__all__ = ['Rules']\n"


def small_catalogue() -> Snapshot:
    """Schemas with some tables of a column each, and some of PostgreSQL's own functions."""
    snapshot = Snapshot(server_version=180000)
    snapshot.add_role(Role(10, "app", True, True, frozenset()))
    numbers = itertools.count(20_000)
    schemas = {"pg_catalog": 11}
    for name in ("public", "vault", "audit", "hr", "ours", "theirs", "mine", "billing"):
        schemas[name] = next(numbers)
    for name, oid in schemas.items():
        snapshot.add_schema(Schema(oid, name, 10, frozenset([0])))
    for table, columns in TABLES.items():
        schema, _, name = table.rpartition(".")
        oid = next(numbers)
        owner, kind = schemas[schema or "public"], Kind.TABLE
        snapshot.add_relation(Relation(oid, owner, name, kind, Persistence.PERMANENT, 10, False, False, False))
        lines = [f"{number} 25 -1 0 0 - - {json.dumps(column)}" for number, column in enumerate(columns.split(), 1)]
        snapshot.add_columns(oid, "\n".join(lines))
    for number, name in enumerate(FUNCTIONS.split(), 100):
        snapshot.add_function(
            Function(
                oid=number,
                schema=11,
                name=name,
                kind=FunctionKind.FUNCTION,
                volatility=Volatility.VOLATILE,
                language="internal",
                owner=10,
                arguments=(25,),
                defaults=0,
                variadic=True,
                result=25,
                security_definer=False,
                settings=(),
                returns_set=False,
                extension="",
            )
        )
    return snapshot


TABLES = {
    "t": "id name a b c secret", "u": "id b", "orders": "id paid", "x": "id", "public.customers": "id name",
    "vault.secret": "id value", "vault.t": "id", "audit.log": "at", "hr.employees": "id name salary",
    "ours.a": "x", "ours.b": "x", "theirs.a": "x", "theirs.b": "x", "mine.t": "a",
}  # fmt: skip
FUNCTIONS = "lower upper count set_config pg_read_file"
SMALL = small_catalogue()

MakeRules = Callable[..., PluginHarness]


@pytest.fixture
def make_rules(tmp_path: Path) -> MakeRules:
    """Call it with the text of a rules file."""

    def make(
        rules: str, *, catalogue: Snapshot | None = SMALL, services: Services | None = None, **config: object
    ) -> PluginHarness:
        module = tmp_path / "rules.py"
        module.write_text(MODULE)
        file = tmp_path / "rules.toml"
        file.write_text(rules)
        return PluginHarness(module, config={"file": str(file), **config}, catalogue=catalogue, services=services)

    return make
