"""The HTTP interface: each route parses, asks the service, and shows."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import orjson
from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from videodag_cli import __version__
from videodag_cli.errors import VideodagError
from videodag_cli.graph.described import described, described_graph
from videodag_cli.graph.pipeline import catalogue as list_pipelines
from videodag_cli.graph.pipeline import load_pipeline
from videodag_cli.report.page import SHARED
from videodag_cli.report.page import asset as report_asset
from videodag_cli.server import answers
from videodag_cli.server.access import COOKIE, Access, cookie_value, is_equal
from videodag_cli.server.columns import columns_file
from videodag_cli.server.jobs import JobRow, State
from videodag_cli.server.metrics import Counted, Metrics
from videodag_cli.server.openapi import EVENTS, UPLOAD, complete, errors, header
from videodag_cli.server.openapi import files as file_answers
from videodag_cli.server.problems import ServiceError, on_error, problem
from videodag_cli.server.request import Asked, FieldError
from videodag_cli.server.responses import FileAnswer, JsonAnswer, PiecesAnswer
from videodag_cli.server.service import Service
from videodag_cli.server.upload import receive
from videodag_cli.server.views import job_view

POLL_S = 0.1
FREE_BYTES = 1 << 20
"""With less, nothing can be accepted."""
PAGE_LINES = 1000
MAX_PAGE_LINES = 10_000
_WAIT = re.compile(r"\bwait=(\d{1,6})\b")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
LOCATION = {"Location": header("The address of the job.")}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


OWN = ("index.html", "service.css", "api.js", "graph.js", "form.js", "player.js", "jobs.js", "service.js")
ASSETS = frozenset((*OWN, *SHARED))
"""What the page is made of; the report's scripts draw boxes and timelines here as well."""


def page_asset(name: str) -> str:
    """The text of a part of the page."""
    return (files(__package__) / "assets" / name).read_text("utf-8") if name in OWN else report_asset(name)


