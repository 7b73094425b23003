"""The plugin's table of the config file."""

from __future__ import annotations

import msgspec

__all__ = ["Config"]


class Config(msgspec.Struct, frozen=True):
    """``[plugins.traces]``."""

    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    """Where spans are sent, by OTLP over HTTP."""
    service_name: str = "interceptor"
    sample: float = 0.0
    """The share of executions without a trace that begin one. Those of a sampled trace always have a span."""

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError("sample is a share between 0 and 1")
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint is a URL that begins with http:// or https://")
