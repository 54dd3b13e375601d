"""Build the stream Lambda's zip: ``python -m stack.package``.

The same sources give the same bytes on any machine, so that a deployment sees a change only where there is one.
"""

import ast
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stack.paths import ROOT

ARCHIVE: Final = ROOT / "build" / "stream_lambda.zip"
ENTRY_MODULE: Final = "stream_lambda.handler"

_FILE_MODE: Final = 0o100644 << 16
_UNIX: Final = 3


def find_modules(entry: str, root: Path = ROOT) -> dict[str, Path]:
    """Return the modules under ``root`` that importing ``entry`` loads, packages included, with their files.

    Imports are read from the sources, so the list cannot drift. Those under ``if TYPE_CHECKING:`` never run and do not
    count; what is not found under ``root`` is the runtime's.
    """
    found: dict[str, Path] = {}
    pending = [entry]
    while pending:
        name = pending.pop()
        path = _file_of(name, root)
        if name in found or path is None:
            continue
        found[name] = path
        if "." in name:
            pending.append(name.rpartition(".")[0])
        pending.extend(_imports(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def build(archive: Path = ARCHIVE, entry: str = ENTRY_MODULE) -> Path:
    """Write the zip of a module and all that it loads, replacing an older one, and return its path."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(find_modules(entry).values())
    # Stored, not deflated: what deflating yields differs between versions of zlib.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as bundle:
        for file in files:
            # Dated 1980, the first year of a zip's calendar, whenever the file was written.
            member = zipfile.ZipInfo(file.relative_to(ROOT).as_posix())
            member.external_attr = _FILE_MODE
            member.create_system = _UNIX
            bundle.writestr(member, file.read_bytes())
    return archive


def _file_of(name: str, root: Path) -> Path | None:
    """Return the file that defines a module or package; None when it is not under ``root``."""
    base = root.joinpath(*name.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield the names of the modules that the code under a node may import when it runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module is not None:
            yield child.module
            # What is imported from a package may be a module of it.
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not _is_typing_only(child):
            yield from _imports(child)


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def main() -> None:
    """Build the zip and print where it is and how large."""
    archive = build()
    print(f"{archive.relative_to(ROOT)} {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main()
