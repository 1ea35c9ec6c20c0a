"""What systemd hears."""

import socket

import pytest

from agent_api.systemd import notify


@pytest.mark.parametrize("abstract", [False, True])
def test_a_message_reaches_the_socket(monkeypatch, tmp_path, abstract):
    name = f"@agentd-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        assert notify("READY=1\nSTATUS=listening")
        assert manager.recv(100) == b"READY=1\nSTATUS=listening"


def test_without_systemd_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")
