"""What a service is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class ServiceLimits:
    """What a client may ask for; each message names the option of `videodag serve` that raises the limit."""

    max_upload_bytes: int = 4 << 30
    """`--max-upload`"""
    max_waiting: int = 1000
    """Jobs that wait or run (`--max-waiting`)."""
    sync_bytes: int = 20 << 20
    """Uploads up to this size may be answered with results (`--sync-size`)."""
    sync_wait_s: float = 60.0
    """The longest that a request waits for them."""
    inline_lines: int = 1000
    """A job's answer holds its results up to this many lines, and `inline_bytes`."""
    inline_bytes: int = 1 << 20
    job_timeout_s: float | None = 6 * 3600.0
    """`--job-timeout`"""
    job_memory_bytes: int | None = 4 << 30
    """`--job-memory`"""
    max_pixels: int | None = None
    max_frames: int | None = None
    keep_s: float | None = 30 * 86400.0
    """Finished jobs go after this time (`--keep-days`)."""
    keep_bytes: int | None = None
    """The oldest finished jobs go when the files of all jobs take more (`--keep-size`)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A service: where its data is, who may use it, and its limits."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8080
    jobs: int = 1
    """Videos at once; 0 starts no worker here."""
    queue: str | None = None
    """`redis://...`; None for the queue in the data folder."""
    lease_s: float = 10.0
    """A worker that says nothing for this long has lost its job."""
    token: str | None = None
    names: frozenset[str] = frozenset()
    """Host names it answers to, besides loopback and addresses."""
    pipeline_folders: tuple[Path, ...] = ()
    plugin_folders: tuple[Path, ...] = ()
    cache: Path | None = None
    """Absolute path of a folder in which jobs keep results of costly tools (`--cache`)."""
    cache_bytes: int | None = None
    """About the most that is kept there."""
    limits: ServiceLimits = field(default_factory=ServiceLimits)
