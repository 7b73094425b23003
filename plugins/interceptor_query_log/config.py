"""The plugin's table of the config file."""

from __future__ import annotations

from typing import Literal

import msgspec

from interceptor import Duration

__all__ = ["Config"]


class Config(msgspec.Struct, frozen=True):
    """``[plugins.query_log]``."""

    log: Literal["off", "slow", "sampled", "all"] = "slow"
    """Which executions are logged. Slow ones, and with "sampled" those that failed, are logged at any rate."""
    slow: Duration = Duration(1)
    """From how long on an execution is slow."""
    sample: float = 0.01
    """The share of executions that "sampled" logs."""
    values: bool = False
    """Whether the log has the text as it was sent, with the values in it, and the parameters."""

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError("sample is a share between 0 and 1")
