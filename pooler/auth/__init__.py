"""Who may log in, and how we log in ourselves. No input or output, apart from reading the user file."""

from __future__ import annotations

from pooler.auth.backend_login import BackendLogin
from pooler.auth.client_login import MAX_LOGIN_MESSAGE, ClientLogin, LoginSettings
from pooler.auth.credentials import (
    BackendCredential,
    Md5Hash,
    PlainPassword,
    ScramKeys,
    ScramVerifier,
    StoredCredential,
)
from pooler.auth.key_cache import KeyCache
from pooler.auth.stand_in import AuthType, Shapes
from pooler.auth.steps import Accepted, Send, Step, Work
from pooler.auth.userlist import UserList

__all__ = [
    "MAX_LOGIN_MESSAGE",
    "Accepted",
    "AuthType",
    "BackendCredential",
    "BackendLogin",
    "ClientLogin",
    "KeyCache",
    "LoginSettings",
    "Md5Hash",
    "PlainPassword",
    "ScramKeys",
    "ScramVerifier",
    "Send",
    "Shapes",
    "Step",
    "StoredCredential",
    "UserList",
    "Work",
]
