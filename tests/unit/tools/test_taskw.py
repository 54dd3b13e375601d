"""``./taskw`` works from wherever it is called, and in whatever folder it lies."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stack.paths import ROOT

ODD = "it's a (checkout) & $HOME"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose task runner only says where it runs and what it is told."""
    root = tmp_path / ODD
    (root / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "taskw", root)
    pins = root / "requirements" / "tools.txt"
    shutil.copy(ROOT / "requirements" / "tools.txt", pins)
    checksum = "-".join(_output("cksum", stdin=pins.read_text()).split())
    tools = root / ".taskw" / f"{_output('uname', '-s')}-{_output('uname', '-m')}-{checksum}" / "bin"
    tools.mkdir(parents=True)
    task = tools / "task"
    task.write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n')
    task.chmod(0o755)
    return root


def _output(*command: str | Path, cwd: Path | None = None, stdin: str = "") -> str:
    answer = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_it_runs_in_its_folder_with_its_arguments(checkout: Path, tmp_path: Path) -> None:
    said = _output(checkout / "taskw", "smoke", "a b", cwd=tmp_path)
    assert said.splitlines() == [str(checkout), "--exit-code", "smoke", "a b"]


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_to_a_link_to_it_finds_its_folder(checkout: Path, tmp_path: Path, relative: bool) -> None:  # noqa: FBT001  # a case
    links = tmp_path / "bin"
    links.mkdir()
    target = checkout / "taskw"
    (links / "first").symlink_to(os.path.relpath(target, links) if relative else target)
    (links / "second").symlink_to("first")

    said = _output(links / "second", "smoke", cwd=links)

    assert said.splitlines()[0] == str(checkout)


def test_tasks_find_what_is_up_to_date_in_a_folder_with_a_quote(tmp_path: Path) -> None:
    # given
    task = next(ROOT.glob(".taskw/*/bin/task"))
    root = tmp_path / ODD
    for environment, pins in ((".venv", "dev.txt"), (".venv-emulator", "emulator.txt")):
        (root / environment / "bin").mkdir(parents=True)
        (root / environment / "bin" / "python").symlink_to("/bin/sh")
        (root / "requirements").mkdir(exist_ok=True)
        for copy in (root / "requirements" / pins, root / environment / "installed.txt"):
            copy.write_text("as installed")
    shutil.copy(ROOT / "Taskfile.yml", root)

    # when
    said = _output(task, "setup", cwd=root)

    # then
    assert said == ""
