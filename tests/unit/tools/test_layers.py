"""Imports point one way: ``api -> counters <- stream_lambda`` (``docs/design/engine.md``, section 8)."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = {"api", "counters", "deploy", "load", "stack", "stream_lambda", "tests"}
ALLOWED = {
    "counters": {"counters"},
    "api": {"api", "counters"},
    "stream_lambda": {"stream_lambda", "counters"},
    "stack": {"stack", "stream_lambda", "counters"},
    "deploy": {"deploy", "stack", "stream_lambda", "counters"},
    "load": {"load", "stack", "api", "counters"},
}


def imports_of(source: Path) -> set[str]:
    """Return the full names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            # What is imported from a package may be a module of it.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if ROOT.joinpath(*name.split(".")).with_suffix(".py").is_file()}
            found |= modules if modules == names else {str(node.module), *modules}
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_package_imports_only_from_packages_below_it(package: str) -> None:
    sources = sorted((ROOT / package).rglob("*.py"))
    assert sources
    for source in sources:
        ours = {name.partition(".")[0] for name in imports_of(source)} & OURS
        assert ours <= ALLOWED[package], f"{source} imports {sorted(ours - ALLOWED[package])}"


def room_of(module: str) -> str:
    """Return the package that a module is in: the room it lives in."""
    return module if ROOT.joinpath(*module.split(".")).is_dir() else module.rpartition(".")[0]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even for types: a reader can begin at the bottom."""
    sources = [source for package in ALLOWED for source in (ROOT / package).rglob("*.py")]
    modules = {".".join(source.relative_to(ROOT).with_suffix("").parts): source for source in sources}
    TopologicalSorter({name: imports_of(source) & modules.keys() for name, source in modules.items()}).prepare()


@pytest.mark.parametrize("package", ["api", "counters"])
def test_no_two_rooms_import_each_other(package: str) -> None:
    """A package's own modules are above its rooms or below them, each, so they are left out."""
    arrows: set[tuple[str, str]] = set()
    for source in (ROOT / package).rglob("*.py"):
        here = room_of(".".join(source.relative_to(ROOT).with_suffix("").parts))
        arrows |= {(here, room_of(name)) for name in imports_of(source) if name.startswith(f"{package}.")}
    between = {(here, there) for here, there in arrows if here != there and package not in (here, there)}
    assert between
    assert {(here, there) for here, there in between if (there, here) in between} == set()


def test_only_the_dynamodb_store_knows_the_sdk() -> None:
    sdk = {"aioboto3", "aiobotocore", "aiodynamo", "aiohttp", "boto3", "botocore", "yarl"}
    for source in (ROOT / "counters").rglob("*.py"):
        if source.parent.name != "dynamodb":
            assert not {name.partition(".")[0] for name in imports_of(source)} & sdk, source


def test_the_core_takes_clock_and_randomness_from_outside() -> None:
    for source in (ROOT / "counters").rglob("*.py"):
        # A pause of the process shows only by the real clock, and what is signed and sent depends on that.
        assert not imports_of(source) & {"time", "secrets"} or source.parent.name == "dynamodb", source


def test_the_baselines_share_nothing_with_the_engine_but_the_client_and_what_the_routes_speak() -> None:
    spoken = {"counters.errors", "counters.keys", "counters.model", "counters.reading"}
    client = {
        "counters.stores.dynamodb.client",
        "counters.stores.dynamodb.failures",
        "counters.stores.dynamodb.answers",
    }
    for source in (ROOT / "load" / "compare" / "baselines").rglob("*.py"):
        core = {name for name in imports_of(source) if name.partition(".")[0] == "counters"}
        assert core <= spoken | client, source


def test_no_test_reaches_into_another_tests_module() -> None:
    for source in (ROOT / "tests").rglob("*.py"):
        parts = {part for name in imports_of(source) for part in name.split(".") if name.startswith("tests.")}
        assert not {part for part in parts if part == "conftest" or part.startswith("test_")}, source


def test_no_test_of_the_product_needs_the_measuring() -> None:
    of_load = {ROOT / "tests" / "contract" / "test_baselines.py"}
    of_load |= {ROOT / "tests" / "e2e" / name for name in ("test_compare.py", "test_cost.py", "test_model.py")}
    of_load |= set((ROOT / "tests" / "unit" / "tools").glob("*.py"))
    for source in set((ROOT / "tests").rglob("*.py")) - of_load:
        assert "load" not in {name.partition(".")[0] for name in imports_of(source)}, source
