"""The OpenAPI document says what the service does: requests made from it get the answers that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clips import encode
from tests.server.contract import contract, requests_seen
from tests.services import served

pytestmark = [pytest.mark.slow, pytest.mark.waits]


def test_requests_made_from_the_document_get_the_answers_it_names(tmp_path: Path) -> None:
    encode(tmp_path / "clip.mp4", indices=range(3))
    with served(tmp_path, "--jobs", "1", "--sync-size", "1", token="s3cret") as server:
        code, report = contract(server, tmp_path, examples=3, seed=1, token="s3cret")
        assert code == 0, report
        seen = requests_seen(server)
        assert sum(seen.values()) > 300
        assert {"200", "202", "204", "404", "405", "422"} <= set(seen)
        assert not any(status.startswith("5") for status in seen)
