"""The README and the guide hang together: their links lead somewhere, and every command is in them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.examples import PAGES

GUIDE = "\n".join(page.read_text() for page in PAGES)


def test_the_readme_is_one_screen_and_a_few_examples() -> None:
    assert len(PAGES[0].read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text):
        found = (page.parent / target) if target else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings], anchor


def test_every_command_has_help_and_is_in_the_guide() -> None:
    from videodag_cli.cli.app import COMMANDS, load_command

    for name in itertools.chain.from_iterable(COMMANDS.values()):
        command = load_command(name)
        assert command.help, name
        assert f"videodag {name}" in GUIDE, name
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"


def test_the_guide_names_no_place_of_one_machine() -> None:
    assert not re.search(r"/(root|tmp|home)/", GUIDE)
