"""What the files promise, as far as it can be read from them: these tests need no engine."""

import re
import subprocess
import sys
from itertools import chain
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

import api.app
from api.serving import server
from api.settings import ApiSettings, load_settings
from stack import aws, compose
from stack.errors import StackError
from stack.package import find_modules
from stack.system import DEFAULT_TABLE, LOCAL
from tests.docker.dockerfile import DOCKER, ROOT, Instruction, read_stages, read_variables, sources

DOCKERFILES = ("api.Dockerfile", "local.Dockerfile")
OURS = ("api", "ministack", "provisioning")


def instructions(dockerfile: str, name: str) -> list[Instruction]:
    """Return all instructions of one kind."""
    return [one for one in chain.from_iterable(read_stages(dockerfile)) if one.name == name]


@pytest.fixture
def services() -> dict[str, Any]:
    """Return the services of compose.yml."""
    services: dict[str, Any] = yaml.safe_load(compose.COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
    return services


def test_the_api_image_is_made_of_the_service_and_its_pins_alone() -> None:
    assert sources(read_stages("api.Dockerfile")) == {"api", "counters", "requirements/api.txt"}


def test_the_api_image_has_all_of_our_code_that_it_runs() -> None:
    modules = set(find_modules("api.__main__")) | set(find_modules("api.serving.probe"))
    assert {module.partition(".")[0] for module in modules} == {"api", "counters"}


@pytest.mark.parametrize(("dockerfile", "pins"), [("api.Dockerfile", "api.txt"), ("local.Dockerfile", "emulator.txt")])
def test_what_is_installed_is_pinned_by_hash_and_nobodys_setup_runs(dockerfile: str, pins: str) -> None:
    (install,) = [run.command for run in instructions(dockerfile, "RUN") if "install" in run.command]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install)
    assert install[-2:] == ["--requirement", pins]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_build_context_has_nothing_that_no_image_takes(dockerfile: str) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert sources(read_stages(dockerfile)) <= allowed
    assert allowed == set().union(*(sources(read_stages(name)) for name in DOCKERFILES))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_no_shell_runs_neither_in_the_build_nor_later(dockerfile: str) -> None:
    for name in ("RUN", "CMD"):
        assert all(one.command for one in instructions(dockerfile, name))
    assert all(one.text == "NONE" or one.command for one in instructions(dockerfile, "HEALTHCHECK"))
    assert not instructions(dockerfile, "SHELL")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_any_builder_can_build_it(dockerfile: str) -> None:
    text = (DOCKER / dockerfile).read_text(encoding="utf-8")
    assert not re.search(r"^# *syntax=|--mount=|--link|--chmod|--exclude|<<", text, re.MULTILINE)
    stages = {one.words[2] for one in instructions(dockerfile, "FROM") if len(one.words) == 3}
    assert {one.words[0] for one in instructions(dockerfile, "FROM")} - stages == {"python:3.13-slim"}


def test_no_image_that_runs_is_root_or_was_changed_by_a_command() -> None:
    api_stages, local = read_stages("api.Dockerfile"), read_stages("local.Dockerfile")
    for stage in (api_stages[-1], local[1]):
        (user,) = [one.text for one in stage if one.name == "USER"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    for stage in (api_stages[-1], *local[1:]):
        assert not [one for one in stage if one.name == "RUN"]


def test_the_settings_in_the_containers_are_those_of_the_stack(services: dict[str, Any]) -> None:
    settings = services["api"]["environment"]
    assert settings == services["provisioning"]["environment"]
    assert settings == {**aws.environment("http://aws:4566"), **LOCAL, "TABLE_NAME": DEFAULT_TABLE}
    variables = read_variables(read_stages("api.Dockerfile")[-1])
    default = ApiSettings(host="0.0.0.0", table_name=DEFAULT_TABLE)  # noqa: S104
    local = load_settings(LOCAL)
    assert load_settings(variables | settings) == msgspec.structs.replace(
        default, heal_after_s=local.heal_after_s, own_ids_in_batches=local.own_ids_in_batches
    )


def test_ports_lead_to_where_the_servers_listen_and_from_this_machine_only(services: dict[str, Any]) -> None:
    api_stage, emulator = read_stages("api.Dockerfile")[-1], read_stages("local.Dockerfile")[1]
    for name, stage, variable in (("api", api_stage, "PORT"), ("ministack", emulator, "GATEWAY_PORT")):
        port = read_variables(stage)[variable]
        assert [one.text for one in stage if one.name == "EXPOSE"] == [port]
        (published,) = services[name]["ports"]
        assert re.fullmatch(rf"127\.0\.0\.1:\$\{{\w+:-\d+\}}:{port}", published)
    assert services["localstack"]["ports"] == services["ministack"]["ports"]


def test_a_stop_waits_for_the_longest_drain(services: dict[str, Any]) -> None:
    longest_s = server._LINGER_S + ApiSettings().deadline_s + server._GRACE_S + api.app.DRAIN_TIMEOUT_S
    assert float(services["api"]["stop_grace_period"].removesuffix("s")) > longest_s


@pytest.mark.parametrize("name", OURS)
def test_every_container_of_ours_is_locked_down(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_a_profile_starts_one_emulator_which_answers_to_the_same_name(services: dict[str, Any]) -> None:
    emulators = {name: service for name, service in services.items() if "profiles" in service}
    assert set(emulators) == set(compose.EMULATORS)
    for name, service in emulators.items():
        assert service["profiles"] == [name]
        assert service["networks"] == {"default": {"aliases": ["aws"]}}
    assert f"COMPOSE_PROFILES={compose.EMULATORS[0]}" in (DOCKER / ".env").read_text(encoding="utf-8").splitlines()


def test_localstack_gets_the_token_and_is_not_started_without() -> None:
    assert "LOCALSTACK_AUTH_TOKEN: ${LOCALSTACK_AUTH_TOKEN:-}" in compose.COMPOSE_FILE.read_text(encoding="utf-8")
    with pytest.raises(StackError, match="LOCALSTACK_AUTH_TOKEN"):
        compose.require_token({"COMPOSE_PROFILES": "localstack"})
    compose.require_token({"COMPOSE_PROFILES": "localstack", "LOCALSTACK_AUTH_TOKEN": "token"})
    compose.require_token({})


def test_provisioning_without_an_emulator_says_what_is_missing() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "stack.prepare"], cwd=ROOT, env={}, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (1, "prepare: AWS_ENDPOINT_URL must be the address of an emulator.\n")
