"""Spans, as a collector receives them, of statements before a real PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import psycopg
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Tables, run_proxy

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP collector: its address, and what it has received."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                raise AssertionError("nobody asked for compression")
            request = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nobody reads it."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", spans
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def attributes(span: Span) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in span.attributes
    }


def test_a_span_joins_the_trace_that_its_comment_names(postgres18: PostgresServer) -> None:
    with collector() as (endpoint, spans):
        tables: Tables = {
            "databases.app": {"primary": upstream(postgres18, "postgres")},
            "plugins.traces": {"endpoint": endpoint},
        }
        with run_proxy(tables) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as connection:
            connection.execute("select 'no trace'")
            connection.execute(f"select 'a secret' /*traceparent='00-{TRACE}-{SPAN}-00'*/".encode())
            connection.execute(f"select 'a secret' as x /*traceparent='00-{TRACE}-{SPAN}-01'*/".encode())
            try:
                connection.execute(f"select 1 / 0 /*traceparent='00-{TRACE}-{SPAN}-01'*/".encode())
            except psycopg.errors.DivisionByZero:
                pass
            connection.close()
            # What is left is sent at the end.
            assert proxy.stop() == 0
    well, failed = sorted(spans, key=lambda span: span.start_time_unix_nano)
    for span in (well, failed):
        assert span.trace_id.hex() == TRACE
        assert span.parent_span_id.hex() == SPAN
        assert span.name == "SELECT app"
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    assert attributes(well)["db.query.text"] == "select $1 as x"
    assert attributes(well)["db.response.returned_rows"] == 1
    assert (attributes(well)["db.namespace"], attributes(well)["interceptor.target"]) == ("app", "primary")
    assert attributes(failed)["db.response.status_code"] == "22012"
    assert b"a secret" not in b"".join(span.SerializeToString() for span in spans)


def test_a_share_of_the_rest_begins_traces(postgres18: PostgresServer) -> None:
    with collector() as (endpoint, spans):
        tables: Tables = {
            "databases.app": {"primary": upstream(postgres18, "postgres")},
            "plugins.traces": {"endpoint": endpoint, "sample": 1},
        }
        with run_proxy(tables) as proxy:
            with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
                for number in range(3):
                    connection.execute(f"select {number}".encode())
            assert proxy.stop() == 0
    assert len({span.trace_id for span in spans}) == 3
    assert not any(span.parent_span_id for span in spans)
