"""Damaged clips and odd streams in random samplings: a frame that two of them have is the same, or neither calls itself good."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.clips import VALID, valid
from tests.oddities import NAMES, odd
from tests.samplings import broken_off, disagreements, some
from tests.soak.fuzz import DAMAGES
from tests.soak.table import Tally
from videodag_cli.errors import InputError
from videodag_cli.video.probing import probe

SAMPLINGS = 8
CONTINUED = 4


def samplings(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """`count` files, every second one a damaged clip of a valid class, the others odd streams."""
    tally = Tally("files in random samplings, and continued at random frames")
    chance = random.Random(seed)
    folder = folder / f"samplings-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(VALID)
    end = time.monotonic() + deadline_s
    for number in range(count):
        if time.monotonic() > end:
            break
        if number % 2:
            codec, change, place = chance.choice(NAMES)
            row, name = codec, f"{codec}, {change}, {place}"
            path = odd(codec, change, place, folder)
        else:
            name = names[number // 2 % len(names)]
            row = chance.choice(list(DAMAGES))
            source = valid(name, folder)
            data = bytearray(source.read_bytes())
            DAMAGES[row](data, chance)
            path = folder / f"damaged{source.suffix}"
            path.write_bytes(data)
        try:
            found = probe(path)
            if len(found.index) < 2:
                raise InputError("one frame has no samplings")
            outcomes = some(found, chance, SAMPLINGS)
            problems = disagreements(outcomes, losses=bool(number % 2)) + broken_off(found, chance, CONTINUED)
        except InputError:
            tally.add(row, "refused")
            continue
        tally.add(row, "whole" if outcomes[0].good else "damaged")
        if problems:
            kept = folder.parent / f"samplings-{seed}-{number}{path.suffix}"
            kept.write_bytes(path.read_bytes())
            tally.problem(row, f"{name} (number {number}, seed {seed}): {problems[0]}; kept as {kept}")
    return tally
