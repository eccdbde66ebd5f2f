"""What the service costs: a job against the command line, the list of jobs, and memory and answers while uploads come in."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.contenders import videodag
from tests.benchmarks.measure import Contender, FailedRunError, once
from tests.benchmarks.report import Section, Settings
from tests.benchmarks.table import aligned
from tests.clips import encode
from tests.server.forms import HEAD, TAIL, TYPE
from tests.services import Server, served, status_kb

PIPELINE = "people"
JOBS, UPLOADS, LARGE_BYTES = 1000, 50, 2 << 30
LIMITS = {"job / command line": 1.1, "first page ms": 200, "live ms": 100, "grown MB": 64}


def measure(settings: Settings) -> list[Section]:
    with served(settings.scratch, "--jobs", "1", "--max-waiting", "5000") as server:
        sections = [_jobs(server, settings), _uploads(server, settings), _list(server, settings)]
        for job in server.http.get("/video/jobs?limit=500&status=running").json()["jobs"]:
            server.http.delete(job["links"]["self"])
    return sections


def _section(title: str, head: tuple[str, ...], rows: list[dict[str, Any]], settings: Settings) -> Section:
    """A table of facts, with what misses a limit; short clips are not judged."""
    missed = [
        f"{title}: {row[head[0]]}: {name} {row[name]:.3g} > {limit:g}"
        for row in rows
        for name, limit in LIMITS.items()
        if not settings.quick and row.get(name) is not None and row[name] > limit
    ]
    cells = [
        [
            f"{row[name]:.3g}" if isinstance(row[name], float) else str("" if row[name] is None else row[name])
            for name in head
        ]
        for row in rows
    ]
    return Section(title, "\n".join([title, "", *aligned([head, *cells])]), rows, missed)


def _jobs(server: Server, settings: Settings) -> Section:
    """From the moment a job is in the table until it is over, beside the whole command; in turn."""
    title = f"serve: a job of {PIPELINE} and the same command"
    settings.say(title)
    rows: list[dict[str, Any]] = []
    clip = settings.clip("minute720")
    for name, options in (("1 frame", {"max_frames": 1}), ("1 in 3 of a minute", {"frame_stride": 3})):
        arguments = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
        contender = Contender(name, videodag(clip, *arguments, run=PIPELINE))
        alone, beside = [], []
        for _ in range(settings.rounds):
            alone.append(once(contender).wall_s)
            answer = server.send(f"builtin:{PIPELINE}", clip, options=options)
            if answer.status_code != 202:
                raise FailedRunError(answer.text)
            job = server.over(answer.json()["job_id"], within_s=1200)
            if job["status"] != "completed":
                raise FailedRunError(str(job["error"]))
            began, ended = (datetime.fromisoformat(job[key]) for key in ("created_at", "ended_at"))
            beside.append((ended - began).total_seconds())
        wall, wall_job = statistics.median(alone), statistics.median(beside)
        rows.append({
            "job": name, "command s": wall, "job s": wall_job, "job - command s": wall_job - wall,
            "job / command line": wall_job / wall if wall >= 20 else None,
        })  # fmt: skip
    return _section(title, ("job", "command s", "job s", "job - command s", "job / command line"), rows, settings)


def _answers_ms(server: Server, stop: list[bool]) -> list[float]:
    """How long `/health/live` takes, again and again until told to stop."""
    found = []
    with httpx.Client(base_url=server.address, timeout=60, trust_env=False) as client:
        while not stop:
            began = time.perf_counter()
            client.get("/health/live").raise_for_status()
            found.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
    return found


def _body(size: int) -> Iterator[bytes]:
    """A form whose file begins as an MP4 file does."""
    piece = bytes(1 << 20)
    yield HEAD + b"\0\0\0\x14ftypisom\0\0\0\0isom"
    for _ in range(size >> 20):
        yield piece
    yield TAIL


def _uploads(server: Server, settings: Settings) -> Section:
    """The peak of the server's memory, and its answers meanwhile; the clients are processes and threads of their own."""
    title = "serve: uploads"
    settings.say(title)
    pid = server.process.pid
    large = LARGE_BYTES >> 5 if settings.quick else LARGE_BYTES

    def many() -> None:
        with ThreadPoolExecutor(UPLOADS) as pool:
            assert all(pool.map(one, range(UPLOADS)))

    def one(number: int) -> bool:
        with httpx.Client(base_url=server.address, timeout=600, trust_env=False) as client:
            content = _body(20 << 20) if number % 3 else (b"PK\x03\x04" + bytes(1 << 20) for _ in range(20))
            status = client.post("/video/upload-and-run", content=content, headers={"content-type": TYPE}).status_code
            return status == 202 if number % 3 else 400 <= status < 500

    def single() -> None:
        answer = server.http.post(
            "/video/upload-and-run", content=_body(large), headers={"content-type": TYPE}, timeout=1200
        )
        assert answer.status_code == 202, answer.text

    def wait() -> None:
        time.sleep(3)

    rows: list[dict[str, Any]] = []
    one(1)
    works: dict[str, Callable[[], object]] = {
        "nothing": wait,
        f"one of {large >> 20} MB": single,
        f"{UPLOADS} of 20 MB at once, good and bad": many,
    }
    for name, work in works.items():
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        before = status_kb(pid, "VmRSS")
        stop: list[bool] = []
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(_answers_ms, server, stop)
            began = time.perf_counter()
            work()
            took = time.perf_counter() - began
            stop.append(True)
            asked = asking.result()
        peak = status_kb(pid, "VmHWM")
        rows.append({
            "uploads": name, "s": took, "peak RSS MB": peak / 1024, "grown MB": (peak - before) / 1024,
            "live ms": statistics.median(asked), "live p95 ms": statistics.quantiles(asked, n=20)[18], "asked": len(asked),
        })  # fmt: skip
    return _section(
        title, ("uploads", "s", "peak RSS MB", "grown MB", "live ms", "live p95 ms", "asked"), rows, settings
    )


def _list(server: Server, settings: Settings) -> Section:
    """The first page of a long list, as the page and a client ask for it."""
    title = f"serve: the list of {JOBS} jobs"
    settings.say(title)
    clip = encode(settings.scratch / "small.mp4", indices=range(2))
    server.accepted("slow", clip, options={"set": {"count.sleep_s": 600}})  # the worker is busy
    for _ in range(JOBS):
        server.accepted("count", clip)
    rows = []
    for address in ("/video/jobs", "/video/jobs?limit=500", "/video/jobs?status=queued", "/"):
        times = []
        for _ in range(20):
            began = time.perf_counter()
            server.http.get(address).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
        rows.append({"address": address, "first page ms": statistics.median(times), "longest ms": max(times)})
    return _section(title, ("address", "first page ms", "longest ms"), rows, settings)
