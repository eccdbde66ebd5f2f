"""Commands that cut ranges out of a video, for ffmpeg 5.1 and later.

Times are those of the container, as `time_s` is (`-seek_timestamp`), and each names a frame: ffmpeg finds exactly that frame, also where
the rate varies or the first frame is not at 0.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from videodag_cli.convert.cut_method import CutMethod
from videodag_cli.errors import InputError, RequestError, printable
from videodag_cli.expressions.timing import TimeRange
from videodag_cli.results.reading import shown_name
from videodag_cli.video.probing import probe


class Cutter:
    """Cuts ranges out of one video; results of another one are refused."""

    def __init__(self, video: Path, *, results: str | Path, stream: int | None = None) -> None:
        self._video, self._results = video, results
        self._found = probe(video, stream=stream)
        self._times_us = self._found.index.times_us()
        self._count = 0

    def command(self, found: TimeRange, how: CutMethod) -> str:
        """The line that writes the range to a file of its own; its name is the video's with the range's rank."""
        start_us, end_us = self._bounds(found)
        self._count += 1
        name = f"{self._video.stem}-{self._count:04d}"
        if how == "copy":
            coding = ["-c", "copy", "-avoid_negative_ts", "make_zero"]
        else:
            coding = [
                "-c:v",
                "libx264",
                "-crf",
                "18",
                "-fps_mode",
                "passthrough",
                "-enc_time_base",
                "-1",
                "-c:a",
                "aac",
            ]
        words = ["ffmpeg", "-nostdin", "-v", "error", "-n", "-seek_timestamp", "1", "-ss", _seconds(start_us)]
        words += [] if end_us is None else ["-to", _seconds(end_us)]
        words += ["-i", _file(self._video), "-map", f"0:{self._found.stream_index}", "-map", "0:a?", *coding]
        return shlex.join([*words, _file(Path(f"{name}{self._video.suffix.lower() if how == 'copy' else '.mp4'}"))])

    def _bounds(self, found: TimeRange) -> tuple[int, int | None]:
        """Where the range begins and ends, in microseconds; None for an end behind the last frame."""
        count, times_us = len(self._times_us), self._times_us
        first, last = found.start_frame, found.end_frame
        start_us, end_us = round(found.start_s * 1_000_000), round(found.end_s * 1_000_000)
        if last >= count or int(times_us[first]) != start_us:
            raise InputError(
                f"{shown_name(self._results)}: these are not the results of {printable(self._video)}: frame {first} is not at "
                f"{found.start_s:g} s there; name the correct video with --video",
                word="input.changed",
            )
        if start_us < 0:
            raise RequestError(f"frame {first} is at {found.start_s:g} s: ffmpeg cannot seek to times before 0")
        end_us = max(end_us, int(times_us[last]) + 1)
        return start_us, None if end_us > int(times_us[-1]) else end_us


def _seconds(time_us: int) -> str:
    whole, rest = divmod(time_us, 1_000_000)
    return f"{whole}.{rest:06d}"


def _file(path: Path) -> str:
    """A file's name that ffmpeg takes for neither an option nor a protocol."""
    text = str(path)
    return text if path.is_absolute() or (":" not in text and not text.startswith("-")) else f"file:{text}"
