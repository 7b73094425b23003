"""HTTP before a real PostgreSQL: health, readiness, metrics, tokens, and the routes of plugins."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import jwt
import pytest
from prometheus_client.parser import text_string_to_metric_families

from interceptor.testing.postgres import PostgresServer
from pooler.metrics.families import FAMILIES
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireError

DATABASE = "postgres"
SECRET = "a secret of more than thirty-two bytes"

PLUGIN = """
from __future__ import annotations
import json
from interceptor import Block, HttpRequest, HttpResponse, HttpRoute, hookimpl, plugin

async def tell(request: HttpRequest) -> HttpResponse:
    if request.parameters["name"] == "broken":
        return "a defect"
    return HttpResponse(json.dumps({"name": request.parameters["name"], "body": request.body.decode()}).encode())

@plugin(version="1")
class Teller:
    def __init__(self, context):
        context.services.metrics.counter("told_total", "Told.").add(3)

    @hookimpl
    def guard(self, statement, session):
        if "forbidden" in statement.text:
            return Block("42501", "no")

    @hookimpl
    def http_routes(self):
        return [HttpRoute("GET", "names/{name}", tell), HttpRoute("POST", "names/{name}", tell, "write")]
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {"admin_listen": "127.0.0.1:0"},
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "databases.gone": {"primary": "postgresql://postgres@127.0.0.1:1/x", "required": False},
        "api": {"jwt_secret": SECRET},
        "plugins": {"modules": ["./teller.py"]},
    }
    with run_proxy(tables, {"teller.py": PLUGIN}) as made:
        yield made


def base_of(proxy: Proxy) -> str:
    found = re.search(r"HTTP at 127\.0\.0\.1 port (\d+)", proxy.log)
    assert found is not None
    return f"http://127.0.0.1:{found[1]}"


def token(scope: str = "metrics", seconds: float = 60.0, secret: str = SECRET) -> dict[str, str]:
    made = jwt.encode({"scope": scope, "exp": time.time() + seconds}, secret, algorithm="HS256")
    return {"authorization": f"Bearer {made}"}


def metrics_of(proxy: Proxy) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"{base_of(proxy)}/metrics", headers=token())
    assert answer.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_it_is_healthy(proxy: Proxy) -> None:
    assert httpx.get(f"{base_of(proxy)}/healthz").text == "ok\n"


def test_it_is_ready_if_what_is_required_can_be_reached(proxy: Proxy) -> None:
    answer = httpx.get(f"{base_of(proxy)}/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "databases": {"postgres": "reachable"}}


def test_it_is_not_ready_without_a_required_database(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"admin_listen": "127.0.0.1:0"},
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "databases.gone": {"primary": "postgresql://postgres@127.0.0.1:1/x"},
    }
    with run_proxy(tables) as proxy:
        answer = httpx.get(f"{base_of(proxy)}/readyz")
        assert answer.status_code == 503
        assert answer.json()["databases"]["postgres"] == "reachable"
        assert "127.0.0.1:1 can't be reached" in answer.json()["databases"]["gone"]
        # Without a secret the metrics are open, and the plugins' routes are off.
        assert httpx.get(f"{base_of(proxy)}/metrics").status_code == 200
        assert httpx.get(f"{base_of(proxy)}/api/plugins/teller/names/x").json()["code"] == "api_off"


def test_metrics_count_what_happens(proxy: Proxy, clients: Clients) -> None:
    before = metrics_of(proxy)
    client = clients.connect(DATABASE)
    for _ in range(5):
        client.query("select 1")
    for failing in ("select 1/0", "select 'forbidden'"):
        with pytest.raises(WireError):
            client.query(failing)
    idle = ("interceptor_clients", DATABASE, "idle", "postgres")
    wait_until(lambda: metrics_of(proxy).get(idle) == 1, "those of other tests have gone")
    after = metrics_of(proxy)
    place = (DATABASE, "primary", "postgres")

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    assert grown("interceptor_queries_total", *place) >= 6
    assert grown("interceptor_client_logins_total", *place) == 1
    assert grown("interceptor_errors_total", "server", "22012") == 1
    assert grown("interceptor_plugin_decisions_total", "block", "teller") == 1
    assert grown("interceptor_errors_total", "plugin", "42501") == 1
    assert grown("interceptor_transaction_seconds_count", *place) >= 6
    assert grown("interceptor_received_bytes_total", *place) > 50
    assert after["interceptor_told_total",] == 3
    assert after["interceptor_processes",] == 1


def test_every_metric_that_is_shown_is_a_known_one(proxy: Proxy, clients: Clients) -> None:
    clients.connect(DATABASE).query("select 1")  # of a pool there is most to tell
    answer = httpx.get(f"{base_of(proxy)}/metrics", headers=token())
    shown = {family.name for family in text_string_to_metric_families(answer.text)}
    known = {name.removesuffix("_total") for name in FAMILIES} | {"interceptor_told"}
    assert shown <= known
    assert len(shown) > 15


def test_who_has_no_token_learns_nothing(proxy: Proxy) -> None:
    base = base_of(proxy)
    for headers, status in [
        ({}, 401),
        ({"authorization": "Basic abc"}, 401),
        ({"authorization": "Bearer nonsense"}, 401),
        (token(seconds=-5), 401),
        (token(secret=SECRET + "!"), 401),
        ({"authorization": "Bearer " + jwt.encode({"scope": "metrics"}, SECRET)}, 401),
        (token("read"), 403),
    ]:
        answer = httpx.get(f"{base}/metrics", headers=headers)
        assert answer.status_code == status, headers
        assert "interceptor_" not in answer.text


def test_an_unsigned_token_is_none(proxy: Proxy) -> None:
    unsigned = jwt.encode({"scope": "metrics", "exp": time.time() + 60}, "", algorithm="none")
    answer = httpx.get(f"{base_of(proxy)}/metrics", headers={"authorization": f"Bearer {unsigned}"})
    assert answer.status_code == 401


def test_routes_of_plugins(proxy: Proxy) -> None:
    where = f"{base_of(proxy)}/api/plugins/teller/names"
    assert httpx.get(f"{where}/x", headers=token("read")).json() == {"name": "x", "body": ""}
    assert httpx.post(f"{where}/x", content="b", headers=token("write")).json() == {"name": "x", "body": "b"}
    assert httpx.post(f"{where}/x", headers=token("read")).status_code == 403
    assert httpx.get(f"{where}/x").status_code == 401
    assert httpx.post(f"{where}/x", content=b"x" * 1_100_000, headers=token("write")).status_code == 413
    assert httpx.get(f"{where}/broken", headers=token("read")).json()["code"] == "plugin_failed"
    assert proxy.log.count("with a str, which is no HttpResponse") == 1
    assert httpx.get(f"{where}", headers=token("read")).status_code == 404
