"""The plugin's table of the config file."""

from __future__ import annotations

import msgspec

from interceptor import Duration

__all__ = ["Config"]


class Config(msgspec.Struct, frozen=True):
    """``[plugins.rules]``."""

    file: str
    """The rules file; a relative path is counted from the config file."""
    check_interval: Duration = Duration(1)
    """How often it is looked at whether the rules file changed; 0: only at a reload of the server."""
    learn_file: str = ""
    """Where mode "learn" writes its allow-list; the rules file's name with ``.learned.toml`` by default."""
    learn_examples: bool = True
    """Whether it writes down an example of each statement, as it was sent, with the values in it."""
