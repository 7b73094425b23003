"""What the HTTP server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from pooler.http.plugin_routes import PluginRoutes
from pooler.http.readiness import Readiness
from pooler.http.tokens import refuse_unless_allowed
from pooler.metrics.continuity import Continuity
from pooler.metrics.rendering import CONTENT_TYPE

if TYPE_CHECKING:
    from pooler.node import Node
    from pooler.server import Server

__all__ = ["make_app"]

_NO_STORE: Final = {"cache-control": "no-store"}


def make_app(server: Server, node: Node) -> Starlette:
    """The application. ``server`` has the configuration and the plugins, ``node`` speaks for all processes."""
    readiness = Readiness(server, node)
    continuity = Continuity()

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=_NO_STORE)

    async def readyz(request: Request) -> Response:
        report = await readiness.report()
        return JSONResponse(report.as_json(), status_code=200 if report.ready else 503, headers=_NO_STORE)

    async def metrics(request: Request) -> Response:
        secret = server.config.api.jwt_secret
        if secret is not None:
            refusal = refuse_unless_allowed(request, secret, "metrics")
            if refusal is not None:
                return refusal
        page = await continuity.page(await node.ask_all("metrics"))
        return Response(page, media_type=CONTENT_TYPE, headers=_NO_STORE)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Mount("/api/plugins", app=PluginRoutes(server)),
        ],
        exception_handlers={404: _not_found, 405: _not_found},
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"code": "not_found", "error": "there is nothing at this path"}, status_code=404)
