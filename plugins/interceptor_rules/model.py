"""The rules file as types: what TOML gives, before names and patterns in it are looked into."""

from __future__ import annotations

from typing import Literal

import msgspec

from interceptor import Duration, Size

__all__ = ["Action", "LearnedStatement", "Mode", "Rule", "RulesFile", "RulesTest"]

Mode = Literal["enforce", "shadow", "learn"]
Action = Literal["allow", "block", "log", "throttle", "limit_rows", "limit_bytes", "set", "rewrite"]
Protocol = Literal["simple", "extended", "copy", "function call"]
Names = list[str]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """``[[rule]]``. docs/reference/rules.md has every key."""

    name: str

    # who
    databases: Names = []
    users: Names = []
    roles: Names = []
    backend_users: Names = []
    application_names: Names = []
    addresses: Names = []
    certificates: Names = []
    tls: bool | None = None
    except_databases: Names = []
    except_users: Names = []
    except_roles: Names = []
    except_backend_users: Names = []
    except_application_names: Names = []
    except_addresses: Names = []
    except_certificates: Names = []

    # when
    hours: str | None = None
    weekdays: Names = []
    time_zone: str = "UTC"
    in_transaction: bool | None = None
    protocols: list[Protocol] = []

    # what
    statements: Names = []
    except_statements: Names = []
    tables: Names = []
    except_tables: Names = []
    columns: Names = []
    functions: Names = []
    except_functions: Names = []
    settings: Names = []
    where: Literal["missing"] | None = None
    limit: Literal["missing"] | None = None
    limit_over: int | None = None
    cartesian: bool = False
    select_star: bool = False
    list_over: int | None = None
    size_over: Size | None = None
    depth_over: int | None = None
    multiple_statements: bool = False
    canonical: Names = []
    regex: str | None = None
    copy: list[Literal["client", "file", "program"]] = []
    alterations: Names = []
    words: Names = []
    without_words: Names = []
    except_new_tables: bool = False
    lock_timeout: Literal["missing"] | None = None
    cost_over: float | None = None
    rows_over: float | None = None

    # what then
    action: Action
    shadow: bool = False
    sqlstate: str | None = None
    message: str | None = None
    hint: str | None = None
    limit_rows: int | None = None
    limit_bytes: Size | None = None
    set: dict[str, str] = {}
    add_limit: int | None = None
    per_second: float | None = None
    at_once: int | None = None
    per: Literal["user", "rule"] = "rule"
    excess: Literal["wait", "refuse"] = "refuse"
    wait_at_most: Duration = Duration(5)


class RulesTest(msgspec.Struct, frozen=True, kw_only=True):
    """``[[test]]``: one statement, from whom, and what is to become of it."""

    sql: str
    expect: str
    """``allow``, ``block``, ``block:NAME``, or another action and its rule: ``log:NAME``."""
    user: str = "app"
    database: str = "app"
    role: str | None = None
    backend_user: str | None = None
    application_name: str = ""
    address: str = "127.0.0.1"
    certificate: str = ""
    tls: bool = False
    search_path: str = '"$user", public'
    at: str | None = None
    """A moment, as ``2026-01-05 22:30``, in the time zone of each rule."""
    in_transaction: bool = False
    protocol: Protocol = "simple"


class LearnedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """``[[allow]]``: a canonical statement that a user may run. ``count`` and ``example`` are for people."""

    user: str
    statement: str
    database: str = "*"
    count: int = 0
    example: str = ""


class RulesFile(msgspec.Struct, frozen=True, kw_only=True):
    """A rules file, or one that it includes."""

    mode: Mode = "enforce"
    default: Literal["allow", "block"] = "allow"
    on_unparsable: Literal["block", "allow"] = "block"
    on_opaque: Literal["block", "allow"] | None = None
    trusted_functions: Names = []
    trusted_tables: Names = []
    trusted_extensions: Names | None = None
    include: Names = []
    """Profiles by name, and files; their rules stand behind those of this file."""
    rule: list[Rule] = []
    test: list[RulesTest] = []
    allow: list[LearnedStatement] = []
