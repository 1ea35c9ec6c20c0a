"""What a machine has is tried, and what it has not is named."""

import os

import pytest

from agent_skills import Level, probe
from agent_skills.errors import IsolationError
from agent_skills.isolation import bubblewrap, handshake, landlock, levels
from agent_skills.isolation.levels import LevelReport, Levels
from agent_skills.isolation.sandbox import Interpreter


async def test_every_way_is_reported_with_a_reason_where_it_is_missing():
    found = await probe()
    assert [one.mechanism for one in found.reports] == [
        "deadline",
        "process",
        "bubblewrap",
        "landlock",
        "monty",
        "wasmtime",
    ]
    assert all(one.available or one.detail for one in found.reports)
    assert not found.missing(Level.WORKER)


async def test_without_bubblewrap_and_landlock_there_is_no_sandbox(monkeypatch):
    monkeypatch.setattr(bubblewrap, "bwrap_path", lambda: "")
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    found = await probe()
    assert not found.has(Level.SANDBOX)
    assert "install bubblewrap" in found.missing(Level.SANDBOX)
    assert "the kernel has landlock 0" in found.missing(Level.SANDBOX)
    with pytest.raises(IsolationError, match="no sandbox on this machine"):
        found.sandboxed()


async def test_a_bubblewrap_that_may_not_make_namespaces_is_no_sandbox(monkeypatch, tmp_path):
    refused = tmp_path / "bwrap"
    refused.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refused.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "bwrap_path", lambda: str(refused))
    report = next(one for one in (await probe()).reports if one.mechanism == "bubblewrap")
    assert not report.available
    assert "is it allowed to make user namespaces?" in report.detail


async def test_one_that_does_nothing_is_no_sandbox(monkeypatch, tmp_path):
    """A program that starts the worker as it is: the worker cannot become anybody else, or its rights stay."""
    fake = tmp_path / "bwrap"
    fake.write_text(
        '#!/bin/sh\nwhile [ "$1" != --setenv ]; do shift; done\nwhile [ "$1" = --setenv ]; do shift 3; done\nexec "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "bwrap_path", lambda: str(fake))
    monkeypatch.setattr(handshake, "TIMEOUT_MS", 300)
    assert not next(one for one in (await probe()).reports if one.mechanism == "bubblewrap").available


async def test_root_cannot_use_an_interpreter_that_nobody_may_read(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("for root alone")
    (tmp_path / "python").symlink_to(Interpreter.own().executable)
    found = await probe(Interpreter(executable=str(tmp_path / "nowhere"), needs=()))
    assert not found.has(Level.SANDBOX)


def test_bubblewrap_goes_before_landlock():
    both = [
        LevelReport(level=Level.SANDBOX, mechanism=name, available=True)
        for name in ("bubblewrap", "landlock")
    ]
    assert Levels(reports=tuple(both)).sandboxed() is bubblewrap.launch
    assert Levels(reports=(both[1],)).sandboxed() is landlock.launch
    assert levels.Levels(reports=()).missing(Level.SANDBOX)
