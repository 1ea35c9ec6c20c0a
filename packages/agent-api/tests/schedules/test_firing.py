"""Who fires, when, how often, and as whom: a clock of the test's own over real records, journals and keys."""

from contextlib import asynccontextmanager

import anyio
import pytest

from agent_api.access.keys import DEFAULT_TENANT, KeyLimits
from agent_api.records import open_records
from agent_api.schedules import timetable
from agent_api.schedules.firing import GIVE_UP_S, Clockwork
from agent_api.schedules.schedules import Schedules
from agent_api.schedules.timetable import RunTemplate
from agent_core.messages import Usage
from agent_core.testing import answer

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
HOUR = 3_600.0


class Bench:
    """Schedules over a clock that the test moves; `clockworks` are daemons on the same data."""

    def __init__(self, records, daemon, supervisor):
        self.now = NOON
        self.daemon = daemon
        self.supervisor = supervisor
        self.records = records
        self.stopped = []
        self.key = daemon.keys.create(now=NOON, tenant=DEFAULT_TENANT, name="maker")[0]
        ids = supervisor.agent.runner.adapters.ids
        self.schedules = Schedules(
            records, now=lambda: self.now, new_run_id=lambda: ids.new("run"), wake=lambda: None
        )

    def clockwork(self):
        async def on_stopped(view, reason):
            self.stopped.append((view.schedule_id, reason))

        return Clockwork(
            self.records,
            self.supervisor,
            tenant=DEFAULT_TENANT,
            keys=self.daemon.keys,
            book=self.daemon.book,
            on_stopped=on_stopped,
            now=lambda: self.now,
        )

    async def make(self, cron="0 * * * *", **fields):
        fields = {"missed": "skip", "run": RunTemplate(prompt="Look."), "key_id": self.key.key_id, **fields}
        return await self.schedules.create(name="", cron=cron, time_zone="UTC", **fields)

    async def firings(self, schedule_id):
        return (await self.schedules.firings(schedule_id, cursor=0, limit=100)).items

    async def runs(self):
        return [head async for head in self.supervisor.agent.journal.heads()]

    async def settled(self):
        with anyio.fail_after(20):
            while self.supervisor.capacity.taken:
                await anyio.sleep(0.01)


@pytest.fixture
def bench(open_serving, tmp_path):
    @asynccontextmanager
    async def opened(**settings):
        async with open_serving([answer("Fine.")], **settings) as (_, daemon):
            records = await open_records(tmp_path / "elsewhere")
            try:
                made = Bench(records, daemon, await daemon.tenants.supervisor(DEFAULT_TENANT))
                yield made
                await made.settled()
            finally:
                await records.close()

    return opened


async def test_a_schedule_fires_when_it_is_due_as_the_key_that_made_it(bench):
    async with bench() as it:
        view = await it.make()
        assert view.next_at == NOON + HOUR
        clockwork = it.clockwork()
        await clockwork.tick()
        assert await it.runs() == []
        it.now = NOON + HOUR + 1
        await clockwork.tick()
        (firing,) = await it.firings(view.schedule_id)
        assert (firing.due_at, firing.status, firing.key_id) == (NOON + HOUR, "started", it.key.key_id)
        (run,) = await it.runs()
        assert run.run_id == firing.run_id
        assert it.daemon.book.owner(run.run_id) == (DEFAULT_TENANT, it.key.key_id)
        assert (await it.schedules.view(view.schedule_id)).next_at == NOON + 2 * HOUR
        await it.settled()
        assert (await it.supervisor.view(run.run_id)).answer == "Fine."


async def test_two_daemons_on_the_same_data_fire_once(bench):
    async with bench() as it:
        for _ in range(5):
            await it.make()
        it.now = NOON + HOUR
        async with anyio.create_task_group() as tasks:
            for clockwork in [it.clockwork() for _ in range(4)]:
                tasks.start_soon(clockwork.tick)
        assert len(await it.runs()) == 5
        for clockwork in (it.clockwork(), it.clockwork()):
            await clockwork.tick()
        assert len(await it.runs()) == 5


async def test_a_firing_whose_daemon_was_killed_begins_its_run_once(bench):
    async with bench() as it:
        view = await it.make()
        it.now = NOON + HOUR
        claim = {
            "key_id": view.key_id,
            "next_at": NOON + 2 * HOUR,
            "status": "claimed",
            "run_id": "run_of_before",
            "now": it.now,
        }
        assert await it.records.change(timetable.claim, view, **claim)
        assert not await it.records.change(timetable.claim, view, **claim)
        await it.clockwork().tick()
        assert [run.run_id for run in await it.runs()] == ["run_of_before"]
        # killed behind the start, before it was noted
        await it.records.change(timetable.settle, "run_of_before", "claimed", "")
        await it.clockwork().tick()
        assert [run.run_id for run in await it.runs()] == ["run_of_before"]
        assert [one.status for one in await it.firings(view.schedule_id)] == ["started"]


@pytest.mark.parametrize(("missed", "status", "runs"), [("skip", "missed", 0), ("once", "started", 1)])
async def test_what_nobody_was_there_for(bench, missed, status, runs):
    async with bench() as it:
        view = await it.make(missed=missed)
        it.now = NOON + 9.5 * HOUR  # nine firings later
        await it.clockwork().tick()
        (firing,) = await it.firings(view.schedule_id)
        assert (firing.status, bool(firing.run_id)) == (status, bool(runs))
        assert len(await it.runs()) == runs
        assert (await it.schedules.view(view.schedule_id)).next_at == NOON + 10 * HOUR


