"""Changing the configuration of a server that runs: what can't be changed, and how one setting is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from interceptor.errors import ConfigError
from pooler.config.checks import check, resolve_paths
from pooler.config.convert import kinds_of, parse_value
from pooler.config.model import Config
from pooler.config.problems import Problems
from pooler.config.settings import ServerSettings
from pooler.config.suggest import did_you_mean
from pooler.config.values import Unfit

__all__ = ["FIXED_SETTINGS", "fixed_changes", "with_setting"]

FIXED_SETTINGS: Final = frozenset(
    [
        *("admin_listen", "listen_addr", "listen_backlog", "listen_port", "run_dir", "unix_socket_dir"),
        *("worker_stall_timeout", "workers"),
    ]
)
"""What is settled when the sockets are opened and the processes begin."""


_replaced: Final[Callable[..., ServerSettings]] = replace


def fixed_changes(old: ServerSettings, new: ServerSettings) -> tuple[str, ...]:
    """The settings that differ and stay as they are until a restart."""
    return tuple(sorted(name for name in FIXED_SETTINGS if getattr(old, name) != getattr(new, name)))


def with_setting(config: Config, name: str, value: str) -> Config:
    """The configuration with another value of one setting of [server]. Raises ConfigError for a wrong one.

    ``value`` is text as from the environment: "10ms", "1", "a, b". ``${NAME}`` in it stands for nothing but itself.
    """
    kinds = kinds_of(ServerSettings)
    if name not in kinds:
        near = did_you_mean(name, [field.name for field in fields(ServerSettings)])
        raise ConfigError("SET", 0, name, f"there is no such setting{near}")
    try:
        parsed = parse_value(kinds[name], value.replace("${", "$${"), {})
    except Unfit as unfit:
        raise ConfigError("SET", 0, name, str(unfit)) from None
    server = _replaced(config.server, **{name: parsed})
    if config.file is not None:
        server = resolve_paths(server, config.file.absolute().parent)
    problems = Problems("SET", {})
    check(server, config.databases, config.users, problems)
    problems.raise_if_any()
    return replace(config, server=server)
