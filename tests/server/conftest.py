"""One service for all tests that can share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services import Server, served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(tmp_path_factory.mktemp("service"), "--jobs", "2", "--max-upload", "8M") as found:
        yield found
