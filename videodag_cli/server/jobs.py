"""The table of jobs, which is the truth about them: one SQLite file that the server and its workers share.

A job is `queued`, then `running` under a lease of one worker, then `completed`, `failed` or `cancelled`. Every change of state is one
statement that says which state it starts from, so two workers never have one job, and a worker that lost its lease changes nothing.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, cast

import orjson

from videodag_cli.errors import OutputError, printable

State = Literal["queued", "running", "completed", "failed", "cancelled"]
ACTIVE: tuple[State, ...] = ("queued", "running")
BUSY_S = 20.0
"""How long a statement waits for another process's."""
CRASHES = 2
"""A job whose process died is run again so often."""

_FAILURES = {
    sqlite3.SQLITE_FULL: "output.full",
    sqlite3.SQLITE_IOERR: "output.failed",
    sqlite3.SQLITE_READONLY: "output.failed",
    sqlite3.SQLITE_CANTOPEN: "output.failed",
    sqlite3.SQLITE_BUSY: "output.failed",
}
"""What the disk, and a process that was stopped while it wrote, can do to the table, as error words."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    pipeline_id TEXT NOT NULL,
    file_name TEXT NOT NULL,
    file_bytes INTEGER NOT NULL,
    request TEXT NOT NULL,
    key TEXT UNIQUE,
    created_s REAL NOT NULL,
    started_s REAL,
    ended_s REAL,
    not_before_s REAL NOT NULL DEFAULT 0,
    lease_owner TEXT,
    lease_until_s REAL,
    process TEXT,
    crashes INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    rate REAL,
    exit_code INTEGER,
    word TEXT,
    message TEXT,
    summary TEXT,
    lines INTEGER,
    result_bytes INTEGER
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, seen_s REAL NOT NULL, slots INTEGER NOT NULL);
"""


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """A row of the table."""

    number: int
    id: str
    state: State
    pipeline_id: str
    file_name: str
    """As the client called it; only shown."""
    file_bytes: int
    request: Mapping[str, Any]
    """`options` as given, `arguments` of the command line, `pipeline` (`path` and `digest`) and `limits` of the process."""
    created_s: float
    started_s: float | None
    ended_s: float | None
    lease_owner: str | None
    process: str | None
    """The process that runs it, as `processes.Process` writes it."""
    crashes: int
    cancel: bool
    done: int
    total: int | None
    rate: float | None
    exit_code: int | None
    word: str | None
    message: str | None
    summary: Mapping[str, Any] | None
    lines: int | None
    result_bytes: int | None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE


_COLUMNS = ", ".join(field.name for field in fields(JobRow))


