"""Every frame decoded, nothing done with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.benchmarks.contenders import decoders
from tests.benchmarks.measure import Contender
from tests.benchmarks.report import Section, Settings, compare

LIMITS = {"auto": {"wall": 1.0, "cpu": 1.02}, "opencv": {"wall": 1.0}}


def measure(settings: Settings) -> Iterator[Section]:
    for name, limits in (("gop250", LIMITS), ("hevc720", {}), ("vfr720", {})):
        clip = settings.clip(name)
        contenders = decoders(clip, stride=1, options=(), limits=limits)
        if shutil.which("ffmpeg"):
            null = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "null", "-"]
            contenders.append(Contender("ffmpeg -f null", null, contenders[0].name))
        yield compare(f"decode: every frame of {name}", contenders, settings)
