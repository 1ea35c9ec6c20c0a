"""Responses that are streamed and work in the background, from outside: left, taken up again, killed, cancelled, forgotten."""

import asyncio
import contextlib
import json

import httpx

AGENT = "agent"


class Told:
    """What a client was told of one response: its events by number, each once and in order."""

    def __init__(self):
        self.events = []
        self.is_done = False

    @property
    def last(self):
        return len(self.events) - 1

    @property
    def response_id(self):
        return self.events[0]["response"]["id"]

    @property
    def text(self):
        return "".join(event["delta"] for event in self.of("response.output_text.delta"))

    def of(self, kind):
        return [event for event in self.events if event["type"] == kind]

    async def read(self, reply, until=None):
        """Read to the end, or to event `until`, and go away."""
        assert reply.status_code == 200, await reply.aread()
        async for line in reply.aiter_lines():
            if line == "data: [DONE]":
                self.is_done = True
            elif line.startswith("data: "):
                self.events.append(json.loads(line[len("data: ") :]))
                assert self.events[-1]["sequence_number"] == self.last, "no gap, no repeat"
                if until is not None and self.events[-1]["type"] == until:
                    return

    async def begin(self, client, prompt, until=None):
        body = {"model": AGENT, "input": prompt, "background": True, "stream": True}
        async with client.stream("POST", "/v1/responses", json=body) as reply:
            await self.read(reply, until)
        return self

    async def go_on(self, client, until=None):
        params = {"stream": "true", "starting_after": self.last}
        async with client.stream("GET", f"/v1/responses/{self.response_id}", params=params) as reply:
            await self.read(reply, until)
        return self


async def look(client, told):
    return (await client.get(f"/v1/responses/{told.response_id}")).json()


async def test_who_went_away_is_told_the_rest_and_who_comes_late_everything(agentd):
    async with agentd().client() as client, asyncio.timeout(60):
        told = await Told().begin(client, "calls=1 words=10 ms=30", until="response.output_text.delta")
        assert not told.is_done
        late, _ = await asyncio.gather(other(client, told), told.go_on(client))
        assert told.is_done
        assert late.events == told.events
        assert told.text.split() == [f"w{n}" for n in range(10)]
        assert told.events[-1]["type"] == "response.completed"
        assert told.events[-1]["response"] == await look(client, told)
        again = await told.go_on(client)
        assert again.is_done


async def other(client, told):
    """Another client, which asks for everything."""
    late = Told()
    params = {"stream": "true"}
    async with client.stream("GET", f"/v1/responses/{told.response_id}", params=params) as reply:
        await late.read(reply)
    return late


async def test_a_killed_daemon_goes_on_under_the_same_numbers(agentd):
    daemon = agentd()
    streams = [Told() for _ in range(4)]
    async with daemon.client() as client, asyncio.timeout(60):

        async def until_killed(number, told):
            with contextlib.suppress(httpx.TransportError):
                await told.begin(client, f"run={number} calls={number % 2} words=30 ms=60")

        async with asyncio.TaskGroup() as tasks:
            for number, told in enumerate(streams):
                tasks.create_task(until_killed(number, told))
            while any(len(told.of("response.output_text.delta")) < 5 for told in streams):
                await asyncio.sleep(0.02)
            daemon.process.kill()
            daemon.process.wait()
    assert not any(told.is_done for told in streams)
    seen = [list(told.events) for told in streams]
    async with agentd().client() as client, asyncio.timeout(60):
        await asyncio.gather(*(told.go_on(client) for told in streams))
        for told, before in zip(streams, seen, strict=True):
            assert told.is_done
            assert told.events[: len(before)] == before
            assert told.text.split() == [f"w{n}" for n in range(30)], told.text or (
                "the model said the same, and it was told once"
            )
            final = told.events[-1]["response"]
            assert final["status"] == "completed"
            assert final == await look(client, told)
            assert (await other(client, told)).events == told.events


async def test_a_stopped_daemon_ends_its_streams_without_an_end(agentd):
    daemon = agentd()
    told = Told()
    async with daemon.client() as client, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(told.begin(client, "words=100 ms=50"))
        while not told.of("response.output_text.delta"):
            await asyncio.sleep(0.02)
        daemon.process.terminate()
    assert not told.is_done
    assert told.events[-1]["type"] == "response.output_text.delta"
    async with agentd().client() as client, asyncio.timeout(60):
        await told.go_on(client)
    assert told.events[-1]["type"] == "response.completed"


async def test_one_that_is_cancelled_says_so_and_stays_so(agentd):
    async with agentd().client() as client, asyncio.timeout(60):
        told = await Told().begin(client, "words=1000 ms=20", until="response.output_text.delta")
        cancelled = (await client.post(f"/v1/responses/{told.response_id}/cancel")).json()
        assert cancelled["status"] == "cancelled"
        await told.go_on(client)
        assert told.is_done
        assert told.events[-1]["type"] == "response.incomplete"
        assert told.events[-1]["response"] == cancelled == await look(client, told)


async def test_one_that_is_forgotten_is_told_no_more(agentd):
    async with agentd().client() as client, asyncio.timeout(60):
        told = await Told().begin(client, "words=1000 ms=20", until="response.output_text.delta")
        path = f"/v1/responses/{told.response_id}"
        assert (await client.delete(path)).status_code == 200
        assert (await client.get(path, params={"stream": "true"})).status_code == 404
        assert (await client.get(path)).status_code == 404


async def test_another_tenant_is_told_nothing(agentd, agent):
    daemon = agentd()
    made = agent("keys", "create", "--tenant", "other", "--scope", "models:use")
    key = next(word for word in made.out.split() if word.startswith("ag_"))
    async with daemon.client() as client, asyncio.timeout(60):
        told = await Told().begin(client, "words=3")
        headers = {"Authorization": f"Bearer {key}"}
        path = f"/v1/responses/{told.response_id}"
        hidden = await client.get(path, params={"stream": "true"}, headers=headers)
        assert hidden.status_code == 404