def _job(row: sqlite3.Row) -> JobRow:
    values = dict(row)
    values["request"] = orjson.loads(values["request"])
    values["summary"] = None if values["summary"] is None else orjson.loads(values["summary"])
    values["cancel"] = bool(values["cancel"])
    return JobRow(**values)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended."""

    state: State
    exit_code: int | None = None
    word: str | None = None
    message: str | None = None
    summary: Mapping[str, Any] | None = None
    lines: int | None = None
    result_bytes: int | None = None


class JobTable:
    """The table in the file `path`. Each call is a connection and one statement, so any thread and process may make it."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """shared: machines share the file over a network, where SQLite's write-ahead log does not work."""
        """Raises `OutputError` for a file that is not such a table, or that another version made."""
        self.path = path
        try:
            with self._connected() as connection:
                if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone():
                    connection.execute(f"SELECT {_COLUMNS}, key, not_before_s, lease_until_s FROM jobs LIMIT 0")
                connection.execute(f"PRAGMA journal_mode={'TRUNCATE' if shared else 'WAL'}")
                connection.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"{printable(path)}: is not a table of jobs of this version of videodag ({printable(error)}); give another --data-dir",
                word="output.failed",
            ) from error
        self._kept_open = sqlite3.connect(
            path, check_same_thread=False
        )  # the last one to close would tidy the log each time
        self._kept_open.execute("SELECT count(*) FROM workers").fetchall()

    def close(self) -> None:
        self._kept_open.close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                connection.execute("PRAGMA synchronous=FULL")
                yield connection
            except sqlite3.OperationalError as error:
                word = _FAILURES.get((error.sqlite_errorcode or 0) & 0xFF)
                if word is None:
                    raise
                raise OutputError(f"the table of jobs: {printable(error)}", word=word) from error

    def _select(self, where: str, values: Sequence[object] = ()) -> list[JobRow]:
        with self._connected() as connection:
            return [_job(row) for row in connection.execute(f"SELECT {_COLUMNS} FROM jobs {where}", values)]

    def _change(self, statement: str, values: Sequence[object]) -> bool:
        with self._connected() as connection:
            return connection.execute(statement, values).rowcount > 0

    # --- the server's side ---

    def add(
        self,
        job_id: str,
        *,
        pipeline_id: str,
        file_name: str,
        file_bytes: int,
        request: Mapping[str, Any],
        key: str | None,
    ) -> JobRow:
        """A new job; with a key that is taken, the job that has it."""
        values = (job_id, pipeline_id, file_name, file_bytes, orjson.dumps(request).decode(), key, time.time())
        self._change(
            "INSERT INTO jobs (id, state, pipeline_id, file_name, file_bytes, request, key, created_s) "
            "VALUES (?, 'queued', ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            values,
        )
        found = self.get(job_id) or (None if key is None else self.by_key(key))
        assert found is not None
        return found

    def get(self, job_id: str) -> JobRow | None:
        return next(iter(self._select("WHERE id = ?", (job_id,))), None)

    def by_key(self, key: str) -> JobRow | None:
        return next(iter(self._select("WHERE key = ?", (key,))), None)

    def page(self, *, before: int | None, limit: int, state: str | None = None) -> list[JobRow]:
        """Jobs, newest first; before: only those with a lower number."""
        where, values = "WHERE number < ?", [2**62 if before is None else before]
        if state is not None:
            where += " AND state = ?"
            return self._select(f"{where} ORDER BY number DESC LIMIT ?", (*values, state, limit))
        return self._select(f"{where} ORDER BY number DESC LIMIT ?", (*values, limit))

    def counts(self) -> dict[str, int]:
        with self._connected() as connection:
            rows = connection.execute("SELECT state, count(*) AS n FROM jobs GROUP BY state")
            return {row["state"]: row["n"] for row in rows}

    def ahead(self, job: JobRow) -> int:
        """Jobs that wait before this one."""
        with self._connected() as connection:
            found = connection.execute(
                "SELECT count(*) AS n FROM jobs WHERE state = 'queued' AND number < ?", (job.number,)
            ).fetchone()
            return cast(int, found["n"])

    def cancel(self, job_id: str) -> bool:
        """Cancel what waits at once, and have what runs stopped by its worker; False when it is neither."""
        now = time.time()
        waiting = self._change(
            "UPDATE jobs SET state = 'cancelled', ended_s = ?, cancel = 1 WHERE id = ? AND state = 'queued'",
            (now, job_id),
        )
        return waiting or self._change("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (job_id,))

    def remove(self, job_id: str) -> bool:
        """Forget a job that is over."""
        return self._change("DELETE FROM jobs WHERE id = ? AND state NOT IN ('queued', 'running')", (job_id,))

    def ids(self) -> set[str]:
        """Jobs that have files."""
        with self._connected() as connection:
            return {row["id"] for row in connection.execute("SELECT id FROM jobs WHERE state <> 'cancelled'")}

    def over(self) -> list[JobRow]:
        """Jobs that are over, oldest first."""
        return self._select("WHERE state NOT IN ('queued', 'running') ORDER BY ended_s, number")

    # --- the workers' side ---

    def due(self) -> list[str]:
        """Jobs that may be started now, oldest first."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT id FROM jobs WHERE state = 'queued' AND not_before_s <= ? ORDER BY number LIMIT 10000",
                (time.time(),),
            )
            return [row["id"] for row in rows]

    def claim(self, job_id: str, owner: str, lease_s: float) -> JobRow | None:
        """Take a waiting job; None if it does not wait any more."""
        now = time.time()
        taken = self._change(
            "UPDATE jobs SET state = 'running', lease_owner = ?, lease_until_s = ?, started_s = coalesce(started_s, ?), process = NULL "
            "WHERE id = ? AND state = 'queued' AND not_before_s <= ?",
            (owner, now + lease_s, now, job_id, now),
        )
        return self.get(job_id) if taken else None

    def renew(
        self, job_id: str, owner: str, lease_s: float, *, process: str, done: int, total: int | None, rate: float | None
    ) -> bool | None:
        """Keep the lease and note how far the job is. None: the lease is lost; True: the job is to be cancelled."""
        with self._connected() as connection:
            rows = connection.execute(
                "UPDATE jobs SET lease_until_s = ?, process = ?, done = ?, total = ?, rate = ? "
                "WHERE id = ? AND lease_owner = ? AND state = 'running' RETURNING cancel",
                (time.time() + lease_s, process, done, total, rate, job_id, owner),
            ).fetchall()
            return bool(rows[0]["cancel"]) if rows else None

    def end(self, job_id: str, owner: str, ending: Ending) -> bool:
        """Note how it ended; False if the lease is lost."""
        summary = None if ending.summary is None else orjson.dumps(ending.summary).decode()
        return self._change(
            "UPDATE jobs SET state = ?, ended_s = ?, exit_code = ?, word = ?, message = ?, summary = ?, lines = ?, result_bytes = ?, "
            "done = coalesce(?, done), total = coalesce(total, ?), lease_owner = NULL, lease_until_s = NULL, process = NULL "
            "WHERE id = ? AND lease_owner = ? AND state = 'running'",
            (
                ending.state, time.time(), ending.exit_code, ending.word, ending.message, summary, ending.lines, ending.result_bytes,
                ending.lines, ending.lines, job_id, owner,
            ),
        )  # fmt: skip

    def give_back(self, job_id: str, owner: str, *, after_s: float = 0.0, crashed: bool = False) -> bool:
        """Let a running job wait again."""
        return self._change(
            "UPDATE jobs SET state = CASE WHEN cancel THEN 'cancelled' ELSE 'queued' END, "
            "ended_s = CASE WHEN cancel THEN ? ELSE NULL END, not_before_s = ?, crashes = crashes + ?, "
            "lease_owner = NULL, lease_until_s = NULL, process = NULL WHERE id = ? AND lease_owner = ? AND state = 'running'",
            (time.time(), time.time() + after_s, int(crashed), job_id, owner),
        )

    def running(self) -> list[tuple[JobRow, bool]]:
        """Running jobs, and whether their lease is over."""
        now = time.time()
        with self._connected() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, lease_until_s < {now!r} AS late FROM jobs WHERE state = 'running'"
            ).fetchall()
        found = []
        for row in rows:
            values = dict(row)
            late = bool(values.pop("late"))
            found.append((_job(cast(sqlite3.Row, values)), late))
        return found

    def seen(self, worker: str, slots: int) -> None:
        """Note that a worker lives; forget those that have not for long."""
        now = time.time()
        self._change("INSERT OR REPLACE INTO workers (id, seen_s, slots) VALUES (?, ?, ?)", (worker, now, slots))
        self._change("DELETE FROM workers WHERE seen_s < ?", (now - 300,))

    def left(self, worker: str) -> None:
        self._change("DELETE FROM workers WHERE id = ?", (worker,))

    def workers(self, within_s: float) -> int:
        """Workers that were seen lately."""
        with self._connected() as connection:
            found = connection.execute("SELECT count(*) AS n FROM workers WHERE seen_s > ?", (time.time() - within_s,))
            return cast(int, found.fetchone()["n"])


def new_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_hex(16)
