"""Pages of reports in a headless Chromium without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page offline and fails the test on any error, warning of the console, or request."""
    problems: list[str] = []
    contexts = []

    def look(path: Path, *, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(offline=True, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("data:") else seen.append(request.url))
        seen: list[str] = []
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        assert seen == [path.as_uri()]
        return page

    yield look
    for context in contexts:
        context.close()
    assert problems == []
