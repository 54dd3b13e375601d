"""What the docs name is there: files, links with their anchors, modules and tasks."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "terraform").rglob("*.md")])
MADE = ("build/", "terraform/aws.tfvars", "terraform/backend_override.tf")
"""What the docs name and tasks or people make."""

_ROOMS = "api|counters|stream_lambda|stack|deploy|load|tests|docs|terraform|docker|examples"

_PATH = re.compile(rf"(?<![\w/.:-])((?:{_ROOMS})/[\w./*-]*\w)")
_MODULE = re.compile(r"python -m ((?:api|stack|deploy|load|tests)(?:\.\w+)*)")
_TASK = re.compile(r"\./taskw ([a-z0-9]+(?::[a-z0-9]+)*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def page_id(page: Path) -> str:
    """Return a page's path in the project."""
    return page.relative_to(ROOT).as_posix()


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    """Yield the links of a page that lead nowhere."""
    for link in _LINK.findall(page.read_text()):
        name, _, anchor = link.partition("#")
        if "://" in name:
            continue
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(dead_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_and_modules_are_there(page: Path) -> None:
    text = page.read_text()
    named = {path for path in _PATH.findall(text) if not path.startswith(MADE)}
    # A page may name what lies beside it.
    missing = {path for path in named if not any(any(place.glob(path)) for place in (ROOT, page.parent))}
    for module in _MODULE.findall(text):
        base = ROOT.joinpath(*module.split("."))
        if not base.with_suffix(".py").is_file() and not (base / "__main__.py").is_file():
            missing.add(module)
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_tasks_are_there(page: Path) -> None:
    tasks = set(re.findall(r"^  ([a-z0-9:]+):$", (ROOT / "Taskfile.yml").read_text(), re.MULTILINE))
    assert set(_TASK.findall(page.read_text())) <= tasks


def test_docstrings_and_comments_name_pages_that_are_there() -> None:
    sources = [
        path for room in _ROOMS.split("|") for path in (ROOT / room).rglob("*.*") if path.suffix in {".py", ".tf"}
    ]
    assert len(sources) > 100
    named = {name for source in sources for name in re.findall(r"docs/[a-z/_]+\.md", source.read_text())}
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("road", ["a create", "a stream record"])
def test_a_road_has_twelve_steps_at_most_and_each_names_its_file(road: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split(f"## The road of {road}")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. (.*(?:\n   .*)*)", section, re.MULTILINE)
    assert 3 < len(steps) <= 12
    assert all(_PATH.search(step) for step in steps)


def test_the_architecture_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    packages = [
        path.parent
        for room in ("api", "counters", "stream_lambda", "deploy")
        for path in (ROOT / room).rglob("__init__.py")
    ]
    rooms = {package.relative_to(ROOT).as_posix() for package in packages}
    assert {room for room in rooms if f"`{room}/`" not in page} == set()
