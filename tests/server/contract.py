"""Schemathesis against a running service: requests made from its OpenAPI document, right and wrong ones, and what the answers must be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.commands import ROOT
from tests.graphs import document, node, write
from tests.services import Server

HOOKS = "tests.server.contract_hooks"
BUSY = "busy"
"""A pipeline that is written beside `count`, for a job that never ends."""
CONFIG = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "429"]
"""


def contract(server: Server, folder: Path, *, examples: int, seed: int, token: str | None = None) -> tuple[int, str]:
    """Exit code and report. `folder` holds `clip.mp4`; the service has one worker and the pipeline `count`."""
    clip = folder / "clip.mp4"
    job_id = server.accepted("count", clip)
    assert server.over(job_id)["status"] == "completed"
    write(server.pipelines, document([node("count:toys.counter", sleep_s=600)], id=BUSY))
    server.accepted(BUSY, clip)  # the only worker: what is accepted from here on waits
    own = folder / "schemathesis"
    own.mkdir()
    (own / "schemathesis.toml").write_text(CONFIG)
    arguments = [
        "--config-file", own / "schemathesis.toml", "run", f"{server.address}/openapi.json",
        "--max-examples", examples, "--seed", seed,
        "--generation-database", "none", "--no-color", "--continue-on-failure",
        *(["-H", f"Authorization: Bearer {token}"] if token else []),
    ]  # fmt: skip
    names = {"CONTRACT_CLIP": clip, "CONTRACT_JOB": job_id, "CONTRACT_PIPELINE": "count", "SCHEMATHESIS_HOOKS": HOOKS}
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *map(str, arguments)],
        cwd=own,
        env={**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in names.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def requests_seen(server: Server) -> dict[str, int]:
    """How many requests the service has answered, by status."""
    found: dict[str, int] = {}
    for status, count in re.findall(
        r'^videodag_http_requests_total\{.*status="(\d+)"\} (\S+)', server.http.get("/metrics").text, re.MULTILINE
    ):
        found[status] = found.get(status, 0) + int(float(count))
    return found
