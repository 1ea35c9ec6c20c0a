"""Runs as OpenTelemetry sees them: a collector on loopback is told of a run, and never of what was said."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.model


@pytest.fixture
def collector():
    """A collector that keeps what it is sent, by path."""
    received = {}

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received[self.path] = received.get(self.path, b"") + body
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_run_is_exported_without_what_was_said(agent, collector):
    address, received = collector
    ran = agent(
        "run", "What is 1234*5678?", AGENT_TELEMETRY="true", OTEL_EXPORTER_OTLP_ENDPOINT=address, NO_PROXY="*"
    )
    assert ran.code == 0, ran.err
    assert "7006652" in ran.out
    spans, metrics = received["/v1/traces"], received["/v1/metrics"]
    assert b"invoke_agent" in spans
    assert b"execute_tool calculator" in spans
    assert b"gen_ai.client.token.usage" in metrics
    assert b"1234*5678" not in spans
    assert b"7006652" not in spans  # long enough not to stand in some random id
