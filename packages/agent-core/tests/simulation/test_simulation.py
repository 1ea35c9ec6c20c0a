"""The simulation itself: it is the same every time, everything that can happen happens, a broken seed can be repeated."""

import os
import subprocess
import sys
from typing import get_args

import pytest

from agent_core import events as ev
from agent_core.testing import NoMemory
from agent_core.testing.simulation import FAULTS, LAWS, Parts, shrink, simulate
from agent_core.testing.simulation.__main__ import main

FINGERPRINTS = """
import sys
from agent_core.testing.simulation import simulate
ballast = [object() for _ in range(int(sys.argv[1]))]
print(" ".join(simulate(seed).fingerprint for seed in range(20)))
"""


def fingerprints(hash_seed, ballast):
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINTS, str(ballast)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_one_seed_gives_one_history_in_every_process():
    here = [simulate(seed).fingerprint for seed in range(20)]
    assert fingerprints(hash_seed=1, ballast=0) == here
    assert fingerprints(hash_seed=2, ballast=123_457) == here
    assert len(set(here)) == len(here)


def test_a_trace_says_what_happened_and_changes_nothing():
    silent, told = simulate(3), simulate(3, trace=True)
    assert silent.trace == ()
    assert told.fingerprint == silent.fingerprint
    assert [entry[1] for entry in told.trace][:2] == ["run.started", "drive"]
    assert silent.virtual_s > 0


def test_everything_that_can_happen_happens():
    happened = set()
    for seed in range(250):
        happened |= simulate(seed).counts.keys()
    assert {ev.event_type(kind) for kind in get_args(ev.Event)} - happened == set()
    assert happened >= {
        "process died",
        "drive ended: JournalConflictError",
        "drive ended: JournalUnavailableError",
        "drive ended: ModelUnavailableError",
        "drive ended: died",
        "drive ended: left",
        "drive ended: rest",
        "command sent",
        "command IllegalEventError",
        "command StaleCompletionError",
        "command died",
        "tool returned",
        "tool raised",
        "tool stopped",
        "run done",
        "run failed",
        "run cancelled",
    }


def test_without_faults_every_run_is_driven_once_and_nobody_dies():
    for seed in range(20):
        counts = simulate(seed, faults=()).counts
        assert "process died" not in counts
        assert "cancel" not in counts
        assert {kind for kind in counts if kind.startswith("drive ended")} == {"drive ended: rest"}


def test_a_broken_seed_is_shrunk_to_the_faults_that_it_takes_and_says_how_to_see_it_again():
    class Forgetful(NoMemory):
        async def remember(self, outcome):
            pass

    parts = Parts(memory=Forgetful)
    report = next(report for seed in range(50) if (report := simulate(seed, parts=parts)).violations)
    fewest = shrink(report, parts=parts)
    assert fewest.faults == ()
    assert {one.law for one in fewest.violations} == {"outcome"} < LAWS.keys()
    assert f"--first {report.seed} --seeds 1 --faults none --trace" in str(fewest)
    assert "--faults" not in report.command


def command(capsys, *arguments):
    status = main([*arguments])
    return status, capsys.readouterr().out.splitlines()


def test_the_command_lives_through_seeds_and_sums_up(capsys):
    status, lines = command(capsys, "--seeds", "5", "--first", "7", "--processes", "1")
    assert status == 0
    assert lines[0].startswith("5 seeds, 0 broken")
    assert any(line.startswith("  run.started: ") for line in lines)


def test_the_command_uses_as_many_processes_as_it_is_given(capsys):
    status, (line,) = command(capsys, "--seeds", "120", "--processes", "2", "--json")
    assert status == 0
    assert line.startswith('{"summary":{"seeds":120,"broken":0,')


def test_the_command_shows_one_seed(capsys):
    status, lines = command(capsys, "--seeds", "1", "--first", "3", "--faults", "crash,cancel", "--trace")
    trace = simulate(3, faults=("crash", "cancel"), trace=True).trace
    assert status == 0
    assert len(lines) == len(trace)
    assert lines[0].split()[1] == "run.started"


def test_a_fault_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--faults", "earthquake"])
    said = capsys.readouterr().err
    assert "earthquake" in said
    assert all(fault in said for fault in FAULTS)
