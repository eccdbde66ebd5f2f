"""What the README and the guide show is what happens: their examples run, and print what is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.examples import FILE, PAGES, alike, can_run, examples, make_folder, printed
from videodag_cli.graph.pipeline import parse_pipeline

WITH_EXAMPLES = [page for page in PAGES if list(examples(page.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_examples_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    environment = make_folder(tmp_path)
    code = 0
    for example in examples(page.read_text()):
        if not can_run(example.command):
            continue
        output, code = printed(example.command, tmp_path, environment, code)
        assert alike(output, example.output), f"$ {example.command}\n{output}"
    if page.stem == "results":
        _check_the_query(page.read_text(), tmp_path, environment)


def _check_the_query(text: str, folder: Path, environment: dict[str, str]) -> None:
    """The first query gives the rows that are shown below it."""
    query, table = re.findall(r"^```sql\n(.*?)^```\n\n((?:    │[^\n]*\n)+)", text, re.MULTILINE | re.DOTALL)[0]
    shown = [tuple(json.loads(cell) for cell in re.findall(r"[\d.]+", row)) for row in table.splitlines()]
    found: Any = duckdb.sql(query.replace("people.jsonl", str(folder / "people.jsonl")))
    assert found.fetchall() == shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_with_its_output_is_an_example_that_runs(page: Path) -> None:
    """Commands behind `$ ` are in `console` blocks; those that need what a reader has not got are `text`."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^ *\$ .*", text, re.MULTILINE)


def test_every_pipeline_that_is_shown_can_be_copied_whole() -> None:
    blocks = [block for page in PAGES for block in re.findall(r"^```json.*?\n(.*?)^```", page.read_text(), re.M | re.S)]
    pipelines = [block for block in blocks if "plugin_id" in block]
    assert len(pipelines) >= 3
    for block in pipelines:
        parse_pipeline(block.encode())
    files = {name: text for page in PAGES for name, text in FILE.findall(page.read_text())}
    assert set(pipelines) <= set(files.values())
    assert not [
        page for page in PAGES if '"plugin_id"' in re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    ]


def test_pages_that_show_the_same_file_show_the_same() -> None:
    files: dict[str, str] = {}
    for page in PAGES:
        for name, text in FILE.findall(page.read_text()):
            assert files.setdefault(name, text) == text, f"{name} in {page.name}"


@pytest.mark.parametrize(
    ("got", "shown", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False),
        ("a\nb\nc\n", "a\n...\nc\n", True),
        ("a\nb\nc\nd\n", "a\n...\nc\n", False),
        ("a\nb\nc\nd\n", "...\nb\n...\n", True),
        ("a\nb\n", "...\nc\n...\n", False),
        ('{"a":1.0,"b":[100.0]}\n', '{"a":1.01,"b":[100.9]}\n', True),
        ('{"a":1.0}\n', '{"a":1.2}\n', False),
        ('{"a":1}\n', '{"a":2}\n', False),
        ('{"a":1,"b":2}\n', '{"b":2,"a":1}\n', False),
        ("132 frames ok, 7.6 s, 17.4 frames/s\n", "132 frames ok, 1.0 s, 9 frames/s\n", True),
        ("132 frames ok, 7.6 s\n", "131 frames ok, 7.6 s\n", False),
    ],
)
def test_output_is_compared_line_by_line(got: str, shown: str, same: bool) -> None:
    assert alike(got, shown) is same
