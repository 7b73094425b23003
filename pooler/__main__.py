"""``python -m pooler`` is the command ``interceptor``."""

from __future__ import annotations

from pooler.cli import main

main()
