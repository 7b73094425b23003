"""Rules files to measure with: none of their rules is about what pgbench does."""

from __future__ import annotations

__all__ = ["rules_of"]

_HEAD = """mode = "enforce"
default = "allow"
on_unparsable = "block"
on_opaque = "block"

[[rule]]
name = "no-unbounded-writes"
statements = ["update", "delete"]
where = "missing"
action = "block"

[[rule]]
name = "secrets"
tables = ["vault.secret", "audit.*"]
functions = ["pg_read_file", "dblink*"]
columns = ["hr.employees.salary"]
except_users = ["payroll"]
action = "block"
"""
_KINDS = (
    'tables = ["archive_{0}.*"]\n',
    'tables = ["app.table_{0}"]\nstatements = ["write"]\n',
    'functions = ["secret_function_{0}"]\n',
    'columns = ["app.people_{0}.salary"]\n',
    'users = ["nobody_{0}"]\nstatements = ["ddl"]\n',
)


def rules_of(count: int) -> str:
    """A rules file of so many rules, at least two: those of docs/howto, and others of every kind in turn."""
    rules = [
        f'\n[[rule]]\nname = "rule-{number}"\n{_KINDS[number % len(_KINDS)].format(number)}action = "block"\n'
        for number in range(count - 2)
    ]
    return _HEAD + "".join(rules)
