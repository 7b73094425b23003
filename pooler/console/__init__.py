"""The admin console: databases ``pgbouncer`` and ``interceptor``. docs/reference/console.md describes its commands."""

from __future__ import annotations