@pytest.mark.parametrize(
    ("ends", "reason"), [("revoked", "was revoked"), ("expired", "has expired"), ("scope", "runs:write")]
)
async def test_a_key_that_ends_stops_its_schedules_and_another_takes_them_over(bench, ends, reason):
    async with bench() as it:
        scopes = ["runs:read"] if ends == "scope" else ["runs:write"]
        expires_at = NOON + 60 if ends == "expired" else None
        key = it.daemon.keys.create(now=NOON, scopes=scopes, expires_at=expires_at)[0]
        view = await it.make(key_id=key.key_id)
        if ends == "revoked":
            it.daemon.keys.revoke(key.key_id, now=NOON, tenant=None)
        it.now = NOON + HOUR
        await it.clockwork().tick()
        await it.clockwork().tick()
        stopped = await it.schedules.view(view.schedule_id)
        assert (stopped.status, stopped.next_at) == ("stopped", None)
        assert reason in stopped.reason
        assert key.key_id in stopped.reason
        assert it.stopped == [(view.schedule_id, stopped.reason)]
        assert await it.runs() == []
        resumed = await it.schedules.resume(view.schedule_id, key_id=it.key.key_id)
        assert (resumed.status, resumed.key_id, resumed.next_at) == ("active", it.key.key_id, NOON + 2 * HOUR)


async def test_a_rotated_key_s_schedules_go_on_as_the_key_in_its_place(bench):
    async with bench() as it:
        view = await it.make()
        middle = it.daemon.keys.rotate(it.key.key_id, now=NOON, tenant=None)[0]
        newest = it.daemon.keys.rotate(middle.key_id, now=NOON, tenant=None, grace_s=60)[0]
        it.now = NOON + HOUR
        await it.clockwork().tick()
        (firing,) = await it.firings(view.schedule_id)
        assert (firing.status, firing.key_id) == ("started", newest.key_id)
        assert it.daemon.book.owner(firing.run_id) == (DEFAULT_TENANT, newest.key_id)
        assert (await it.schedules.view(view.schedule_id)).key_id == newest.key_id
        await it.settled()
        it.daemon.keys.revoke(newest.key_id, now=it.now, tenant=None)
        it.now += HOUR
        await it.clockwork().tick()
        assert (await it.schedules.view(view.schedule_id)).reason == f"its key {newest.key_id} was revoked"
        assert len(await it.runs()) == 1


async def test_a_key_that_is_revoked_while_its_successor_lives_stops_nothing(bench):
    async with bench() as it:
        view = await it.make()
        newest = it.daemon.keys.rotate(it.key.key_id, now=NOON, tenant=None, grace_s=2 * HOUR)[0]
        it.daemon.keys.revoke(it.key.key_id, now=NOON, tenant=None)
        it.now = NOON + HOUR
        await it.clockwork().tick()
        assert [one.key_id for one in await it.firings(view.schedule_id)] == [newest.key_id]


async def test_the_limits_of_the_key_hold(bench):
    async with bench() as it:
        key = it.daemon.keys.create(now=NOON, limits=KeyLimits(tokens_per_day=10))[0]
        view = await it.make(key_id=key.key_id)
        it.now = NOON + HOUR
        it.daemon.book.add(tenant=DEFAULT_TENANT, key_id=key.key_id, usage=Usage(input_tokens=11), at=it.now)
        await it.clockwork().tick()
        (firing,) = await it.firings(view.schedule_id)
        assert (firing.status, firing.run_id) == ("refused", "")
        assert "tokens a day" in firing.detail
        assert (await it.schedules.view(view.schedule_id)).status == "active"


async def test_a_firing_waits_for_a_place_and_not_for_ever(bench):
    async with bench(max_runs=1) as it:
        view = await it.make()
        it.now = NOON + HOUR
        it.supervisor.capacity.take()
        await it.clockwork().tick()
        assert [one.status for one in await it.firings(view.schedule_id)] == ["claimed"]
        it.supervisor.capacity.release()
        await it.clockwork().tick()
        assert [one.status for one in await it.firings(view.schedule_id)] == ["started"]
        await it.settled()
        it.supervisor.capacity.take()
        it.now = NOON + 2 * HOUR
        await it.clockwork().tick()
        it.now += GIVE_UP_S + 1
        await it.clockwork().tick()
        assert "refused" in {one.status for one in await it.firings(view.schedule_id)}
        it.supervisor.capacity.release()


async def test_runs_of_one_schedule_may_share_a_session(bench):
    async with bench() as it:
        await it.make(run=RunTemplate(prompt="Look.", session="same"))
        named = RunTemplate(prompt="Look.", session="same", session_id="mine")
        await it.make(run=named)
        await it.make()
        for hours in (1, 2):
            it.now = NOON + hours * HOUR
            await it.clockwork().tick()
            await it.settled()
        sessions = [run.session_id for run in await it.runs()]
        assert len(sessions) == 6
        assert sessions.count("mine") == 2
        assert len(set(sessions)) == 4
