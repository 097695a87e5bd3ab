"""What the pages tell people to type and to open exists."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import build

APP = build()
ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> Iterator[list[str]]:
    """Commands in blocks of code, and those in backticks."""
    text = page.read_text()
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.DOTALL)
    lines = [
        line.removeprefix("$ ").split("#")[0] for block in blocks for line in block.split("\n")
    ]
    for command in [*lines, *re.findall(r"`([^`\n]+)`", text)]:
        words = command.split()
        if len(words) > 1 and words[0] in {"make", "fleetpulse", ".venv/bin/fleetpulse"}:
            yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, *arguments in commands(page):
        if program == "make":
            assert arguments[0] in targets, f"{page.name}: there is no `make {arguments[0]}`"
            continue
        verbs = list(itertools.takewhile(lambda word: word.isalpha() and word.islower(), arguments))
        answer = CliRunner().invoke(APP, [*verbs, "--help"])
        assert answer.exit_code == 0, f"{page.name}: no `fleetpulse {' '.join(verbs)}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    here = [link for link in links if "://" not in link]
    missing = [link for link in here if not (page.parent / link).exists()]
    assert not missing, f"{page.name} links to {missing}"
