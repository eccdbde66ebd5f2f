"""Requests made from the OpenAPI document of a service, right and wrong ones: no server error, and nothing written elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tests.clips import encode
from tests.server.contract import BUSY, contract, requests_seen
from tests.services import served
from tests.soak.table import Tally

EXAMPLES = 40
"""Of each route; a round makes about a thousand requests."""


def listing(folder: Path) -> set[Path]:
    """What is there, without what Schemathesis writes."""
    return {path for path in folder.rglob("*") if folder / "schemathesis" not in (path, *path.parents)}


def serve_fuzz(folder: Path, *, count: int, seed: int, deadline_s: float) -> Tally:
    """Rounds of Schemathesis until there were `count` requests."""
    tally = Tally("Requests made from the OpenAPI document")
    until = time.monotonic() + deadline_s
    seen, number = 0, 0
    while seen < count and time.monotonic() < until:
        place = folder / "serve-fuzz" / str(number)
        place.mkdir(parents=True)
        encode(place / "clip.mp4", indices=range(3))
        with served(place, "--jobs", "1", "--sync-size", "1", "--max-waiting", "100000") as server:
            before = (listing(place) - listing(server.data)) | {server.pipelines / f"{BUSY}.json"}
            code, report = contract(server, place, examples=EXAMPLES, seed=seed + number)
            tally.require("rounds", code == 0, report)
            left = listing(place) - listing(server.data) - before
            tally.require("rounds", not left, f"written outside of the data folder: {sorted(map(str, left))}")
            tally.require("rounds", not list((server.data / "uploads").iterdir()), "an upload was left behind")
            names = {path.name for path in server.data.iterdir()}
            known = {
                "jobs",
                "uploads",
                "jobs.sqlite",
                "jobs.sqlite-shm",
                "jobs.sqlite-wal",
                "queue.sqlite",
                "server.lock",
            }
            tally.require(
                "rounds",
                not any(name not in known and not name.startswith("queue.sqlite") for name in names),
                str(names),
            )
            for status, found in requests_seen(server).items():
                seen += found
                tally.counts.setdefault("answers", Counter())[status] += found
                tally.require("answers", not status.startswith("5"), f"{found} answers of status {status}")
            for job in server.http.get("/video/jobs?limit=500&status=queued").json()["jobs"]:
                server.http.delete(f"/video/jobs/{job['job_id']}")
        number += 1
    return tally
