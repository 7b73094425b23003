"""What the server does for plugins: it loads them, gives them their services, and tells them of sessions."""

from __future__ import annotations

from pooler.plugins.host import PluginHost, SessionRefused

__all__ = ["PluginHost", "SessionRefused"]
