"""The shared folder is there before the processes are that share it."""

from __future__ import annotations

from tests.shared import shared_folder


def pytest_configure() -> None:
    shared_folder()
