"""Another address by one setting: a llama.cpp server started here."""

import socket
import sys
import textwrap

import pytest

from agent_gateway.weights import find_weights

SERVER = textwrap.dedent(
    """
    import sys, time
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
    params.use_jinja, params.n_ctx, params.verbosity, params.cpuparams.n_threads = True, 4096, -1, 1
    server = xllamacpp.Server(params)
    print("ready", flush=True)
    time.sleep(600)
    """
)

pytestmark = pytest.mark.model


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(start):
    port = free_port()
    process = start(str(find_weights()), str(port), command=[sys.executable, "-c", SERVER])
    assert process.stdout.readline() == "ready\n"
    return f"http://127.0.0.1:{port}/v1"


def test_the_same_prompt_works_over_http(agent, server):
    ran = agent("run", "What is 17*23?", "--model", "openai:smollm2", "--base-url", server, "--json")
    assert ran.code == 0, ran.err
    assert ran.events[0]["model"] == "openai:smollm2"
    assert "tools.called" in [event["type"] for event in ran.events]
    assert ran.answer == "17 * 23 = 391"


def test_small_talk_streams_over_http(agent, server):
    ran = agent("run", "Hello!", "--model", "openai:smollm2", "--base-url", server)
    assert ran.code == 0, ran.err
    assert ran.out.strip()
