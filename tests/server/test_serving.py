"""What clients meet before HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands import command, signals_as_usual
from videodag_cli.server.serving import listening
from videodag_cli.server.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_small_answers_are_sent_at_once(host: str, tmp_path: Path) -> None:
    """With Nagle's algorithm, an answer's last piece would wait until the client's system confirms the one before: 40 ms."""
    set_ = []

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        set_.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask(listener: socket.socket) -> None:
        async with await asyncio.start_server(look, sock=listener):
            reader, writer = await asyncio.open_connection(host, listener.getsockname()[1])
            assert await reader.read() == b""
            writer.close()

    with listening(Settings(data_dir=tmp_path, host=host, port=0)) as listener:
        asyncio.run(ask(listener))
    assert set_
    assert all(set_)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.0, 0.4, 0.8])
def test_a_service_that_is_stopped_while_its_worker_is_loading_says_nothing(after_s: float, tmp_path: Path) -> None:
    arguments = command("serve", "--port", "0", "--data-dir", tmp_path)
    with signals_as_usual(), subprocess.Popen(arguments, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"videodag serves http://")
        time.sleep(after_s)  # the worker is somewhere between its first module and its first look at the table
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == b""
    assert process.returncode == 0
