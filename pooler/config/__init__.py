"""The configuration: what may be said in interceptor.toml, and what the rest of the program asks about it."""

from __future__ import annotations

from pooler.config.dsn import Upstream
from pooler.config.load import config_from_upstream, load_config
from pooler.config.model import ANY_DATABASE, CONSOLE_DATABASES, Config, Login
from pooler.config.pool_settings import PoolSettings
from pooler.config.problems import ConfigErrors
from pooler.config.secret import Secret
from pooler.config.settings import ApiSettings, DatabaseSettings, ServerSettings, UserSettings
from pooler.config.values import AuthType, PoolMode

__all__ = [
    "ANY_DATABASE",
    "CONSOLE_DATABASES",
    "ApiSettings",
    "AuthType",
    "Config",
    "ConfigErrors",
    "DatabaseSettings",
    "Login",
    "PoolMode",
    "PoolSettings",
    "Secret",
    "ServerSettings",
    "Upstream",
    "UserSettings",
    "config_from_upstream",
    "load_config",
]
