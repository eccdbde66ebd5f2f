"""The commands that are measured, and how their results are checked."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks import clips
from tests.benchmarks.measure import PYTHON, ROOT, VIDEODAG, Contender, FailedRunError

HERE = Path(__file__).parent
PLUGINS = HERE / "plugins"

Pictures = dict[int, int]
"""Frame index -> CRC-32 of the BGR picture."""


def command(name: str) -> str:
    """The path of a command. Raises `FailedRunError` where it is not installed."""
    beside = Path(PYTHON).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FailedRunError(f"the command {name} is not installed")
    return found


def pipeline(name: str) -> str:
    """One of the benchmark's own pipelines, or a shipped one."""
    own = HERE / "pipelines" / f"{name}.json"
    return str(own) if own.exists() else f"builtin:{name}"


def videodag(clip: Path, *options: str, run: str = "bench_null") -> list[str]:
    return [VIDEODAG, "run", "-q", "-p", pipeline(run), "--plugins-dir", str(PLUGINS), *options, str(clip)]


def loop(name: str, clip: Path, *arguments: object) -> list[str]:
    return [PYTHON, str(HERE / "loops" / f"{name}.py"), str(clip), *map(str, arguments)]


def ffmpeg(clip: Path, *, stride: int = 1, output: Sequence[str] = ("-f", "rawvideo")) -> list[str]:
    """Every Nth frame as BGR."""
    chosen = ["-vf", rf"select=not(mod(n\,{stride}))"] if stride > 1 else []
    passing = ["-vsync", "passthrough", "-pix_fmt", "bgr24"]
    return [command("ffmpeg"), "-v", "error", "-i", str(clip), *chosen, *passing, *output, "-"]


def decoders(
    clip: Path, *, stride: int, options: Sequence[str], limits: Mapping[str, Mapping[str, float]]
) -> list[Contender]:
    """What gives every Nth frame as a BGR picture, each checked frame by frame against the loop with OpenCV."""
    every = range(0, 1 << 60, stride)
    hand = f"read() loop, 1 in {stride}"
    found = [
        Contender(hand, loop("opencv_loop", clip, stride)),
        Contender(
            "videodag run",
            videodag(clip, *options),
            hand,
            limits.get("auto", {}),
            check=videodag_check(clip, every, options),
        ),
    ]
    forced = [*options, "--decoder", "opencv"]
    found.append(
        Contender(
            "videodag run --decoder opencv",
            videodag(clip, *forced),
            hand,
            limits.get("opencv", {}),
            check=videodag_check(clip, every, forced),
        )
    )
    pyav = loop("pyav_loop", clip, stride)
    found.append(Contender("PyAV loop", pyav, hand, check=_check(clip, every, lambda: _printed([*pyav, "crc"]))))
    if shutil.which("ffmpeg"):
        found.append(
            Contender(
                "ffmpeg to BGR" if stride == 1 else "ffmpeg select to BGR",
                ffmpeg(clip, stride=stride),
                hand,
                check=_check(clip, every, lambda: _hashed(clip, stride)),
            )
        )
    return found


def videodag_check(clip: Path, indices: Sequence[int], options: Sequence[str]) -> Callable[[], str | None]:
    return _check(clip, indices, lambda: _lines(videodag(clip, *options, run="bench_crc")))


def _check(clip: Path, indices: Sequence[int], pictures: Callable[[], Pictures]) -> Callable[[], str | None]:
    """A check that exactly the frames `indices` (as far as the clip goes) came, with the right pixels."""

    def check() -> str | None:
        truth = reference(clip)
        expected = {index: truth[index] for index in indices[: len(truth)] if index in truth}
        try:
            found = pictures()
        except FailedRunError as error:
            return str(error)
        wrong = sorted(index for index in expected.keys() | found.keys() if expected.get(index) != found.get(index))
        return f"{len(wrong)} of {len(expected)} frames are wrong, the first is {wrong[0]}" if wrong else None

    return check


def reference(clip: Path) -> Pictures:
    """Checksums of every frame, decoded one after the other; kept beside the benchmark's clips."""
    facts = clip.stat()
    path = clips.folder() / f"{clip.stem}.{facts.st_size}.{facts.st_mtime_ns}.crc.json"
    if not path.exists():
        path.write_text(json.dumps(_printed([*loop("opencv_loop", clip, 1), "crc"])))
    return {int(index): crc for index, crc in json.loads(path.read_text()).items()}


def output_of(arguments: Sequence[str]) -> str:
    """Standard output of a command. Raises `FailedRunError`."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise FailedRunError(f"{arguments[0]}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def _printed(arguments: Sequence[str]) -> Pictures:
    """Lines `index crc`."""
    return {int(index): int(crc) for index, crc in (line.split() for line in output_of(arguments).splitlines())}


def _lines(arguments: Sequence[str]) -> Pictures:
    lines = map(json.loads, output_of(arguments).splitlines())
    return {line["frame_index"]: line["result"]["crc"] for line in lines}


def _hashed(clip: Path, stride: int) -> Pictures:
    """What ffmpeg says about its pictures; it numbers them only by time."""
    arguments = ffmpeg(clip, stride=stride, output=("-f", "framehash", "-hash", "crc32"))
    rows = [line.split(",") for line in output_of(arguments).splitlines() if not line.startswith("#")]
    return {number * stride: int(row[-1], 16) for number, row in enumerate(rows)}
