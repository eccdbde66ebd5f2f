"""What a process may use, read from made-up `proc` and `sys` folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from videodag_cli.system.allowance import allowed_cpus, available_bytes

GB = 1 << 30
MANY = 64


@pytest.fixture(autouse=True)
def _many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.process_cpu_count", lambda: MANY, raising=False)


def system(root: Path, files: dict[str, str], *, version: int = 2, place: str = "/a/b", top: str = "/") -> Path:
    (root / "proc/self").mkdir(parents=True)
    kind, number, options = ("cgroup2", "0::", "rw") if version == 2 else ("cgroup", "4:cpu,memory:", "rw,cpu,memory")
    (root / "proc/self/cgroup").write_text(f"9:name=systemd:/\n{number}{place}\n")
    (root / "proc/self/mountinfo").write_text(
        f"30 23 0:28 / /sys rw - sysfs sysfs rw\n31 30 0:29 {top} /sys/fs/cgroup rw,nosuid shared:9 - {kind} cgroup {options}\n"
    )
    (root / "proc/meminfo").write_text("MemTotal:       99 kB\nMemAvailable:   16777216 kB\n")
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, MANY),
        ({"a/b/cpu.max": "max 100000\n"}, MANY),
        ({"a/b/cpu.max": "200000 100000\n"}, 2),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "350000 100000\n"}, 4),
        ({"a/b/cpu.max": "800000 100000\n", "cpu.max": "300000 100000\n"}, 3),
        ({"a/b/cpu.max": "20000 100000\n"}, 1),
        ({"a/b/cpu.max": "nonsense\n"}, MANY),
    ],
)
def test_cpus_are_those_of_the_narrowest_group(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert allowed_cpus(system(tmp_path, files)) == expected


def test_version_1_has_other_files(tmp_path: Path) -> None:
    files = {"a/b/cpu.cfs_quota_us": "-1\n", "a/cpu.cfs_quota_us": "150000\n", "a/cpu.cfs_period_us": "50000\n"}
    files |= {
        "a/memory.limit_in_bytes": f"{4 * GB}\n",
        "a/memory.usage_in_bytes": f"{3 * GB}\n",
        "a/memory.stat": f"cache 1\ntotal_inactive_file {2 * GB}\n",
        "a/b/memory.limit_in_bytes": "9223372036854771712\n",
        "a/b/memory.usage_in_bytes": "1\n",
    }
    root = system(tmp_path, files, version=1)
    assert (allowed_cpus(root), available_bytes(root)) == (3, 3 * GB)


def test_a_container_sees_its_own_group_as_the_outermost(tmp_path: Path) -> None:
    root = system(tmp_path, {"cpu.max": "200000 100000\n"}, place="/docker/1", top="/docker/1")
    assert allowed_cpus(root) == 2


def test_memory_is_what_the_machine_and_every_group_have_left(tmp_path: Path) -> None:
    files = {
        "a/memory.max": f"{8 * GB}\n",
        "a/memory.current": f"{7 * GB}\n",
        "a/memory.stat": f"anon 5\ninactive_file {GB}\nactive_file 7\n",
        "a/b/memory.max": "max\n",
        "a/b/memory.current": "5\n",
    }
    assert available_bytes(system(tmp_path, files)) == 2 * GB
    assert available_bytes(system(tmp_path / "none", {})) == 16 * GB
    assert available_bytes(tmp_path / "nothing") is None
