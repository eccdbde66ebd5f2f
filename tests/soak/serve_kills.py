"""SIGKILL of a service, its worker or a job's process, during jobs and uploads: every accepted job ends with the right bytes."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.clips import encode
from tests.services import Server, on_command_line, served
from tests.soak.table import Tally

TARGETS = ("server", "worker", "job", "server and worker")
PIPELINE, FRAMES = "slow", 40
JOBS = 3
ROLES = {"serve": "server", "worker": "worker", "run": "job"}


def processes(data: Path) -> dict[int, str]:
    """What runs for a data folder, by its role."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(data) not in arguments and not folder.startswith(f"{data}{os.sep}"):
            continue
        role = next((ROLES[argument] for argument in arguments if argument in ROLES), None)
        if role is not None:
            found[int(entry.name)] = role
    return found


def kill_once(folder: Path, clip: Path, reference: bytes, target: str, chance: random.Random, tally: Tally) -> None:
    """One service with jobs, one kill, and the service that finishes them."""
    accepted: list[str] = []
    stop = threading.Event()

    def upload(server: Server) -> None:
        """Send jobs until told to stop; only those count that the server has accepted."""
        with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=server.address, trust_env=False) as client:
            while not stop.is_set() and len(accepted) < JOBS:
                files = {"file": ("clip.mp4", clip.read_bytes(), "video/mp4")}
                answer = client.post("/video/upload-and-run", data={"pipeline_id": PIPELINE}, files=files)
                if answer.status_code == 202:
                    accepted.append(answer.json()["job_id"])

    with contextlib.suppress(AssertionError), served(folder, "--jobs", "2", "--lease", "5s") as server:
        sender = threading.Thread(target=upload, args=(server,))
        sender.start()
        time.sleep(chance.uniform(0.0, 4.0))
        for pid, role in processes(server.data).items():
            if role in target:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if "server" in target:
            server.process.wait()
        else:
            sender.join()
            for job_id in accepted:
                server.over(job_id)
        stop.set()
        sender.join()
    with served(folder, "--jobs", "2", "--lease", "5s") as server:
        tally.add(target, "kills")
        listed = [job["job_id"] for job in server.http.get("/video/jobs?limit=500").json()["jobs"]]
        tally.require(target, set(accepted) <= set(listed), f"lost {set(accepted) - set(listed)}")
        for job_id in listed:
            job = server.over(job_id)
            right = job["status"] == "completed" and server.lines(job_id) == reference
            tally.add(target, "equal bytes" if right else "OTHER")
            tally.require(target, right, f"{job['status']} {job['error']}")
        tally.require(target, not list((server.data / "uploads").iterdir()), "an upload was left behind")
        folders = {path.name for path in (server.data / "jobs").iterdir()}
        tally.require(target, folders == set(listed), "folders are not those of the jobs")
        for job_id in listed:
            names = sorted(path.name for path in (server.data / "jobs" / job_id).iterdir())
            tally.require(target, names == ["results.jsonl", "results.jsonl.run.json", "video.mp4"], str(names))
            server.http.delete(f"/video/jobs/{job_id}")
        tally.require(target, not list((server.data / "jobs").iterdir()), "removed jobs have files")
    until = time.monotonic() + 5
    while (left := processes(folder / "data")) and time.monotonic() < until:
        time.sleep(0.1)
    tally.require(target, not left, f"processes are left: {left}")


def serve_kills(folder: Path, *, count: int, seed: int, deadline_s: float, targets: Sequence[str] = TARGETS) -> Tally:
    """So many kills, each at another moment."""
    tally = Tally("SIGKILL of a service")
    folder = folder / "serve"
    folder.mkdir(parents=True)
    clip = encode(folder / "clip.mp4", indices=range(FRAMES))
    chance = random.Random(seed)
    reference = b""
    until = time.monotonic() + deadline_s
    for number in range(count):
        if time.monotonic() > until:
            break
        place = folder / str(number)
        place.mkdir()
        if not reference:
            with served(place, "--jobs", "0") as server:
                reference = on_command_line(server, PIPELINE, clip=clip)
        kill_once(place, clip, reference, targets[number % len(targets)], chance, tally)
    return tally
