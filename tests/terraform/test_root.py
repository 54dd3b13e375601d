"""The root as it is written: its form, its own tests, and what it says to bad input."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.infra import TERRAFORM_ROOT, Terraform
from stack.errors import StackError
from stack.network import free_port, url_of
from stack.paths import ROOT


def test_it_is_formatted(terraform: Terraform) -> None:
    answer = terraform.call("fmt", "-check", "-recursive", "-diff")
    assert answer.returncode == 0, answer.stdout


def test_it_is_valid(terraform: Terraform) -> None:
    answer = terraform.call("validate", "-no-color")
    assert answer.returncode == 0, answer.stderr


def test_its_own_tests_pass(terraform: Terraform) -> None:
    """Variables, conditions and IAM statements, with a mocked provider."""
    answer = terraform.call("test", "-no-color")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert re.search(r"Success! [1-9][0-9]+ passed, 0 failed", answer.stdout), answer.stdout


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("endpoint_url=127.0.0.1:4566", "must be an emulator's address without a path, such as http://127.0.0.1:4566"),
        ("lambda_zip=../build/nowhere.zip", "run ./taskw lambda:package, which makes it"),
        ("vpc_cidr=10.20.0.0", "such as 10.20.0.0/16"),
        ("services_slots=65", "services_slots must be a whole number from 1 to 64"),
    ],
)
def test_bad_input_stops_the_plan_and_says_what_to_do(
    terraform: Terraform, variables: tuple[str, ...], variable: str, sentence: str
) -> None:
    answer = terraform.call("plan", *variables, f"-var={variable}")
    assert answer.returncode == 1
    assert sentence in " ".join(answer.stderr.split())


def test_what_a_variable_is_comes_from_the_arguments_and_not_from_what_was_made(terraform: Terraform) -> None:
    assert terraform.variable("architecture", ["-var-file=local.tfvars", "-auto-approve"]) == "x86_64"
    assert terraform.variable("architecture", ["-var-file=local.tfvars", "-var", "architecture=arm64"]) == "arm64"
    with pytest.raises(StackError, match="architecture must be arm64 or x86_64"):
        terraform.variable("architecture", ["-var=architecture=amd64", "-var=region=us-east-1"])


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"ENV": "local", "AWS_ENDPOINT_URL": "{nobody}"}, "No emulator answers at {nobody}: start ./taskw up"),
        ({"ENV": "local", "AWS_ENDPOINT_URL": "localhost"}, "No emulator answers at localhost"),
        ({"ENV": "moon"}, "ENV must be local or aws, not 'moon'."),
        ({"ENV": "aws", "AWS_ENDPOINT_URL": "{nobody}"}, "which is not AWS: unset it"),
    ],
)
def test_a_place_that_cannot_be_used_stops_the_task(environment: dict[str, str], sentence: str) -> None:
    nobody = url_of(free_port())
    chosen = {name: value.format(nobody=nobody) for name, value in environment.items()}
    answer = subprocess.run(
        [sys.executable, "-m", "deploy.infra", "plan"],
        cwd=ROOT,
        env={**os.environ, **chosen},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert sentence.format(nobody=nobody) in answer.stderr


@pytest.mark.parametrize("folder", [TERRAFORM_ROOT, *sorted(TERRAFORM_ROOT.glob("modules/*"))], ids=lambda it: it.name)
def test_each_variable_has_an_effect(folder: Path) -> None:
    """It is used somewhere else than in what is checked of itself."""
    text = "\n".join(file.read_text() for file in sorted(folder.glob("*.tf")))
    for name in re.findall(r'^variable "(\w+)"', text, re.MULTILINE):
        elsewhere = re.sub(rf'^variable "{name}" \{{.*?^\}}', "", text, flags=re.MULTILINE | re.DOTALL)
        assert re.search(rf"\bvar\.{name}\b", elsewhere), f"Nothing goes by {name}."


def test_each_readme_names_every_variable_and_output() -> None:
    for folder in (TERRAFORM_ROOT, *sorted(TERRAFORM_ROOT.glob("modules/*"))):
        readme = (folder / "README.md").read_text()
        for file in ("variables.tf", "outputs.tf"):
            names = re.findall(r'^(?:variable|output) "(\w+)"', (folder / file).read_text(), re.MULTILINE)
            assert names, f"{folder}/{file} declares nothing"
            missing = [name for name in names if f"`{name}`" not in readme]
            assert not missing, f"{folder.name}/README.md does not name {missing}"
