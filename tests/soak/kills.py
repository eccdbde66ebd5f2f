"""SIGKILL at random times, then the same command: the file equals that of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clips import encode
from tests.commands import call, pipeline, run_arguments, start
from tests.graphs import node
from tests.soak.table import Tally

FRAMES = 80
_WAIT = node("hostile.slow", sleep_s=0.004)
_FAILS = node("fails:hostile.stateless", at=[11, 42])
KINDS: dict[str, tuple[list[dict[str, Any] | str], str]] = {
    "stateless": ([_WAIT, _FAILS, "mean"], ""),
    "batches": ([_WAIT, node("some:hostile.batches", at=[5]), "mean"], ""),
    "checkpointed": ([_WAIT, _FAILS, "counter", "hostile.kept", "freeze:quality.freeze", "scene.content"], ""),
    "replayed": (
        [_WAIT, _FAILS, "counter", "hostile.replayed", "motion.foreground", "motion.regions", "scene.adaptive"],
        "foreground>regions",
    ),
}


@dataclass(frozen=True)
class Variant:
    """A pipeline of one kind, with its command and the bytes it ends in."""

    name: str
    arguments: tuple[str, ...]
    output: Path
    reference: bytes
    took_s: float


def variants(
    folder: Path, *, kinds: Collection[str] = KINDS, formats: Collection[str] = ("jsonl", "list")
) -> Iterator[Variant]:
    """Every way of continuing, each as lines and as one document."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "clip.mp4"
    if not clip.exists():
        encode(clip, indices=range(FRAMES))
    for kind in kinds:
        nodes, edges = KINDS[kind]
        path = pipeline(folder, nodes, edges, id=kind)
        for format in formats:
            output = folder / f"{kind}.{format}"
            arguments = run_arguments(
                clip,
                path,
                "-q",
                "-o",
                output,
                "--format",
                format,
                "--checkpoint-every",
                "0.03",
                "--tag",
                "kind=" + kind,
            )
            remove(output)
            began = time.monotonic()
            done = call(arguments)
            assert done.code == 4, done.err  # the frames that fail are on record
            yield Variant(f"{kind} {format}", tuple(arguments), output, output.read_bytes(), time.monotonic() - began)


def remove(output: Path) -> None:
    for path in output.parent.glob(output.name + "*"):
        path.unlink()


def kill_once(variant: Variant, chance: random.Random, tally: Tally) -> None:
    """One kill, perhaps more, and the run that finishes."""
    remove(variant.output)
    part = variant.output.with_name(variant.output.name + ".part")
    most = 0
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        process = start(variant.arguments)
        _wait(process, part, variant, chance)
        finished = process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if finished or variant.output.exists():
            tally.add(variant.name, "too late")
            break
        tally.add(variant.name, "kills")
        lines = part.read_bytes().count(b"\n") if part.exists() else 0
        tally.require(variant.name, lines >= most, f"{most} lines became {lines}")
        most = max(most, lines)
    done = call(variant.arguments)
    tally.add(variant.name, "continued" if most else "begun again")
    if done.code != 4:
        tally.problem(variant.name, f"exit code {done.code}: {done.err}")
        return
    same = variant.output.read_bytes() == variant.reference
    tally.add(variant.name, "equal bytes" if same else "different bytes")
    tally.require(variant.name, same, "the file differs from the undisturbed run's")
    expected = {variant.output.name, variant.output.name + ".run.json"}
    left = {path.name for path in variant.output.parent.glob(variant.output.name + "*")}
    tally.require(variant.name, left == expected, f"left behind: {sorted(left - expected)}")


def _wait(process: subprocess.Popen[bytes], part: Path, variant: Variant, chance: random.Random) -> None:
    """To some time within the run: any at all, or one at which it writes."""
    if chance.random() < 0.2:
        time.sleep(variant.took_s * chance.uniform(0, 1.05))
        return
    size = len(variant.reference) * chance.uniform(0, 1.02)
    while process.poll() is None and not variant.output.exists():
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_size >= size:
                break
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.02))


def kills(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """At least `count` kills, spread over all kinds."""
    tally = Tally(f"SIGKILL at random times, {count} at least; then the same command")
    chance = random.Random(seed)
    all_variants = list(variants(folder / f"kills-{os.getpid()}"))
    end = time.monotonic() + deadline_s
    done = 0
    while done < count and time.monotonic() < end:
        for variant in all_variants:
            kill_once(variant, chance, tally)
        done = sum(counter["kills"] for counter in tally.counts.values())
    return tally
