"""CPUs and memory that this process may use: what the machine has, less what affinity and control groups (versions 1 and 2) keep back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_USED_MEMORY = {"memory.max": ("memory.current", "inactive_file"), "memory.limit_in_bytes": (
    "memory.usage_in_bytes", "total_inactive_file")}  # fmt: skip
"""File of a group's limit -> file of what it uses, and what of that, in `memory.stat`, is given back when it is needed."""


def allowed_cpus(root: Path = Path("/")) -> int:
    """CPUs that may be used at once, at least 1; a share of a CPU that is at least a half counts as one.

    root: where `proc` and `sys` are.
    """
    count_own = getattr(os, "process_cpu_count", None)  # Python 3.13
    if count_own is not None:
        count = count_own() or 1
    else:
        try:
            count = len(os.sched_getaffinity(0))
        except AttributeError:  # macOS
            count = os.cpu_count() or 1
    shares = [share for folder in _groups("cpu", root) if (share := _cpu_share(folder)) is not None]
    return max(1, min([count, *(int(share + 0.5) for share in shares)]))


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had now without taking it from others; None where nothing says so."""
    found = []
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            found.append(int(rest.split()[0]) * 1024)
    found += [left for folder in _groups("memory", root) if (left := _memory_left(folder)) is not None]
    return min(found, default=None)


def _cpu_share(folder: Path) -> float | None:
    try:
        quota, period = (_lines(folder / "cpu.max") or ["max 1"])[0].split()[:2]
        if quota == "max":
            quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _memory_left(folder: Path) -> int | None:
    for limit, (used, reclaimable) in _USED_MEMORY.items():
        try:
            most, now = int(_number(folder / limit)), int(_number(folder / used))
        except ValueError:
            continue
        spare = next((line for line in _lines(folder / "memory.stat") if line.split()[0] == reclaimable), "0 0")
        return max(0, most - now + int(spare.split()[1]))
    return None


def _number(path: Path) -> str:
    return (_lines(path) or [""])[0]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the control groups that this process is in and that limit this, from its own to the outermost that is visible."""
    mounts: dict[str, tuple[str, Path]] = {}
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and controller in options.split(",")):
            fields = before.split()
            mounts[kind] = (fields[3], root / fields[4].lstrip("/"))
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, place = line.split(":", 2)
        kind = "cgroup2" if number == "0" and not controllers else "cgroup"
        if kind not in mounts or (kind == "cgroup" and controller not in controllers.split(",")):
            continue
        top, mount = mounts[kind]
        path = PurePosixPath(place)
        below = path.relative_to(top) if path.is_relative_to(top) else PurePosixPath()
        while True:
            yield mount / below
            if below == PurePosixPath():
                break
            below = below.parent
