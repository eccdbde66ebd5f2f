"""A server process: HTTP, upkeep, and the worker beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI
from sse_starlette.sse import AppStatus
from starlette.concurrency import run_in_threadpool

from videodag_cli.errors import OutputError, StopSignal, VideodagError, printable
from videodag_cli.server import trouble
from videodag_cli.server.app import make_app
from videodag_cli.server.bell import open_bell
from videodag_cli.server.command import Child
from videodag_cli.server.jobs import JobTable
from videodag_cli.server.places import Places
from videodag_cli.server.service import Service
from videodag_cli.server.settings import Settings
from videodag_cli.server.worker import Worker
from videodag_cli.system.signals import idle, said

RECONCILE_S = 2.0
RETAIN_S = 60.0
WORKER_AGAIN_S = 0.5
STOP_S = 3
"""Answers under way when a signal comes have so long."""


class _Server(uvicorn.Server):
    """Ends on a signal as a service does: with exit code 0."""

    should_exit: bool

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = AppStatus.should_exit = (
            True  # a second signal changes nothing: it ends within `STOP_S` anyway
        )


def serve(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; on_ready is told the address."""
    trouble.listen()
    with Service(settings) as service, contextlib.closing(listening(settings)) as listener:
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            tasks = [asyncio.create_task(_upkeep(service))]
            if settings.jobs:
                tasks.append(asyncio.create_task(_keep_worker(settings)))
            on_ready(f"http://{host}:{port}")
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        config = uvicorn.Config(
            make_app(service, lifespan=lifespan),
            log_config=None,
            log_level="critical",  # what it would log, clients can cause, or `on_error` has told
            access_log=False,
            timeout_graceful_shutdown=STOP_S,
            timeout_keep_alive=30,
            server_header=False,
            lifespan="on",
        )
        asyncio.run(_Server(config).serve(sockets=[listener]))


def listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named: without it each waits 40 ms for the client
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OutputError(
            f"{printable(settings.host, limit=100)}:{settings.port}: {printable(error.strerror or error).lower()}; "
            "give a --host and --port that are free",
            word="output.failed",
        ) from error
    return listener


async def _upkeep(service: Service) -> None:
    """Ring again for jobs that nobody has, and forget old ones."""
    retained = -RETAIN_S
    loop = asyncio.get_running_loop()
    while True:
        with _told("upkeep"):
            await run_in_threadpool(service.reconcile)
        with _told("upkeep"):
            if loop.time() - retained >= RETAIN_S:
                retained = loop.time()
                await run_in_threadpool(service.retain)
        await asyncio.sleep(RECONCILE_S)


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    """What goes wrong once does not end the upkeep: a queue that is away and a full disk pass, anything else is told."""
    try:
        yield
    except (VideodagError, OSError):
        pass
    except Exception as error:
        trouble.report(where, error)


async def _keep_worker(settings: Settings) -> None:
    """Have a worker process; when it dies, start another one. It dies with this process."""
    arguments = [
        "worker", "--data-dir", str(settings.data_dir), "--jobs", str(settings.jobs), "--lease", f"{settings.lease_s:g}",
        *(["--queue", settings.queue] if settings.queue else []),
    ]  # fmt: skip
    while True:
        child = Child(arguments, quiet=False)
        try:
            while child.returncode is None:
                await asyncio.sleep(WORKER_AGAIN_S / 2)
        finally:
            child.ask_to_stop()
            child.end(within_s=STOP_S)
        await asyncio.sleep(WORKER_AGAIN_S)


def work(settings: Settings) -> None:
    """Run jobs of a data folder until a signal comes; that is how it ends well."""
    said()
    places = Places(settings.data_dir)
    places.make()
    table = JobTable(places.table, shared=settings.queue is not None)
    bell = open_bell(settings.data_dir, settings.queue)
    with contextlib.closing(table), contextlib.suppress(StopSignal):
        idle(False)
        Worker(table, bell, places, slots=max(1, settings.jobs), lease_s=settings.lease_s).serve()
