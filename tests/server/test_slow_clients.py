"""Clients that send or read slowly, or stop in the middle: they cost a connection and a temporary file, and hold nobody up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from tests.server.forms import HEAD, TAIL, TYPE
from tests.services import CLIP, WAIT_S, Server, on_command_line
from videodag_cli.server import upload
from videodag_cli.server.problems import ServiceError

MANY = 60
"""More than the threads of the server (40), which a client that held one would use up."""


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Clients whose system takes as little as possible for them."""
    host, _, port = server.address.removeprefix("http://").rpartition(":")
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(WAIT_S)
            client.connect((host, int(port)))
            found.append(client)
        yield found


def begin(client: socket.socket, request: str) -> None:
    client.sendall(f"{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_silent(server: Server) -> bool:
    """Whether the server has said nothing on standard error since it was ready."""
    assert server.process.stderr is not None
    return not select.select([server.process.stderr], [], [], 0)[0]


def temporary_files(server: Server) -> list[Path]:
    return list((server.data / "uploads").iterdir())


def open_files(server: Server, folder: Path) -> list[str]:
    """What the server has open there, also if it is removed."""
    found = []
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(fd))
    return [name for name in found if name.startswith(f"{folder}{os.sep}")]


@pytest.mark.slow
def test_clients_that_send_a_few_bytes_at_a_time_hold_nobody_up(server: Server) -> None:
    body = HEAD + CLIP.read_bytes() + TAIL
    head = f"Content-Type: {TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    with connections(server, MANY) as clients:
        for client in clients:
            begin(client, "POST /video/upload-and-run")
            client.sendall(head.encode())
        for at in range(0, len(HEAD) + 24, 7):  # in the middle of names, of the boundary, of the file's first bytes
            for client in clients:
                client.sendall(body[at : at + 7])
        sent = at + 7
        until(lambda: len(temporary_files(server)) == MANY)
        quick = server.accepted("count", options={"max_frames": 3})
        assert server.over(quick)["status"] == "completed"
        last = clients.pop()
        for client in clients:
            client.close()
        until(lambda: len(temporary_files(server)) == 1)
        for at in range(sent, len(body), 4999):
            last.sendall(body[at : at + 4999])
        answer = b""
        while piece := last.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    job_id = answer.partition(b'"job_id":"')[2][:32].decode()
    assert server.over(job_id)["status"] == "completed"
    assert server.lines(job_id) == on_command_line(server, "count")
    assert temporary_files(server) == []
    assert is_silent(server)


@pytest.mark.slow
def test_clients_that_do_not_read_hold_nobody_up(server: Server) -> None:
    """They ask for a video, for long results and for events; then the job is removed below them."""
    job_id = server.accepted("count", CLIP.read_bytes() + bytes(7 << 20))
    assert server.over(job_id)["status"] == "completed"
    folder = server.data / "jobs" / job_id
    results = folder / "results.jsonl"
    results.write_bytes(results.read_bytes() * 1000)
    running = server.accepted("slow", options={"max_frames": 40})
    addresses = [
        f"/video/jobs/{job_id}/video",
        f"/video/jobs/{job_id}/results?format=jsonl",
        f"/video/jobs/{job_id}/results?format=jsonl&offset=1",
        f"/video/jobs/{running}/events",
    ]
    with connections(server, MANY) as clients:
        for number, client in enumerate(clients):
            begin(client, f"GET {addresses[number % len(addresses)]}")
            client.sendall(b"\r\n")
        for client in clients:
            assert select.select([client], [], [], WAIT_S)[0], "the answer does not begin"
        until(lambda: len(open_files(server, folder)) == MANY * 3 // 4)
        assert server.over(running)["status"] == "completed"
        assert server.lines(running) == on_command_line(server, "slow", "--max-frames", "40")
        assert server.http.delete(f"/video/jobs/{job_id}").status_code == 204
        assert not folder.exists()
        assert server.http.get("/health/ready").status_code == 200
    until(lambda: open_files(server, folder) == [])
    assert is_silent(server)


@pytest.mark.slow
def test_a_client_that_reads_slowly_gets_every_byte(server: Server) -> None:
    content = CLIP.read_bytes() + bytes(range(256)) * 4096
    job_id = server.accepted("count", content, options={"max_frames": 1})
    with connections(server, 1) as (client,):
        begin(client, f"GET /video/jobs/{job_id}/video")
        client.sendall(b"\r\n")
        answer = bytearray()
        while piece := client.recv(1021):
            answer += piece
    assert answer.partition(b"\r\n\r\n")[2] == content


def test_a_client_that_stops_sending_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "IDLE_S", 0.05)
    arrives = [HEAD + b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(2 << 20)]

    async def take() -> Message:
        if not arrives:
            assert list(tmp_path.iterdir()), "nothing was written"
            await asyncio.Event().wait()
        return {"type": "http.request", "body": arrives.pop(), "more_body": True}

    async def early(fields: dict[str, str], has_file: bool) -> None:
        return None

    headers = [(b"content-type", TYPE.encode()), (b"content-length", b"99999999")]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, take)
    with pytest.raises(ServiceError, match="nothing arrived") as raised:
        asyncio.run(upload.receive(request, tmp_path, max_bytes=1 << 30, early=early))
    assert raised.value.status == 408
    assert list(tmp_path.iterdir()) == []
