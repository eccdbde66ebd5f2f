"""Every Nth frame, where skipping may save decoding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.benchmarks.contenders import decoders, reference, videodag, videodag_check
from tests.benchmarks.measure import Contender
from tests.benchmarks.report import Section, Settings, compare

Limits = Mapping[str, Mapping[str, float]]

_FORCED_5 = {"cpu": 0.95, "wall": 1.0}
_FORCED_30 = {"cpu": 0.85, "wall": 1.0}
CASES: tuple[tuple[str, int, Limits], ...] = (
    ("gop250", 5, {"auto": {"wall": 0.70, "cpu": 0.70}, "opencv": _FORCED_5}),
    ("gop30", 5, {"auto": {"wall": 0.70, "cpu": 0.70}, "opencv": _FORCED_5}),
    ("gop250", 30, {"auto": {"wall": 0.55, "cpu": 0.55}, "opencv": _FORCED_30}),
    ("gop30", 30, {"auto": {"wall": 0.18, "cpu": 0.28}, "opencv": _FORCED_30}),
    ("gop30", 300, {"auto": {"wall": 0.12, "cpu": 0.12}, "opencv": {"wall": 1.0}}),
    ("hevc720", 5, {}),
    ("vfr720", 5, {}),
)
KEYFRAMES = {"wall": 0.10, "cpu": 0.10}
GOP = 250


def measure(settings: Settings) -> Iterator[Section]:
    for name, stride, limits in CASES:
        clip = settings.clip(name)
        options = ("--frame-stride", str(stride))
        contenders = decoders(clip, stride=stride, options=options, limits=limits)
        if (name, stride) == ("gop250", 30):
            chosen = range(0, len(reference(clip)), GOP)
            contenders.append(
                Contender(
                    "videodag run --keyframes",
                    videodag(clip, "--keyframes"),
                    contenders[0].name,
                    KEYFRAMES,
                    check=videodag_check(clip, chosen, ("--keyframes",)),
                )
            )
        yield compare(f"sampling: 1 in {stride} of {name}", contenders, settings)
