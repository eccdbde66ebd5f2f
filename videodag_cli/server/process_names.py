"""Processes by names that stay right when a number is used again, or when another machine has the same one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from functools import cache
from pathlib import Path


@cache
def node() -> str:
    """This machine, since it was started, and the space in which its process numbers hold; several containers differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname().replace("/", "_")


def started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None where there is none, or it is over and not yet waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def name_of(pid: int) -> str:
    """`node/pid/start`."""
    return f"{node()}/{pid}/{started(pid) or '-'}"


def is_gone(name: str | None) -> bool:
    """Whether a process certainly does not run any more; False where that cannot be known from here."""
    here, pid, start = _parts(name)
    return here and start != "-" and started(pid) != start


def kill(name: str | None) -> None:
    """End a process of this machine, with its group, if it is still the one that was named."""
    here, pid, start = _parts(name)
    if here and start != "-" and pid > 1 and started(pid) == start:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _parts(name: str | None) -> tuple[bool, int, str]:
    place, _, rest = (name or "").partition("/")
    pid, _, start = rest.partition("/")
    return place == node() and pid.isdigit(), int(pid) if pid.isdigit() else 0, start
