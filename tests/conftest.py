"""What holds for every test: the shared folder is there before the processes are that share it; properties are never timed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.shared import shared_folder

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    shared_folder()
