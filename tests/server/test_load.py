"""What many, slow, broken and hostile clients do to a service: nothing."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clips import encode
from tests.commands import command, start
from tests.server.forms import HEAD, TYPE
from tests.services import Server, on_command_line, served, status_kb
from tests.soak.serve_kills import processes


@pytest.mark.slow
def test_many_uploads_at_once_are_neither_lost_nor_mixed_up(tmp_path: Path) -> None:
    """Fifty uploads, a third of them good; each good one is a clip of its own, so its number of lines says which it is."""
    clips = [encode(tmp_path / f"{frames}.mp4", indices=range(frames)) for frames in range(3, 8)]
    with served(tmp_path, "--jobs", "2") as server:
        server.over(server.accepted("count", clips[0]))
        right = [on_command_line(server, "count", clip=clip) for clip in clips]
        slow: list[float] = []

        def send(number: int) -> tuple[int, httpx.Response]:
            with httpx.Client(base_url=server.address, timeout=120, trust_env=False) as client:
                good = number % 3 == 0
                content = clips[number % 5].read_bytes() if good else b"PK\x03\x04" + bytes(500_000)
                form = {"pipeline_id": "count"} if number % 7 else {"pipeline_id": "count", "options": "{}"}
                return number, client.post(
                    "/video/upload-and-run", data=form, files={"file": (f"{number}.mp4", content)}
                )

        def ping() -> None:
            with httpx.Client(base_url=server.address, timeout=30, trust_env=False) as client:
                for _ in range(20):
                    began = time.monotonic()
                    assert client.get("/health/live").status_code == 200
                    slow.append(time.monotonic() - began)
                    time.sleep(0.02)

        with ThreadPoolExecutor(51) as pool:
            pinging = pool.submit(ping)
            answers = list(pool.map(send, range(50)))
            pinging.result()
        for number, answer in answers:
            if number % 3:
                assert answer.json()["word"] == "input.not_mp4"
            else:
                job = server.over(answer.json()["job_id"])
                assert job["file_name"] == f"{number}.mp4"
                assert server.lines(job["job_id"]) == right[number % 5]
        assert not list((server.data / "uploads").iterdir())
        assert len(list((server.data / "jobs").iterdir())) == 1 + sum(number % 3 == 0 for number in range(50))


@pytest.mark.slow
def test_a_large_upload_does_not_fill_memory(tmp_path: Path) -> None:
    size = 300 << 20
    with served(tmp_path, "--jobs", "0") as server:
        server.accepted("count")
        before = status_kb(server.process.pid, "VmHWM")
        piece = bytes(1 << 20)

        def body() -> Any:
            yield HEAD + b"\0\0\0\x14ftypisom\0\0\0\0isom"
            for _ in range(size >> 20):
                yield piece
            yield b"\r\n--b--\r\n"

        answer = server.http.post("/video/upload-and-run", content=body(), headers={"content-type": TYPE})
        assert answer.status_code == 202, answer.text
        assert server.job(answer.json()["job_id"])["file_bytes"] == size + 20
        assert status_kb(server.process.pid, "VmHWM") - before < 40_000


@pytest.mark.every_queue
def test_a_client_that_goes_away_leaves_nothing(server: Server) -> None:
    host, _, port = server.address.removeprefix("http://").rpartition(":")
    head = f"POST /video/upload-and-run HTTP/1.1\r\nHost: {host}\r\nContent-Type: {TYPE}\r\nContent-Length: 5000000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head.encode() + HEAD + b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(2_000_000))
        until = time.monotonic() + 20
        while not list((server.data / "uploads").iterdir()):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert server.http.get("/health/live").status_code == 200
    while list((server.data / "uploads").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_broken_forms_are_refused(server: Server) -> None:
    """A right form with bytes changed, cut out or doubled, and headers that lie: no answer is a server's error."""
    chance = random.Random(1)
    right = HEAD + b"\0\0\0\x14ftypisom\0\0\0\0isom" + bytes(200) + b"\r\n--b--\r\n"
    for _ in range(150):
        body = bytearray(right)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(min(len(body), 170)) if body else 0
            kind = chance.randrange(3)
            if kind == 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            elif kind == 1:
                del body[at : at + chance.randint(1, 20)]
            else:
                body[at:at] = body[at : at + chance.randint(1, 40)]
        answer = server.http.post("/video/upload-and-run", content=bytes(body), headers={"content-type": TYPE})
        assert answer.status_code == 202 or 400 <= answer.status_code < 500, (answer.text, bytes(body))
        if answer.status_code == 202:
            server.http.delete(answer.headers["location"])
    assert not list((server.data / "uploads").iterdir())


@pytest.mark.slow
def test_a_full_disk_fails_the_upload_and_nothing_else(tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk."""
    clip = encode(tmp_path / "clip.mp4", indices=range(4))
    with served(tmp_path, "--jobs", "1") as server:
        job_id = server.accepted("count", clip)
        server.over(job_id)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        answer = server.send("count", clip.read_bytes() + bytes(3_000_000))
        assert (answer.status_code, answer.json()["word"]) == (507, "output.full")
        assert not list((server.data / "uploads").iterdir())
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert server.over(server.accepted("count", clip))["status"] == "completed"
        assert server.job(job_id)["status"] == "completed"


def workers(server: Server) -> list[int]:
    return [pid for pid, role in processes(server.data).items() if role == "worker"]


def stop_between_writes(worker: int, server: Server) -> None:
    """Stop it while it does not hold the table of jobs: nobody could write there until it goes on."""
    while True:
        os.kill(worker, signal.SIGSTOP)
        with closing(sqlite3.connect(server.data / "jobs.sqlite", timeout=0.5, isolation_level=None)) as table:
            try:
                table.execute("BEGIN IMMEDIATE")
                table.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(worker, signal.SIGCONT)
                time.sleep(0.05)
            else:
                return


@pytest.mark.slow
def test_a_stopped_worker_loses_its_job_and_does_not_disturb_it(tmp_path: Path) -> None:
    """The worker is stopped in the middle of a job, another one finishes it, then the first continues."""
    with served(tmp_path, "--jobs", "1", "--lease", "1s") as server:
        right = on_command_line(server, "slow", "--max-frames", "60")
        job_id = server.accepted("slow", options={"max_frames": 60})
        server.wait_until(job_id, frames=5)
        (first,) = workers(server)
        stop_between_writes(first, server)
        second = start(command("worker", "--data-dir", server.data, "--lease", "1s"), stdout=None, stderr=None)
        try:
            assert server.over(job_id)["status"] == "completed"
            os.kill(first, signal.SIGCONT)
            assert server.lines(job_id) == right
            again = server.accepted("slow", options={"max_frames": 60})
            assert server.over(again)["status"] == "completed"
            assert server.lines(again) == server.lines(job_id) == right
        finally:
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 0