def make_app(service: Service, *, lifespan: Lifespan | None = None) -> Access:
    """The ASGI application of a service."""
    settings, limits = service.settings, service.settings.limits
    app = FastAPI(
        title="videodag",
        version=__version__,
        description="Run named pipelines of vision tools over videos; results are JSON, one line per sampled frame.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.root = service.places.root
    metrics = Metrics(service)
    for kind in (VideodagError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, on_error)

    # --- jobs ---

    def accepted(job: JobRow) -> Response:
        body = {"job_id": job.id, "status": job.state}
        return JsonAnswer(body, 202, {"Location": f"/video/jobs/{job.id}"})

    @app.post(
        "/video/upload-and-run",
        status_code=202,
        response_model=answers.Accepted,
        summary="Upload a video and run a pipeline over it",
        responses={
            200: {"model": answers.Results, "description": "Done in time: the results", "headers": LOCATION},
            202: {"headers": LOCATION},
            **errors(400, 403, 404, 408, 413, 415, 422, 429, 507),
        },
        openapi_extra=UPLOAD,
    )
    async def upload_and_run(request: Request) -> Response:
        key = request.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise FieldError("Idempotency-Key", "give 1 to 200 printable ASCII characters")
        if key is None or await run_in_threadpool(service.table.by_key, key) is None:
            await run_in_threadpool(service.require_room)
        asked: Asked | None = None

        async def early(fields: dict[str, str], has_file: bool) -> None:
            nonlocal asked
            if "pipeline_id" in fields:
                await run_in_threadpool(service.catalogue.find, fields["pipeline_id"])
                if "options" in fields:
                    asked = await run_in_threadpool(service.catalogue.check, fields["pipeline_id"], fields["options"])

        received = await receive(
            request, service.places.uploads, max_bytes=limits.max_upload_bytes, early=early, digest=key is not None
        )
        try:
            if "pipeline_id" not in received.fields:
                raise FieldError("pipeline_id", "is missing; GET /pipelines lists what can be named")
            if asked is None:
                asked = await run_in_threadpool(
                    service.catalogue.check, received.fields["pipeline_id"], received.fields.get("options")
                )
            job = await run_in_threadpool(service.accept, received, asked, key)
        except BaseException:
            if received.path.exists():
                received.path.unlink()
            raise
        metrics.uploaded.inc(received.file_bytes)
        wait_s = _wait_s(request.headers.get("prefer", ""), asked.options.sync, limits.sync_wait_s)
        if wait_s and received.file_bytes <= limits.sync_bytes:
            answer = await in_time(job, wait_s)
            if answer is not None:
                return answer
        return accepted(job)

    async def in_time(job: JobRow, wait_s: float) -> Response | None:
        """The answer with the results, if they are ready in time."""
        until = time.monotonic() + wait_s
        while job.active:
            if time.monotonic() >= until:
                return None
            await asyncio.sleep(POLL_S)
            job = await run_in_threadpool(service.job, job.id)
        headers = {"Location": f"/video/jobs/{job.id}"}
        if job.state != "completed":
            failed = ServiceError(job.message or f"the job is {job.state}", word=job.word, status=422)
            return problem(failed, job_id=job.id, exit_code=job.exit_code)
        view = job_view(job)
        body = {"results": await run_in_threadpool(fragment, job, 0, None), "job_id": job.id}
        return JsonAnswer({**body, "exit_code": view["exit_code"], "error": view["error"]}, 200, headers)

    def fragment(job: JobRow, offset: int, limit: int | None) -> orjson.Fragment:
        """Lines as a JSON list, byte for byte."""
        count = job.lines or 0
        return orjson.Fragment(
            b"[" + b",".join(service.lines.lines(service.results(job), offset, limit or count)) + b"]"
        )

    @app.get("/video/jobs", response_model=answers.JobList, summary="Jobs, newest first", responses=errors(422))
    def jobs(
        before: Annotated[
            int | None, Query(ge=0, le=2**62, description="`next` of the page before leads here.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        status: State | None = None,
    ) -> Response:
        found = service.table.page(before=before, limit=limit + 1, state=status)
        rest = f"&status={status}" if status else ""
        more = f"/video/jobs?before={found[limit - 1].number}&limit={limit}{rest}" if len(found) > limit else None
        return JsonAnswer({"jobs": [job_view(job) for job in found[:limit]], "next": more})

    @app.get(
        "/video/jobs/{job_id}",
        response_model=answers.JobView,
        summary="Status and results of a job",
        responses=errors(404),
    )
    def job(job_id: str) -> Response:
        found = service.job(job_id)
        view = job_view(found, ahead=service.table.ahead(found) if found.state == "queued" else None)
        small = (found.lines or 0) <= limits.inline_lines and (found.result_bytes or 0) <= limits.inline_bytes
        if found.state == "completed" and small:
            view["results"] = fragment(found, 0, None)
        return JsonAnswer(view)

    @app.delete(
        "/video/jobs/{job_id}",
        status_code=204,
        response_model=None,
        summary="Cancel a job that waits or runs; remove one that is over",
        responses={
            200: {"model": answers.JobView, "description": "Cancelled; its files go, delete it again to forget it"},
            **errors(403, 404),
        },
    )
    def delete(job_id: str) -> Response:
        if service.drop(service.job(job_id)):
            return Response(status_code=204)
        return JsonAnswer(job_view(service.job(job_id)))

    @app.get(
        "/video/jobs/{job_id}/results",
        response_model=answers.ResultsPage,
        summary="Results: a page of lines, all lines, or a table",
        responses={**file_answers("application/x-ndjson", "text/csv"), **errors(404, 409, 410, 416, 422, 507)},
    )
    def results(
        request: Request,
        job_id: str,
        offset: Annotated[int, Query(ge=0, le=2**62)] = 0,
        limit: Annotated[int | None, Query(ge=1, le=MAX_PAGE_LINES)] = None,
        format: Annotated[
            Literal["json", "jsonl", "csv"] | None,
            Query(description="Instead of `Accept`: a page, JSON lines, or a table."),
        ] = None,
        table: Annotated[
            Literal["frames", "detections", "tracks"], Query(description="Which table CSV holds.")
        ] = "frames",
    ) -> Response:
        found = service.job(job_id)
        path = service.results(found)
        accepts = request.headers.get("accept", "")
        form = format or (
            "jsonl" if "ndjson" in accepts or "jsonl" in accepts else "csv" if "text/csv" in accepts else "json"
        )
        stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", found.file_name) or "results"
        if form == "csv":
            return FileAnswer(_table(service, found, table), media_type="text/csv", filename=f"{stem}.{table}.csv")
        if form == "jsonl" and not offset and limit is None:
            return FileAnswer(path, media_type="application/x-ndjson", filename=f"{stem}.jsonl")
        if form == "jsonl":
            return PiecesAnswer(service.lines.stream(path, offset, limit), media_type="application/x-ndjson")
        size = limit or PAGE_LINES
        total = service.lines.count(path)
        more = f"/video/jobs/{found.id}/results?offset={offset + size}&limit={size}" if offset + size < total else None
        page = {"results": fragment(found, offset, size), "offset": offset, "total": total, "next": more}
        return JsonAnswer(page)

    @app.get(
        "/video/jobs/{job_id}/video",
        summary="The uploaded video",
        response_class=FileAnswer,
        responses={**file_answers("video/mp4"), **errors(404, 410, 416)},
    )
    def video(job_id: str) -> Response:
        found = service.job(job_id)
        return FileAnswer(
            service.video(found), media_type="video/mp4", filename=found.file_name, content_disposition_type="inline"
        )

    @app.get(
        "/video/jobs/{job_id}/events",
        summary="Progress as server-sent events, until the job is over",
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": EVENTS}}, **errors(404)},
    )
    async def events(request: Request, job_id: str) -> Response:
        found = await run_in_threadpool(service.job, job_id)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")

        async def changes(job: JobRow) -> AsyncIterator[ServerSentEvent]:
            last = None
            while True:
                ahead = await run_in_threadpool(service.table.ahead, job) if job.state == "queued" else None
                view = orjson.dumps(job_view(job, ahead=ahead)).decode()
                if view != last:
                    last = view
                    yield ServerSentEvent(view, event="job")
                if not job.active:
                    return
                await asyncio.sleep(3 * POLL_S)
                next_ = await run_in_threadpool(service.table.get, job.id)
                if next_ is None:
                    return
                job = next_

        return EventSourceResponse(changes(found))

    @app.get("/video/jobs/{job_id}/columns", include_in_schema=False)
    def columns(job_id: str) -> Response:
        return FileAnswer(columns_file(service.results(service.job(job_id))), media_type="application/json")

    # --- what can be named ---

    @app.get(
        "/pipelines",
        response_model=list[answers.PipelineFacts],
        summary="Pipelines that can be named",
        responses=errors(),
    )
    def pipelines() -> Response:
        return JsonAnswer([_pipeline(service, found.id) for found in list_pipelines(service.catalogue.places)])

    @app.get(
        "/pipelines/{pipeline_id}",
        response_model=answers.PipelineView,
        summary="A pipeline with its graph",
        responses=errors(404, 422),
    )
    def pipeline(pipeline_id: str) -> Response:
        found = service.catalogue.find(pipeline_id)
        loaded = load_pipeline(found.path)
        plan = service.catalogue.plan(found)
        return JsonAnswer(
            {
                **_pipeline(service, found.id),
                "digest": loaded.digest,
                "definition": loaded.pipeline.model_dump(mode="json"),
                "graph": described_graph(plan),
            }
        )

    @app.get("/tools", response_model=list[answers.ToolFacts], summary="Tools with their params", responses=errors())
    def tools() -> Response:
        plugins, _ = service.catalogue.registry.all()
        return Response(
            orjson.dumps(
                [described(plugin, spec) for plugin in plugins for spec in plugin.tools.values()], default=str
            ),
            media_type="application/json",
        )

    # --- the service itself ---

    @app.get("/health/live", response_model=answers.Health, summary="Whether it lives", responses=errors())
    async def live() -> Response:
        return JsonAnswer({"status": "ok"})

    @app.get(
        "/health/ready",
        response_model=answers.Health,
        summary="Whether the service can accept and run jobs",
        responses={
            503: {"model": answers.Health, "description": "`lacks` says what is missing"},
            **errors(),
        },
    )
    def ready() -> Response:
        lacks = []
        if not service.table.workers(max(10.0, settings.lease_s)):
            lacks.append("no worker was seen recently")
        if not service.bell.answers():
            lacks.append(f"the queue {service.bell.label} does not answer; jobs wait until it does")
        if not os.access(service.places.uploads, os.W_OK):
            lacks.append("the data folder cannot be written to")
        if shutil.disk_usage(service.places.root).free < FREE_BYTES:
            lacks.append("the disk of the data folder is full")
        return JsonAnswer({"status": "not ready" if lacks else "ok", "lacks": lacks}, 503 if lacks else 200)

    @app.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=PlainTextResponse,
        responses=errors(),
    )
    def numbers() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/session", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        try:
            given = orjson.loads((await request.body())[:10_000])["token"]
        except (ValueError, KeyError, TypeError) as error:
            raise FieldError("token", 'give {"token": "..."}') from error
        if settings.token is not None and not is_equal(str(given), settings.token):
            raise ServiceError("this is not the token of this service", word="service.access", status=401)
        response = Response(status_code=204)
        if settings.token is not None:
            secure = request.headers.get("x-forwarded-proto") == "https" or request.url.scheme == "https"
            response.set_cookie(
                COOKIE,
                cookie_value(settings.token),
                httponly=True,
                samesite="strict",
                secure=secure,
                path="/",
                max_age=30 * 86400,
            )
        return response

    @app.get("/", include_in_schema=False)
    def page() -> Response:
        return Response(page_asset("index.html"), media_type="text/html; charset=utf-8")

    @app.get("/assets/{name}", include_in_schema=False)
    def script(name: str) -> Response:
        kind = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}.get(name.rpartition(".")[2])
        if kind is None or name not in ASSETS:
            raise ServiceError("there is no such address")
        return Response(page_asset(name), media_type=kind, headers={"Cache-Control": "no-cache"})

    document = complete(app.openapi(), has_token=settings.token is not None)
    app.openapi = lambda: document  # type: ignore[method-assign]
    for route in app.routes:
        if isinstance(route, Route) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")
    return Access(Counted(app, metrics), settings)


def _wait_s(prefer: str, sync: bool, longest_s: float) -> float:
    """How long a request wants to wait for results."""
    found = _WAIT.search(prefer)
    wanted = float(found[1]) if found else longest_s if sync else 0.0
    return min(wanted, longest_s)


def _pipeline(service: Service, pipeline_id: str) -> dict[str, Any]:
    found = service.catalogue.find(pipeline_id)
    facts: dict[str, Any] = {"id": found.id, "from": found.place.label}
    try:
        pipeline = load_pipeline(found.path).pipeline
    except VideodagError as error:
        return {**facts, "name": "", "description": "", "outputs": [], "problem": error.message}
    outputs = list(pipeline.output_nodes)
    return {**facts, "name": pipeline.name, "description": pipeline.description, "outputs": outputs, "problem": None}


def _table(service: Service, job: JobRow, name: str) -> Path:
    """A job's results as CSV, made when first asked for."""
    from videodag_cli.convert import csv, tables
    from videodag_cli.convert.results_files import ResultsFile
    from videodag_cli.results.reading import read_record
    from videodag_cli.system.files import made_once

    results = service.results(job)

    def write(stream: BinaryIO) -> None:
        csv.write(tables.table_of(name, [ResultsFile(job.file_name, results, read_record(results))]), stream)

    return made_once(results.with_name(f"{name}.csv"), write)
