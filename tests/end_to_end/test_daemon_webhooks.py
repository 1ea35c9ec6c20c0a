"""Webhooks of a daemon that is killed: what was owed comes at its next start, under the id that it had, for every run that ended."""

import asyncio
import json
import os

import pytest

RUNS = 20


class Receiver:
    """Answers `says` to everything and keeps what came; a fake of whoever listens."""

    def __init__(self):
        self.says = 503
        self.got = []

    async def serve(self, reader, writer):
        try:
            await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the daemon was killed
        finally:
            writer.close()

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = json.loads(await reader.readexactly(int(fields["content-length"])))
        self.got.append((self.says, fields["webhook-id"], body["data"]["run_id"]))
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % self.says)
        await writer.drain()


async def test_what_was_owed_to_a_webhook_survives_a_kill(agentd):
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {"AGENT_WEBHOOK_NETWORKS": "127.0.0.0/8", "AGENT_WEBHOOK_PORTS": str(port)}
    async with server, asyncio.timeout(150):
        first = agentd(**settings)
        async with first.client() as client:
            hook = {"url": f"http://127.0.0.1:{port}/", "events": ["run.done"]}
            assert (await client.post("/api/v1/webhooks", json=hook)).status_code == 201
            begun = [
                (await client.post("/api/v1/runs", json={"prompt": f"words={number}"})).json()["run_id"]
                for number in range(1, RUNS + 1)
            ]
            while not receiver.got:  # some runs are told of, some are not written down yet, some go on
                await asyncio.sleep(0.01)
        os.kill(first.process.pid, 9)
        first.process.wait()
        tried = {run_id: message_id for _, message_id, run_id in receiver.got}
        receiver.says = 204
        again = agentd(**settings)
        while len({run_id for says, _, run_id in receiver.got if says == 204}) < RUNS:
            await asyncio.sleep(0.05)
        assert {run_id for _, _, run_id in receiver.got} == set(begun)
        told = {(run_id, message_id) for _, message_id, run_id in receiver.got}
        assert len(told) == RUNS, "a message has one id, however often it comes"
        assert tried.items() <= dict(told).items()
        async with again.client() as client:
            runs = (await client.get("/api/v1/runs", params={"limit": 200})).json()["items"]
            assert {run["status"] for run in runs} == {"done"}


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_daemon_logs_in_the_form_that_is_set(agentd, form):
    daemon = agentd(AGENT_LOG_FORMAT=form, AGENT_MODEL="openai:scripted", AGENT_LOG_LEVEL="debug")
    daemon.process.terminate()
    daemon.process.wait(timeout=20)
    lines = daemon.log.read_text().splitlines()
    assert lines
    assert all(line.startswith('{"timestamp"') for line in lines) == (form == "json")
    assert daemon.key not in daemon.log.read_text()
