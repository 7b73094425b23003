"""``interceptor demo``: a PostgreSQL with sample data, the proxy before it, and five things to try.

It needs the extra ``demo``. A running proxy imports nothing of this.
"""

from __future__ import annotations

from pooler.demo.run import run_demo

__all__ = ["run_demo"]
