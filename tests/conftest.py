"""What holds for every test: the shared folder is there before the processes are that share it; properties are never timed; what is
started at great cost is started once, and not in the daily loop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.browser import launched
from tests.shared import shared_folder

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

COSTLY = ("cluster", "server", "browser")
"""Fixtures that start other programs. Tests that use one are slow, and one process runs all of them."""


def pytest_configure() -> None:
    shared_folder()
    # Commands that tests start keep what they compiled, as an installed package does: a third of a start, hundreds of times.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(
    scope="module"
)  # not longer: while a browser is open, nothing else in this process can run an event loop
def browser() -> Iterator[Any]:
    with launched() as opened:
        yield opened


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests with costly fixtures, and share the tests out so that all processors are busy all the time: the first process of
    xdist begins with the tests that wait, the second one with those of the browser, and both end with what is left of the others."""
    groups: dict[str, list[pytest.Item]] = {"": [], **{name: [] for name in COSTLY}, "waits": []}
    for item in items:
        uses = next((name for name in COSTLY if name in getattr(item, "fixturenames", ())), "")
        if uses:
            item.add_marker(pytest.mark.slow)
        elif item.get_closest_marker("waits"):
            uses = "waits"
        groups[uses].append(item)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    second = len(items) // processes if processes > 1 else len(items)
    items[:] = [*groups["cluster"], *groups["server"], *groups["waits"], *groups[""]]
    items[second:second] = groups["browser"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each process begins with an equal run of neighbours; one that is done takes the last ones of another."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)
