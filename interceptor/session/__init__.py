"""One client's conversation and the backend's half of it, as pure logic: bytes in, bytes and requests out.

``ClientSession`` reads what a client sends and decides what goes to a backend; ``BackendSession`` reads what a backend
answers and decides what goes to the client. They are linked for the length of a transaction and share one queue: the
requests that the backend has been sent and not yet answered. No sockets, no clocks, no asyncio.
"""

from __future__ import annotations

from interceptor.session.actions import BackendHost, ClientHost
from interceptor.session.backend import BackendSession
from interceptor.session.client import ClientSession
from interceptor.session.states import PoolMode

__all__ = ["BackendHost", "BackendSession", "ClientHost", "ClientSession", "PoolMode"]
