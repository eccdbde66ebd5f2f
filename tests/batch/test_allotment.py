"""How a machine is shared among videos."""

from __future__ import annotations

from typing import Any

import pytest

from videodag_cli.batch.allotment import allot, share_of

GB = 1 << 30


@pytest.mark.parametrize(
    ("count", "given", "expected"),
    [
        (100, {"cpus": 8}, (8, 1)),
        (3, {"cpus": 8}, (3, 3)),
        (1, {"cpus": 8}, (1, 8)),
        (0, {"cpus": 8}, (1, 8)),
        (100, {"cpus": 8, "jobs": 1}, (1, 8)),
        (100, {"cpus": 8, "jobs": 3}, (3, 3)),
        (2, {"cpus": 8, "jobs": 4}, (4, 4)),
        (100, {"cpus": 2, "jobs": 4}, (4, 1)),
        (100, {"cpus": 8, "workers": 5}, (8, 5)),
        (100, {"cpus": 8, "memory_bytes": 5 * GB}, (4, 2)),
        (100, {"cpus": 8, "memory_bytes": GB // 2}, (1, 8)),
        (100, {"cpus": 8, "memory_bytes": GB // 2, "jobs": 6}, (6, 2)),
        (100, {"cpus": 8, "on_device": True}, (2, 4)),
    ],
)
def test_cpus_memory_and_the_number_of_videos_decide(
    count: int, given: dict[str, Any], expected: tuple[int, int]
) -> None:
    found = allot(count, **{"memory_bytes": 64 * GB, "each_bytes": GB, **given})
    assert (found.jobs, found.workers) == expected


def test_the_reason_names_what_was_short() -> None:
    assert allot(9, cpus=2, memory_bytes=None, each_bytes=GB).reason == "2 CPUs"
    short = allot(9, cpus=8, memory_bytes=4 * GB, each_bytes=GB)
    assert short.reason == "8 CPUs; 4.0 GB of memory are free, and a video takes about 1.0 GB"


def test_no_cpu_is_left_idle() -> None:
    assert all(share_of(cpus, running) * running >= cpus for cpus in range(1, 20) for running in range(1, 20))
