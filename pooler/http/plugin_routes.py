"""The routes that plugins add, under ``/api/plugins/NAME/``."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from interceptor.hooks.containment import Hook, HookFailure
from interceptor.hooks.declare import Contribution
from interceptor.hooks.waits import Waits
from interceptor.services import HttpRequest, HttpResponse, HttpRoute
from pooler.http.tokens import refuse_unless_allowed

if TYPE_CHECKING:
    from pooler.server import Server

__all__ = ["PluginRoutes"]

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request."""


class PluginRoutes:
    """Routes as the plugins of the moment name them: a reload brings others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._made_of: tuple[Contribution[HttpRoute], ...] | None = None
        self._router = Router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._server.config.api.jwt_secret is None:
            answer = JSONResponse(
                {"code": "api_off", "error": "the API is off: the configuration has no jwt_secret in [api]"}, 404
            )
            await answer(scope, receive, send)
            return
        contributed = self._server.host.http_routes
        if contributed is not self._made_of:
            self._router = Router([self._route(one) for one in contributed])
            self._made_of = contributed
        await self._router(scope, receive, send)

    def _route(self, contribution: Contribution[HttpRoute]) -> Route:
        plugin, route = contribution.plugin, contribution.value

        async def endpoint(request: Request) -> Response:
            secret = self._server.config.api.jwt_secret
            assert secret is not None
            refusal = refuse_unless_allowed(request, secret, route.scope)
            if refusal is not None:
                return refusal
            hook = next(one.runtime for one in self._server.plugins.plugins if one.name == plugin).hook("http_routes")
            return await _call(hook, self._server.waits, route, request)

        return Route(f"/{plugin}/{route.path.lstrip('/')}", endpoint, methods=[route.method])


async def _call(hook: Hook, waits: Waits, route: HttpRoute, request: Request) -> Response:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                return JSONResponse(
                    {"code": "too_large", "error": f"a body may have {MAX_BODY} bytes"}, status_code=413
                )
    except ClientDisconnect:
        return Response(status_code=400)
    parameters = {**request.query_params, **{name: str(value) for name, value in request.path_params.items()}}
    told = HttpRequest(request.method, route.path, parameters, bytes(body))
    answer = hook.call(route.handler, told)
    if hasattr(answer, "__await__"):
        answer = await hook.wait(cast("Awaitable[object]", answer), waits)
    if not isinstance(answer, HttpResponse):
        if not isinstance(answer, HookFailure):
            hook.failed(
                f"answered {route.method} {route.path} with a {type(answer).__name__}, which is no HttpResponse"
            )
        return JSONResponse(
            {"code": "plugin_failed", "error": f"the plugin {hook.plugin.name} failed; the log says why"}, 500
        )
    return Response(answer.body, status_code=answer.status, media_type=answer.content_type)
