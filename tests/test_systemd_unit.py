"""The unit file is one that systemd accepts, and exposes little."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd" / "agentd.service"
SOCKET = UNIT.with_suffix(".socket")
EXPOSURE = 1.5
"""What `systemd-analyze security` may say at the most; 10 is no protection at all."""

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


def analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", *arguments, str(UNIT)], capture_output=True, text=True, check=False
    )


def test_the_unit_is_accepted():
    done = analyze("verify", "--man=no")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_socket_is_accepted_and_loopback_alone():
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(SOCKET), str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    listens = [line for line in SOCKET.read_text().splitlines() if line.startswith("Listen")]
    assert listens == ["ListenStream=127.0.0.1:8420"]


def test_the_unit_exposes_little():
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={int(EXPOSURE * 10)}")
    assert done.returncode == 0, done.stdout[-400:]


def test_the_unit_says_what_the_daemon_speaks():
    text = UNIT.read_text()
    assert "\nType=notify\n" in text
    assert "\nRestart=on-failure\n" in text
    assert "\nStateDirectory=agentd\n" in text
    assert "\nLoadCredential=agent_api_key\n" in text
