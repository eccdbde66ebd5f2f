"""The queue: it carries ids of jobs, and only tells workers that there is something to do.

An id may be lost or come twice; the table of jobs decides what is run, and `reconcile` rings again. The queue is Huey's storage, in a
file of the data folder or in Redis.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from videodag_cli.errors import MissingExtraError, RequestError, VideodagError, printable

NAME = "videodag"
TIMEOUT_S = 1.0
"""A Redis server that says nothing for this long is away; shorter than a lease, so that a worker keeps its jobs meanwhile."""
AGAIN_S = 2.0
"""A queue that was away is asked again after this time."""


class QueueAwayError(VideodagError):
    """The queue does not answer. What waits is in the table of jobs, and is rung for when the queue is back."""


class Bell:
    """Ids of jobs, first in, first out."""

    def __init__(self, storage: Any, label: str) -> None:
        self._storage = storage
        self.label = label
        """What to call it in messages; without a password."""
        self._away_until = 0.0

    def ring(self, job_id: str) -> None:
        self._call("enqueue", job_id.encode())

    def next(self) -> str | None:
        """The next id, or None at once when there is none."""
        found = self._call("dequeue")
        return None if found is None else bytes(found).decode("ascii", "replace")

    def waiting(self) -> set[str]:
        return {bytes(item).decode("ascii", "replace") for item in self._call("enqueued_items")}

    def answers(self) -> bool:
        """Whether the queue is there."""
        try:
            self._call("queue_size")
        except QueueAwayError:
            return False
        return True

    def _call(self, name: str, *arguments: Any) -> Any:
        """Raises `QueueAwayError`, at once while the queue is known to be away: nobody waits for it again and again."""
        if time.monotonic() < self._away_until:
            raise QueueAwayError(f"the queue {self.label} does not answer")
        try:
            return getattr(self._storage, name)(*arguments)
        except Exception as error:  # whatever the client library of the queue raises
            self._away_until = time.monotonic() + AGAIN_S
            raise QueueAwayError(f"the queue {self.label}: {printable(error, limit=200)}") from error


def open_bell(data_dir: Path, queue: str | None) -> Bell:
    """The queue in the data folder, or the Redis server that `queue` names. Raises `RequestError` for anything else."""
    try:
        from huey import storage
    except ImportError as error:
        raise MissingExtraError("the service", "serve") from error
    if queue is None:
        path = data_dir / "queue.sqlite"
        return Bell(storage.SqliteStorage(NAME, filename=str(path), timeout=20), path.name)
    parts = urlsplit(queue)
    try:
        known = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:  # no port
        known = False
    if not known:
        shown = printable(f"{parts.scheme}:...", limit=80)  # it may hold a password
        raise RequestError(f"--queue {shown}: give the address of a Redis server, as redis://host:6379/0")
    label = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    try:
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise MissingExtraError("the queue in Redis", "redis") from error
    try:
        pool = ConnectionPool.from_url(
            queue, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        return Bell(storage.RedisStorage(NAME, connection_pool=pool, blocking=False), label)
    except Exception as error:  # whatever the client library makes of the address
        raise RequestError(f"--queue {label}: {printable(error, limit=200)}") from error
