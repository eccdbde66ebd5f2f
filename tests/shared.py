"""What several tests use is made once, also where several processes run the tests (`pytest -n`)."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

VARIABLE = "TESTS_SHARED_FOLDER"


@cache
def shared_folder() -> Path:
    """Where it is kept until the tests end; the first process makes the folder, those it starts inherit it."""
    inherited = os.environ.get(VARIABLE)
    if inherited is not None:
        return Path(inherited)
    folder = Path(tempfile.mkdtemp(prefix="videodag-tests-"))
    os.environ[VARIABLE] = os.fspath(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def made_once(path: Path, make: Callable[[Path], object]) -> Path:
    """The file or folder at this path, below the shared folder. `make` writes it to the path that it is given; where another
    process is doing so, this one waits."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new = path.with_name(f"new-{path.name}")
            make(new)
            new.rename(path)
    return path
