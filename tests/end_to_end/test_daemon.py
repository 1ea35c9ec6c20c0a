"""`agent serve` as its clients and its service manager meet it."""

import json
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PROMPT = "What is 17*23?"

pytestmark = pytest.mark.model


@pytest.fixture
def serve(start):
    """Start the daemon; its process and a client with the key that the first start showed."""
    shown = {}

    def begin(*arguments, **variables):
        process = start("serve", *arguments, **variables)
        line = process.stdout.readline()
        assert line.startswith("agentd listens on "), process.stderr.read()
        address = line.split()[-1]
        if not shown:
            line = process.stdout.readline()
            assert line.startswith("admin key, shown this once: "), line
            shown["key"] = line.split()[-1]
        headers = {"Authorization": f"Bearer {shown['key']}"}
        if address.startswith("unix:"):
            transport = httpx.HTTPTransport(uds=address.removeprefix("unix:"))
            return process, httpx.Client(
                transport=transport, base_url="http://agentd", timeout=60, headers=headers
            )
        return process, httpx.Client(base_url=address, timeout=60, trust_env=False, headers=headers)

    return begin


def events_of(client, run_id, **headers):
    """The events of a run as they come, to its end: (id, name, data)."""
    with client.stream("GET", f"/api/v1/runs/{run_id}/events", headers=headers) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        fields = {}
        for line in reply.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield fields.get("id"), fields.get("event"), json.loads(fields.get("data", "null"))
                fields = {}


def messages_of(client, run_id, *, after):
    """The events of a run behind a number, over a WebSocket; nobody without a key or from another page gets any."""
    address = f"ws://{client.base_url.netloc.decode()}/api/v1/runs/{run_id}/socket?after={after}"
    headers = {"Authorization": client.headers["authorization"]}
    for wrong in ({}, {**headers, "Origin": "https://elsewhere.example"}):
        with pytest.raises(InvalidStatus, match="403"), connect(address, additional_headers=wrong):
            pass
    with connect(address, additional_headers=headers) as socket:
        return [json.loads(message) for message in socket]


def wait_for(client, run_id, *, status):
    deadline = time.monotonic() + 60
    while (run := client.get(f"/api/v1/runs/{run_id}").json())["status"] != status:
        assert time.monotonic() < deadline, run
        time.sleep(0.1)
    return run


def test_a_run_over_http(serve, tmp_path):
    process, client = serve("--port", "0")
    with client:
        assert client.get("/health").json()["status"] == "ok"
        started = client.post("/api/v1/runs", json={"prompt": PROMPT})
        assert started.status_code == 202
        run_id = started.json()["run_id"]
        events = list(events_of(client, run_id))
        numbers = [int(number) for number, _, _ in events if number]
        assert numbers == list(range(1, len(numbers) + 1))
        assert events[-1][1] == "run.finished"
        assert "391" in events[-1][2]["answer"]
        over_socket = messages_of(client, run_id, after=4)
        assert [one["seq"] for one in over_socket] == numbers[4:]
        rest = list(events_of(client, run_id, **{"Last-Event-ID": "4"}))
        assert [number for number, _, _ in rest] == [str(number) for number in numbers[4:]]
        assert client.get(f"/api/v1/runs/{run_id}").json()["status"] == "done"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - started < 5
    assert (tmp_path / "data" / "workspace").is_dir(), (
        "without a setting, the daemon reads a folder of its own"
    )


def test_a_killed_daemon_resumes_its_runs(serve):
    process, client = serve("--port", "0")
    run_id = client.post("/api/v1/runs", json={"prompt": "Tell me a long story about the sea."}).json()[
        "run_id"
    ]
    stream = events_of(client, run_id)
    assert any(name == "text.delta" for _, name, _ in stream)
    process.kill()
    process.wait()
    client.close()
    _, client = serve("--port", "0")
    with client:
        run = wait_for(client, run_id, status="done")
        assert run["answer"]


def test_a_terminated_daemon_ends_its_streams_and_leaves_its_runs(serve):
    process, client = serve("--port", "0")
    with client:
        run_id = client.post("/api/v1/runs", json={"prompt": "Tell me a long story about the sea."}).json()[
            "run_id"
        ]
        names = []
        for _, name, _ in events_of(client, run_id):
            names.append(name)
            if name == "text.delta" and process.returncode is None and names.count(name) == 1:
                process.send_signal(signal.SIGTERM)
        assert names[-1] == "shutdown"
    assert process.wait(timeout=10) == 0
    _, client = serve("--port", "0")
    with client:
        assert wait_for(client, run_id, status="done")["answer"]


def test_a_unix_socket_and_word_to_the_service_manager(serve, tmp_path: Path):
    path = tmp_path / "agentd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process, client = serve("--uds", str(path), NOTIFY_SOCKET=str(tmp_path / "notify"))
        with client:
            assert client.get("/health").status_code == 200
        assert manager.recv(200).startswith(b"READY=1\n")
        assert path.stat().st_mode & 0o777 == 0o660
        process.send_signal(signal.SIGTERM)
        assert manager.recv(200) == b"STOPPING=1"
        assert process.wait(timeout=10) == 0
    assert not path.exists()


def test_a_port_that_is_taken_is_one_clear_line(start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("serve", "--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.startswith("error: cannot listen on 127.0.0.1:")
