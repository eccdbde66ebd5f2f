"""What a server says of its own faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAYS = """
import logging
from videodag_cli.server import trouble
trouble.listen()
logging.getLogger("library").warning("what a client did")
trouble.report("GET /tools", ValueError("one\\nline"))
try:
    raise KeyError("x")
except KeyError:
    logging.getLogger("library").exception("told")
"""


def said(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True)
    return done.stderr.splitlines()


def test_a_fault_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEODAG_DEBUG", raising=False)
    first, second = said(SAYS)
    right = "; VIDEODAG_DEBUG=1 shows where; please report it"
    assert first == f"videodag: error[internal]: GET /tools: ValueError: one\\nline{right}"
    assert second == f"videodag: error[internal]: library: KeyError: 'x'{right}"
    monkeypatch.setenv("VIDEODAG_DEBUG", "1")
    assert "Traceback (most recent call last):" in said(SAYS)


def test_a_server_does_not_wait_for_somebody_to_read_what_it_says() -> None:
    many = "from videodag_cli.server.trouble import report\nfor _ in range(3000): report('GET /', ValueError('x'))"
    process = subprocess.Popen([sys.executable, "-c", many], stderr=subprocess.PIPE)
    assert process.wait(60) == 0
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read().startswith(b"videodag: error[internal]: GET /: ValueError: x;")
