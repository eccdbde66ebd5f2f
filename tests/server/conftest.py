"""One service for all tests that can share it: with the queue in its data folder, and with the queue in Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services import Server, redis_server, served

OPTIONS = ("--jobs", "2", "--max-upload", "8M")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What the queue has a part in (`every_queue`) holds for both."""
    if "server" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("every_queue") is not None
        metafunc.parametrize("server", ("sqlite", "redis") if both else ("sqlite",), indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("service")
    if request.param == "sqlite":
        with served(folder, *OPTIONS) as found:
            yield found
    else:
        with redis_server(folder) as redis, served(folder, *OPTIONS, "--queue", redis.address) as found:
            yield found
