"""The decoders by name; loads nothing, so that a command line can list them."""

from __future__ import annotations

from typing import Literal, get_args

Decoder = Literal["auto", "opencv", "pyav"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
