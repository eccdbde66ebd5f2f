"""Reading video files: what a file holds, which frames are sampled, and their pictures in order.

Importing this package loads neither OpenCV nor PyAV; the public names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videodag_cli.lazy import lazy_names

_HOMES = {
    "DecoderChoice": "choice",
    "Limits": "limits",
    "PacketIndex": "index",
    "Position": "sampling",
    "Probe": "source",
    "Reader": "reader",
    "Sampling": "sampling",
    "VideoFacts": "facts",
    "choose_decoder": "choice",
    "decode_everything": "full",
    "open_reader": "opening",
    "parse_position": "sampling",
    "probe": "probing",
    "select": "sampling",
}

__all__ = [
    "DecoderChoice",
    "Limits",
    "PacketIndex",
    "Position",
    "Probe",
    "Reader",
    "Sampling",
    "VideoFacts",
    "choose_decoder",
    "decode_everything",
    "open_reader",
    "parse_position",
    "probe",
    "select",
]

if TYPE_CHECKING:
    from videodag_cli.video.choice import DecoderChoice, choose_decoder
    from videodag_cli.video.facts import VideoFacts
    from videodag_cli.video.full import decode_everything
    from videodag_cli.video.index import PacketIndex
    from videodag_cli.video.limits import Limits
    from videodag_cli.video.opening import open_reader
    from videodag_cli.video.probing import probe
    from videodag_cli.video.reader import Reader
    from videodag_cli.video.sampling import Position, Sampling, parse_position, select
    from videodag_cli.video.source import Probe


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
