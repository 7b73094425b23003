"""Who may ask: bearer tokens, signed with the secret of the configuration (RFC 6750, RFC 7519)."""

from __future__ import annotations

from typing import Final

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse

from pooler.config import Secret

__all__ = ["refuse_unless_allowed"]

_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
_MAX_TOKEN: Final = 8192
"""Bytes. A token of ours has a few hundred."""


def refuse_unless_allowed(request: Request, secret: Secret, scope: str) -> JSONResponse | None:
    """None if the request has a token that is valid now and has this scope; else the answer that refuses it.

    A token needs ``exp``, and names its scopes in ``scope``, separated by blanks: read, write, metrics.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token or len(token) > _MAX_TOKEN:
        return _unauthorized("a bearer token is needed: Authorization: Bearer TOKEN")
    try:
        # PyJWT compares signatures in constant time, and takes no algorithm but these.
        claims = jwt.decode(token, secret.reveal(), algorithms=list(_ALGORITHMS), options={"require": ["exp"]})
    except jwt.InvalidTokenError:
        return _unauthorized("the token is not valid: its signature is another, it has expired, or has no exp")
    scopes = claims.get("scope", "")
    if not isinstance(scopes, str) or scope not in scopes.split():
        return JSONResponse(
            {"code": "scope_missing", "error": f'the token has no scope "{scope}"'},
            status_code=403,
            headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
        )
    return None


def _unauthorized(error: str) -> JSONResponse:
    return JSONResponse(
        {"code": "unauthorized", "error": error}, status_code=401, headers={"www-authenticate": "Bearer"}
    )
