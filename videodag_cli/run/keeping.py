"""Results kept from run to run: whose video they are of, and when they may be trusted."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from videodag_cli.engine.cache_folder import CacheFolder, digest_of
from videodag_cli.engine.kept import KeptResults
from videodag_cli.errors import InputError, printable
from videodag_cli.run.job import Job
from videodag_cli.run.record import Identity, digest_file
from videodag_cli.video.choice import choose_decoder
from videodag_cli.video.reader import Reader
from videodag_cli.video.source import Probe
from videodag_cli.video.unread import UnreadFrames

SETTLED_NS = 2_000_000_000
"""A file that changed less than this long before its digest was taken may change again without another time."""
_DIGEST = b"digest"


@dataclass(frozen=True)
class Keeping:
    """What is kept of a job's video, and the digest of its content."""

    results: KeptResults
    digest: str

    @classmethod
    def of(cls, job: Job, identity: Identity, probe: Probe, targets: NDArray[np.int64]) -> Keeping | None:
        """None where the job has no cache. Raises `OutputError` for a folder that cannot be used."""
        options = job.options
        if options.cache is None:
            return None
        folder = CacheFolder(Path(options.cache), max_bytes=options.cache_bytes)
        digest = _digest(folder, job, identity)
        decoder = choose_decoder(probe, decoder=options.decoder).name
        key = digest_of("video", digest, probe.stream_index, decoder)
        return cls(KeptResults(folder, key, targets.tolist(), shown=printable(job.path.name, limit=80)), digest)

    def watch(self, job: Job, identity: Identity, reader: Reader) -> None:
        """Keep nothing any more from where the file changed, or a picture was damaged."""

        def may_write() -> bool:
            return not _is_damaged(reader) and identity.same_stat(job.identity())

        def unless_gone() -> bool:
            try:
                return may_write()
            except InputError:
                return False

        self.results.may_write = unless_gone

    def unread(self, probe: Probe, targets: NDArray[np.int64], *, decoder: str, after: int) -> UnreadFrames | None:
        """The frames behind `after` without pictures; None unless all of them were decoded before without a sign of damage."""
        reading = self.results.reading()
        if reading is None:
            return None
        left = np.compress(targets > after, targets)
        choice = choose_decoder(probe, decoder=decoder)
        return UnreadFrames(probe, left, choice, decoded_count=reading["decoded_count"], remarks=reading["remarks"])

    def keep_reading(self, reader: Reader) -> None:
        """Note that the whole sampling was decoded."""
        if not isinstance(reader, UnreadFrames) and not _is_damaged(reader):
            self.results.keep_reading({"decoded_count": reader.decoded_count, "remarks": reader.remarks})


def _is_damaged(reader: Reader) -> bool:
    return bool(reader.problems or reader.after_damage_count or len(reader.undecodable))


def _digest(folder: CacheFolder, job: Job, identity: Identity) -> str:
    """Of the input's content; a file of equal size, time and inode as one whose digest is known has that one."""
    key = digest_of("input", identity.size, identity.mtime_ns, identity.inode, os.stat(job.path).st_dev)
    known = folder.read(key, most_bytes=1 << 20).get(_DIGEST)
    if known is not None:
        return str(orjson.loads(known))
    settled = time.time_ns() - identity.mtime_ns > SETTLED_NS
    digest = digest_file(job.path)
    if not identity.same_stat(job.identity()):
        raise InputError(
            f"{printable(job.path)}: changed while it was read; run again when it is complete", word="input.changed"
        )
    if settled:
        about = {"video": printable(job.path.name, limit=80), "tool": "digest"}
        folder.write(key, {_DIGEST: orjson.dumps(digest)}, about)
    return digest
