"""System calls that fail at chosen moments, and disks that are full at every size: an error, and then the undisturbed file."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

from tests.clips import encode
from tests.commands import ROOT, call, pipeline, run_arguments
from tests.graphs import node
from tests.soak.table import Tally

CALLS = {
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EACCES"),
    "ftruncate": ("EIO",),
    "openat": ("EMFILE", "EACCES", "ENOSPC", "EIO"),
    "flock": ("EOPNOTSUPP", "ENOLCK", "EAGAIN", "EIO"),
    "lseek": ("EIO",),
    "unlink": ("EIO",),
}


def _prepared(folder: Path) -> tuple[Path, Path, bytes]:
    """A clip, a pipeline with state, and what it ends in."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = encode(folder / "clip.mp4", indices=range(20))
    path = pipeline(folder, ["counter", "hostile.kept", node("hostile.long", length=3000), "hostile.slow"])
    reference = folder / "reference.jsonl"
    done = call(run_arguments(clip, path, "-q", "-o", reference))
    assert done.code == 0, done.err
    return clip, path, reference.read_bytes()


def faults(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """`count` runs in which one system call on the output fails once, or from some time on. Needs strace."""
    tally = Tally("one system call on the output fails; then the same command")
    if shutil.which("strace") is None:
        tally.problem("all", "strace is not installed")
        return tally
    folder = folder / f"faults-{os.getpid()}"
    clip, path, reference = _prepared(folder)
    chance = random.Random(seed)
    end = time.monotonic() + deadline_s
    for _ in range(count):
        if time.monotonic() > end:
            break
        output = folder / "out" / "o.jsonl"
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir()
        name = chance.choice(list(CALLS))
        error = chance.choice(CALLS[name])
        when = f"{chance.randint(1, 12)}{chance.choice(['', '+'])}"
        row = f"{name} {error}"
        arguments = run_arguments(clip, path, "-q", "-o", output, "--checkpoint-every", "0.02")
        places = [
            str(output) + ending
            for ending in ("", ".part", ".part.json", ".part.json.tmp", ".run.json", ".run.json.tmp")
        ]
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={name}:error={error}:when={when}"]
        for place in places:
            strace += ["-P", place]
        try:
            done = call([*strace, *arguments], timeout_s=60)
        except (AssertionError, subprocess.TimeoutExpired) as failed:
            tally.problem(row, f"at {when}: {str(failed)[:300]}")
            continue
        tally.add(row, f"exit {done.code}")
        tally.require(row, done.code in (0, 6), f"at {when}: exit code {done.code}: {done.err}")
        tally.require(row, done.err.count("\n") <= 1, f"at {when}: {done.err}")
        if output.exists():
            tally.require(
                row, output.read_bytes() == reference, f"at {when}: a file under the final name is not complete"
            )
        again = call(arguments)
        tally.require(row, again.code == 0, f"at {when}, again: exit code {again.code}: {again.err}")
        same = output.exists() and output.read_bytes() == reference
        tally.add(row, "equal bytes" if same else "different bytes")
        tally.require(row, same, f"at {when}: the file differs from the undisturbed run's")
    return tally


def disk(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """Disks of growing size, full at another place each; then room is made. Needs the right to mount."""
    tally = Tally("disks of growing size; then room is made, and the same command")
    folder = folder / f"disk-{os.getpid()}"
    clip, path, reference = _prepared(folder)
    mount = folder / "mount"
    mount.mkdir()
    end = time.monotonic() + deadline_s
    pages = min(count, 40)
    for page in range(1, pages + 1):
        if time.monotonic() > end:
            break
        size = 4096 * (page + 1)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount], capture_output=True)
        if made.returncode:
            tally.problem("all", "nothing can be mounted here")
            return tally
        try:
            for format in ("jsonl", "list"):
                output = mount / f"o.{format}"
                arguments = run_arguments(
                    clip, path, "-q", "-o", output, "--checkpoint-every", "0.02", "--format", format
                )
                subprocess.run(["mount", "-o", f"remount,size={size}", mount], check=True)
                done = call(arguments)
                tally.add(format, f"exit {done.code}")
                tally.require(format, done.code in (0, 6), f"{size} bytes: exit code {done.code}: {done.err}")
                tally.require(format, done.code == 0 or not output.exists(), f"{size} bytes: failed, and yet there")
                subprocess.run(["mount", "-o", "remount,size=8m", mount], check=True)
                again = call(arguments)
                tally.require(format, again.code == 0, f"{size} bytes, again: {again.code}: {again.err}")
                if format == "jsonl":
                    same = output.read_bytes() == reference
                    tally.add(format, "equal bytes" if same else "different bytes")
                    tally.require(format, same, f"{size} bytes: the file differs")
                for left in mount.iterdir():
                    left.unlink()
        finally:
            subprocess.run(["umount", "-l", mount], check=True)
    return tally


def files(folder: Path, *, count: int, seed: int = 0, deadline_s: float = float("inf")) -> Tally:
    """Which files and addresses a run opens, over hostile inputs too: only those that were named. Needs strace."""
    import sys
    import sysconfig

    tally = Tally("files opened and addresses called by runs over hostile inputs")
    if shutil.which("strace") is None:
        tally.problem("all", "strace is not installed")
        return tally
    folder = folder / f"files-{os.getpid()}"
    _, path, _ = _prepared(folder)
    secret = folder / "secret"
    secret.write_text("not to be read")
    texts = {
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
        "list.mp4": f"#EXTM3U\n#EXTINF:10,\n{secret}\nhttp://127.0.0.1:9/x.ts\n",
        "dash.mp4": f'<?xml version="1.0"?><MPD><BaseURL>file://{secret}</BaseURL></MPD>',
        "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    own = [sys.prefix, sys.base_prefix, str(ROOT), *sysconfig.get_paths().values()]
    system = ["/lib", "/usr", "/etc/ld.so", "/proc", "/sys", "/dev/null", "/dev/urandom", "/etc/localtime", "/etc/ssl"]
    for name in ["clip.mp4", *texts][:count]:
        output = folder / "seen" / "o.jsonl"
        shutil.rmtree(output.parent, ignore_errors=True)
        output.parent.mkdir()
        trace = folder / "trace"
        watched = [
            "strace",
            "-f",
            "-qq",
            "-o",
            str(trace),
            "-e",
            "trace=open,openat,connect,execve,unlink,rename,mkdir",
        ]
        done = call([*watched, *run_arguments(folder / name, path, "-q", "-o", output)], timeout_s=120)
        tally.add(name, f"exit {done.code}")
        allowed = (*own, *system, str(output.parent), str(path), str(folder / name))
        for line in trace.read_text(errors="replace").splitlines():
            if "connect(" in line and "AF_UNIX" not in line:
                tally.problem(name, line)
            opened = line.split('"')[1] if '"' in line and "ENOENT" not in line else ""
            if opened.startswith("/"):
                tally.add(name, "opened")
                tally.require(name, opened.startswith(allowed), line)
    return tally
