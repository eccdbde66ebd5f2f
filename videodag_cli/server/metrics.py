"""Numbers for Prometheus: what the table says when asked, and what this process has counted."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videodag_cli.server.service import Service


class Metrics:
    """Counters of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.requests = Counter(
            "videodag_http_requests", "Requests by route and status.", ["route", "status"], registry=self._registry
        )
        self.uploaded = Counter("videodag_uploaded_bytes", "Bytes of accepted uploads.", registry=self._registry)
        self.seconds = Histogram(
            "videodag_http_request_seconds", "Time until the answer began.", ["route"], registry=self._registry
        )

    def collect(self) -> Iterator[Any]:
        jobs = GaugeMetricFamily("videodag_jobs", "Jobs by status.", labels=["status"])
        for state, count in self._service.table.counts().items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily("videodag_workers", "Workers seen lately.", value=self._service.table.workers(30))
        free = shutil.disk_usage(self._service.places.root).free
        yield GaugeMetricFamily("videodag_disk_free_bytes", "Free space for data.", value=free)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class Counted:
    """Around an application: its answers are counted. Pure ASGI, because an upload comes in thousands of pieces."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.requests.labels(route, str(message["status"])).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, sending)
