"""What Schemathesis cannot know: ids that exist, and a file that is a video. Requests that are meant to be wrong stay as they are."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import GenerationMode

CLIP, JOB, PIPELINE = (os.environ.get(f"CONTRACT_{name}", "") for name in ("CLIP", "JOB", "PIPELINE"))


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """A right request becomes one that finds what it asks for."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return case
    if "job_id" in (case.path_parameters or {}) and case.method.upper() != "DELETE":
        case.path_parameters["job_id"] = JOB
    if "pipeline_id" in (case.path_parameters or {}):
        case.path_parameters["pipeline_id"] = PIPELINE
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex  # the same one belongs to the same request
    if isinstance(case.body, dict) and "file" in case.body:
        case.body["file"] = Path(CLIP).read_bytes()
        case.body["pipeline_id"] = PIPELINE
        options = case.body.get("options")
        if isinstance(options, dict):
            options.pop("set", None)  # which params there are, says the pipeline
            options.pop("end", None)  # may not lie before the start
    return case
