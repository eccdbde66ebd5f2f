"""A job as its clients see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from videodag_cli.server.jobs import JobRow
from videodag_cli.server.problems import problem_members


def job_view(job: JobRow, *, ahead: int | None = None) -> dict[str, Any]:
    """Status, progress, error and addresses; with a summary when it is complete."""
    address = f"/video/jobs/{job.id}"
    view: dict[str, Any] = {
        "job_id": job.id,
        "status": job.state,
        "cancelling": job.state == "running" and job.cancel,
        "pipeline_id": job.pipeline_id,
        "file_name": job.file_name,
        "file_bytes": job.file_bytes,
        "options": job.request["options"],
        "created_at": _moment(job.created_s),
        "started_at": _moment(job.started_s),
        "ended_at": _moment(job.ended_s),
        "progress": _progress(job),
        "exit_code": job.exit_code,
        "error": None if job.word is None else problem_members(job.word, job.message or ""),
        "links": {"self": address, "events": f"{address}/events"},
    }
    if ahead is not None:
        view["jobs_ahead"] = ahead
    if job.state != "cancelled":
        view["links"]["video"] = f"{address}/video"
    if job.state == "completed":
        view["summary"] = job.summary
        view["results_url"] = view["links"]["results"] = f"{address}/results"
        view["lines"] = job.lines
        view["result_bytes"] = job.result_bytes
    return view


def _progress(job: JobRow) -> dict[str, Any]:
    left = None if job.total is None else max(0, job.total - job.done)
    return {
        "frames_done": job.done,
        "frames_expected": job.total,
        "frames_per_s": job.rate,
        "eta_s": round(left / job.rate, 1) if job.state == "running" and left is not None and job.rate else None,
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
